"""Generate: base and controlled side by side, with a mixing desk."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.settings import STARTER_TARGET, TRANSFERS, Sampling
from cmc.ui.form import GPU, PRIVATE, QUIET, Form
from cmc.ui.gpu import lent_gpu
from cmc.ui.paced import paced
from cmc.ui.sentences import labelled_targets
from cmc.ui.tabs.generate.choices import CHANNELS, GenerateChoices
from cmc.ui.tabs.generate.compare import build_compare, wire_compare
from cmc.ui.tabs.generate.desk import Desk, build_desk
from cmc.ui.tabs.generate.history import build_history, wire_history
from cmc.ui.tabs.generate.maps import build_map_choice, shown_map, wire_map_choice
from cmc.ui.tabs.generate.panes import Panes, Result, build_panes, shown_values
from cmc.ui.tabs.generate.sharing import (
    Sharing,
    build_buttons,
    build_link_box,
    wire_sharing,
)
from cmc.workspace import Workspace

TOKENS_PER_LOOK = 16  # drawing all tokens after every one would slow the text down
WAITING = "() => 'Waiting for the first token …'"
NOT_WAITING = "text => text.startsWith('Waiting') ? '' : text"

__all__ = ["GenerateTab", "build_generate_tab"]


@dataclass(frozen=True)
class GenerateTab:
    """The components that other parts of the app set."""

    fields: dict[str, Any]
    desk: Desk

    @property
    def outputs(self) -> list[Any]:
        """Everything that `shown` may set."""
        return list(dict.fromkeys([*self.fields.values(), *self.desk.outputs]))

    @property
    def controllers(self) -> list[gr.Dropdown]:
        """The choices of a controller, one per channel."""
        return [channel.controller for channel in self.desk.channels]

    def shown(self, workspace: Workspace, values: dict[str, Any]) -> dict[Any, Any]:
        """Return updates that put fields of `GenerateChoices` into the tab."""
        on_desk = set(self.desk.fields())
        plain = {
            self.fields[name]: value
            for name, value in values.items()
            if name in self.fields and name not in on_desk
        }
        if "vocab_map" in values:
            chosen = shown_map(values["vocab_map"], values.get("transfer", ""))
            plain[self.fields["vocab_map"]] = chosen
        return plain | self.desk.shown(workspace, values)


def build_generate_tab(workspace: Workspace, page: gr.Tab) -> GenerateTab:
    """Lay out the tab on its page and wire it."""
    prompts = workspace.prompts()
    with gr.Row(equal_height=False, elem_classes="page"):
        with gr.Column(scale=0, min_width=350, elem_classes="panel"):
            target = _target(workspace)
            desk = build_desk(workspace, target)
            with gr.Accordion("Transfer and sampling", open=False, elem_id="details"):
                details = _details()
        with gr.Column(scale=1, min_width=420):
            prompt = _prompt_box(prompts[0])
            with gr.Row(elem_classes="actions"):
                run = gr.Button("Generate", variant="primary", elem_id="generate")
                stop = gr.Button("Stop", elem_id="generate-stop")
                copy, export = build_buttons()
            link = build_link_box()
            gr.Examples(
                [[each] for each in prompts[1:]], prompt, label="More to try", elem_id="examples"
            )
            panes = build_panes()
            comparison = build_compare(workspace)
            visit = build_history()
    fields = {"prompt": prompt, "target": target} | desk.fields() | details
    tab = GenerateTab(fields, desk)
    form = Form(GenerateChoices, fields)
    runs = _wire(workspace, form, desk, panes, run)
    stopped = _wire_stop(stop, runs, panes)
    wire_sharing(Sharing(copy, export, link), form, panes)
    wire_history(workspace, visit, tab, panes, [*(each.success for each in runs), stopped.then])
    wire_compare(workspace, comparison, fields)
    wire_map_choice(workspace, fields, page)
    return tab


def _target(workspace: Workspace) -> gr.Dropdown:
    """Return the choice of the model that is steered."""
    return gr.Dropdown(
        labelled_targets(workspace),
        value=STARTER_TARGET,
        label="Target",
        info="The language model that is steered.",
        allow_custom_value=workspace.mode == "local",
        elem_id="target",
    )


def _details() -> dict[str, Any]:
    """Lay out transfer and sampling; every default comes from `Sampling`."""
    default = Sampling()
    return {
        "transfer": gr.Dropdown(
            list(TRANSFERS), value="auto", label="Transfer",
            info="How the shift reaches another vocabulary.", elem_id="transfer",
        ),
        "vocab_map": build_map_choice(),
        "max_new_tokens": gr.Slider(
            1, 512, default.max_new_tokens, step=1, label="Most new tokens", elem_id="tokens"
        ),
        "temperature": gr.Slider(
            0, 2, default.temperature, step=0.05, label="Temperature",
            info="0 takes the likeliest token.", elem_id="temperature",
        ),
        "top_p": gr.Slider(0, 1, default.top_p, step=0.01, label="Top p", elem_id="top-p"),
        "top_k": gr.Number(
            default.top_k, precision=0, label="Top k", info="0 is off.", elem_id="top-k"
        ),
        "min_p": gr.Slider(0, 1, default.min_p, step=0.01, label="Min p", elem_id="min-p"),
        "seed": gr.Number(default.seed, precision=0, label="Seed", elem_id="seed"),
    }  # fmt: skip


def _prompt_box(value: str) -> gr.Textbox:
    """Return the box for the question; Enter generates."""
    return gr.Textbox(
        value,
        label="Prompt",
        placeholder="Ask something",
        lines=1,
        max_lines=8,
        elem_id="prompt",
    )


def _wire(
    workspace: Workspace,
    form: Form[GenerateChoices],
    desk: Desk,
    panes: Panes,
    run: gr.Button,
) -> list[Any]:
    """Connect what generates: the button, Enter, sliders, number boxes, mute; return the events."""
    stream = lent_gpu(workspace.stream_side_by_side)

    def generate(choices: GenerateChoices) -> Iterator[tuple[Any, ...]]:
        """Stream what a target says alone and under control, from one batch.

        The last item of the stream has, beside both texts, "Result as data": what was asked,
        both texts with tokens and seconds, and for every controlled token its shift and the
        likeliest tokens before and after. Fields have defaults; strengths go from -10 to 10.
        """
        due = 0
        for shown in paced(stream(choices.request())):
            is_due = len(shown.tokens) >= due or shown.is_finished
            due = len(shown.tokens) + TOKENS_PER_LOOK if is_due else due
            yield shown_values(choices, shown, with_tokens=is_due)

    prompt = form.components["prompt"]
    gr.on([run.click, prompt.submit], None, None, panes.identity, js=WAITING, **QUIET)
    callback = form.bind(generate)
    common: dict[str, Any] = {"outputs": panes.outputs, "show_progress": "hidden"} | GPU
    latest: dict[str, Any] = common | PRIVATE | {"trigger_mode": "always_last"}
    started = run.click(callback, form.inputs, api_name="generate", **common)
    entered = prompt.submit(callback, form.inputs, **common, **PRIVATE)
    for event in (started, entered):
        event.failure(None, panes.identity, panes.identity, js=NOT_WAITING, **QUIET)
    typed = [channel.strength.submit for channel in desk.channels]
    typed += [channel.muted.input for channel in desk.channels]
    events = [started, entered, gr.on(typed, callback, form.inputs, **latest)]
    for prefix, channel in zip(CHANNELS, desk.channels, strict=True):
        moved = form.inputs_with(**{f"{prefix}strength": channel.slider})
        events.append(channel.slider.input(callback, moved, **latest))
    return events


def _wire_stop(stop: gr.Button, runs: list[Any], panes: Panes) -> Any:
    """Connect Stop: what has been said stays, and is called so."""

    def told(result: Result | None) -> Any:
        if result is None or result.shown.is_finished:
            return gr.skip()
        count = result.shown.controlled_tokens
        return f"Stopped after {count} tokens; the text stays."

    # Only after it has ended, or what it still says would come on top.
    ended = stop.click(None, cancels=runs, **QUIET)
    stopped = ended.then(told, panes.result, panes.identity, **QUIET)
    stopped.then(None, panes.identity, panes.identity, js=NOT_WAITING, **QUIET)
    return stopped
