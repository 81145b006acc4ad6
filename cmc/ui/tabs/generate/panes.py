"""What the two rows of one batch say: texts, speeds, the shift on every token."""

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from cmc.ui.form import QUIET
from cmc.ui.sentences import identity_line, provenance_line, speed_line
from cmc.ui.tabs.generate.choices import GenerateChoices
from cmc.ui.tabs.generate.heat import ON_CLICK, heat_html, told_otherwise, top_html
from cmc.workspace import SideBySide
from cmc.workspace.result import result_data

EMPTY = "Press Generate: both panes come from one batch, side by side."


@dataclass(frozen=True)
class Result:
    """One generation: what was asked and what came of it; a visit keeps a few."""

    choices: GenerateChoices
    shown: SideBySide


@dataclass(frozen=True)
class Panes:
    """The components that show one result."""

    base: gr.Textbox
    controlled: gr.Textbox
    base_speed: gr.HTML
    controlled_speed: gr.HTML
    heat: gr.HTML
    top: gr.HTML
    data: gr.JSON
    identity: gr.HTML
    provenance: gr.HTML
    result: gr.State

    @property
    def outputs(self) -> list[Any]:
        """All of them, in the order of `shown_values`."""
        return [getattr(self, each.name) for each in fields(self)]


def build_panes() -> Panes:
    """Lay out the two panes with their speeds, and what is known of every token below."""
    with gr.Row(equal_height=True, elem_classes="panes"):
        base, base_speed = _pane("base", "Base · strength 0")
        controlled, controlled_speed = _pane("controlled", "Controlled")
    identity = gr.HTML(
        EMPTY, label="What control changed", padding=False, elem_id="identity",
        elem_classes="note strong",
    )  # fmt: skip
    with gr.Row(elem_classes="looks", equal_height=False):
        with gr.Column(scale=3, min_width=320):
            heat = gr.HTML(
                heat_html([]), label="Shift on every token", js_on_load=ON_CLICK, elem_id="heat"
            )
        with gr.Column(scale=2, min_width=280):
            top = gr.HTML(top_html(None), label="One token", elem_id="top")
    provenance = gr.HTML(
        "", label="Made from", padding=False, elem_id="provenance", elem_classes="note faint"
    )
    # For callers of the API and for the export; a person reads the rest.
    data = gr.JSON(visible=False, label="Result as data")
    result = gr.State(None)

    def look(known: Result | None, event: gr.EventData) -> str:
        at = (event._data or {}).get("at")
        tokens = known.shown.tokens if known else ()
        if not isinstance(at, int) or not 0 <= at < len(tokens):
            return top_html(None)
        return top_html(tokens[at], list(known.shown.strengths))

    heat.click(look, result, top, **QUIET)
    return Panes(
        base, controlled, base_speed, controlled_speed, heat, top, data, identity, provenance,
        result,
    )  # fmt: skip


def shown_values(
    choices: GenerateChoices, shown: SideBySide, *, with_tokens: bool = True
) -> tuple[Any, ...]:
    """Return the values of `Panes.outputs`.

    Args:
        choices: what was asked for.
        shown: what both rows have said so far.
        with_tokens: whether to draw the tokens anew; after every token that would be slow.
    """
    request = choices.request()
    lines = [told_otherwise(shown.tokens), identity_line(shown)]
    return (
        shown.base,
        shown.controlled,
        speed_line(shown.base_tokens, shown.base_seconds),
        speed_line(shown.controlled_tokens, shown.controlled_seconds),
        heat_html(shown.tokens) if with_tokens else gr.skip(),
        top_html(None) if with_tokens else gr.skip(),
        result_data(request, shown) if shown.is_finished else gr.skip(),
        " ".join(filter(None, lines)) if with_tokens else gr.skip(),
        provenance_line(request, shown),
        Result(choices, shown),
    )


def _pane(elem_id: str, label: str) -> tuple[gr.Textbox, gr.HTML]:
    """Lay out one reply and its speed."""
    with gr.Column(min_width=240, elem_classes=["pane", elem_id]):
        text = gr.Textbox(
            "",
            label=label,
            lines=3,
            max_lines=14,
            interactive=False,
            buttons=["copy"],
            elem_id=f"{elem_id}-text",
        )
        speed = gr.HTML(
            "", label=f"{elem_id.capitalize()} speed", padding=False, elem_id=f"{elem_id}-speed",
            elem_classes="speed",
        )  # fmt: skip
    return text, speed
