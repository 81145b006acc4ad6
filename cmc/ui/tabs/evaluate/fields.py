"""The form: a component for every field of every kind, shown where the chosen kind has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.arguments import CHOICES
from cmc.evaluation.kinds import KINDS
from cmc.settings import JUDGES, TRANSFERS
from cmc.ui.sentences import labelled_targets
from cmc.ui.tabs.evaluate.choices import FIRST, TOLD, defaults_of, told
from cmc.workspace import Workspace
from cmc.workspace.offers import ELSEWHERE, flat_fields, offered_names

# What stands open, in this order; all other fields are folded under Details.
MAIN = (
    "suite", "metric", "controller", "controllers", "target", "targets", "strength", "strengths",
    "limit",
)  # fmt: skip
KEPT = ("controller", "target", "targets")  # choices that stay when the kind changes
LABELS = {"limit": "Questions", "data": "Data", "against": "Compare with"}
INFO = {
    "limit": "Of each set of data.",
    "targets": "None chosen means all of the lab.",
    "transfers": "None chosen means all that fit.",
    "strengths": "The base, 0, is always measured.",
    "retain": "For the metric forget: what must stay.",
    "against": "An earlier report of the same suite.",
    "generations": "Answers that are written out, to be read.",
    "judge": "reference compares with right answers, offline.",
    "judge_model": "For the judges endpoint and local.",
    "key_variable": "Environment variable of the app that holds the key.",
}
OF_CONTROLLERS = "One for each controller, in the same order."  # strengths of one desk


@dataclass(frozen=True)
class Fields:
    """The components of the form."""

    kind: gr.Dropdown
    about: gr.HTML
    components: dict[str, Any]  # by the fields of all kinds
    name: gr.Textbox
    start: gr.Button


def build_form(workspace: Workspace) -> Fields:
    """Lay out the choice of a kind, and the components of all kinds: those of FIRST show."""
    every = {name: value for kind in KINDS for name, value in defaults_of(kind).items()}
    every |= defaults_of(FIRST)
    if workspace.mode != "local":
        every = {name: value for name, value in every.items() if name not in ELSEWHERE}
    offers, found = offered_names(workspace), {}
    kind = gr.Dropdown(kinds_to_choose(), value=FIRST, label="Evaluate", elem_id="evaluate-kind")
    about = gr.HTML(told(FIRST).about, padding=False, elem_id="evaluate-about",
                    elem_classes="note")  # fmt: skip
    for each in (each for each in MAIN if each in every):
        found[each] = _component(workspace, each, every[each], offers)
    start = gr.Button("Start", variant="primary", elem_id="evaluate-start")
    with gr.Accordion("Details", open=False, elem_id="evaluate-details"):
        name = gr.Textbox("", label="Name of the run", placeholder="its kind", max_lines=1,
                          elem_id="evaluate-name")  # fmt: skip
        for each in (each for each in every if each not in MAIN):
            found[each] = _component(workspace, each, every[each], offers)
    return Fields(kind, about, found, name, start)


def shown_fields(kind: str, names: Mapping[str, Any]) -> dict[str, Any]:
    """Return updates that show the fields of a kind with what it begins with, and hide others."""
    wanted = defaults_of(kind)
    is_desk = isinstance(flat_fields(KINDS[kind].request).get("controllers"), Mapping)
    updates: dict[str, Any] = {}
    for name in names:
        change: dict[str, Any] = {"visible": name in wanted}
        if name in wanted and name not in KEPT:
            change["value"] = wanted[name]
        if name == "strengths":
            change["info"] = OF_CONTROLLERS if is_desk else INFO[name]
        updates[name] = gr.update(**change)
    return updates


def kinds_to_choose() -> list[tuple[str, str]]:
    """Return label and name of every kind, those that are told first in their order."""
    return [(told(kind).label, kind) for kind in sorted(KINDS, key=_place)]


def _place(kind: str) -> int:
    order = list(KINDS)
    known = list(TOLD)
    return known.index(kind) if kind in known else len(known) + order.index(kind)


def _component(
    workspace: Workspace, name: str, default: Any, offers: Mapping[str, list[str]]
) -> Any:
    """Return the component of one field, by its name and the kind of its default."""
    shared: dict[str, Any] = {
        "label": LABELS.get(name, name.replace("_", " ").capitalize()),
        "info": INFO.get(name),
        "visible": name in defaults_of(FIRST),
        "elem_id": f"evaluate-{name.replace('_', '-')}",
    }
    is_open = workspace.mode == "local"
    if name in ("target", "targets"):
        is_many = isinstance(default, list)  # labels of many would fill the panel
        choices: list[Any] = offers["target"] if is_many else labelled_targets(workspace)
        return gr.Dropdown(choices, value=default, multiselect=is_many,
                           allow_custom_value=is_open, **shared)  # fmt: skip
    kind = name.removesuffix("s")
    if name == "transfers":
        return gr.CheckboxGroup(
            [each for each in TRANSFERS if each != "auto"], value=default, **shared
        )
    if kind in offers and name != "judge":
        return gr.Dropdown(
            [(_short(each), each) for each in offers[kind]], value=default,
            multiselect=isinstance(default, list), allow_custom_value=is_open, **shared,
        )  # fmt: skip
    if name == "judge":
        return gr.Dropdown(list(JUDGES) if is_open else offers["judge"], value=default, **shared)
    return _plain(name, default, shared)


def _plain(name: str, default: Any, shared: dict[str, Any]) -> Any:
    if name in CHOICES:
        return gr.Dropdown(list(CHOICES[name]), value=default, **shared)
    if isinstance(default, bool):
        return gr.Checkbox(default, **shared)
    if isinstance(default, int | float):
        precision = 0 if isinstance(default, int) else None
        return gr.Number(default, precision=precision, **shared)
    if isinstance(default, list):
        return gr.Dropdown(default, value=default, multiselect=True, allow_custom_value=True,
                           **shared)  # fmt: skip
    return gr.Textbox(default, max_lines=1, **shared)


def _short(name: str) -> str:
    """Return the end of a path, and a word where nothing is chosen."""
    return name.rpartition("/")[2] or "the usual"
