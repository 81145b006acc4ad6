"""Generate: base and controlled side by side, with a slider."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.settings import (
    STARTER_CONTROLLER,
    STARTER_TARGET,
    TRANSFERS,
    GenerationRequest,
    Sampling,
)
from cmc.ui.dial import strength_dial
from cmc.ui.form import GPU, PRIVATE, QUIET, Form
from cmc.ui.gpu import lent_gpu
from cmc.ui.sentences import identity_line, labelled_targets, provenance_line, speed_line
from cmc.workspace import SideBySide, Workspace

NO_CONTROLLER = ""
UPDATES_PER_SECOND = 15  # a browser keeps up with about 170; more only costs time
WAITING = "() => 'Waiting for the first token ...'"
NOT_WAITING = "text => text.startsWith('Waiting') ? '' : text"
TEXT = {
    "transfer": "How the shift reaches another vocabulary.",
    "empty": "Press Generate: both panes come from one batch, side by side.",
}


@dataclass(frozen=True, kw_only=True)
class GenerateChoices:
    """What stands in the Generate tab."""

    prompt: str
    target: str = STARTER_TARGET
    controller: str = STARTER_CONTROLLER
    strength: float = 1.0
    second_controller: str = NO_CONTROLLER
    second_strength: float = 1.0
    transfer: str = "auto"
    max_new_tokens: int = Sampling.max_new_tokens
    temperature: float = Sampling.temperature
    top_p: float = Sampling.top_p
    top_k: int = Sampling.top_k
    min_p: float = Sampling.min_p
    seed: int = Sampling.seed

    def request(self) -> GenerationRequest:
        """Return the same choices as a request; raises `SettingError` where one is wrong."""
        names = ("max_new_tokens", "temperature", "top_p", "top_k", "min_p", "seed")
        controllers = {self.controller: self.strength}
        if self.second_controller and self.second_controller != self.controller:
            controllers[self.second_controller] = self.second_strength
        return GenerationRequest(
            prompts=(self.prompt or "",),
            target=self.target,
            controllers=controllers,
            transfer=self.transfer,
            sampling=Sampling(**{name: getattr(self, name) for name in names}),
        )


@dataclass(frozen=True)
class GenerateTab:
    """The components that other parts of the app set."""

    prompt: gr.Textbox
    target: gr.Dropdown
    controllers: tuple[gr.Dropdown, gr.Dropdown]
    strength: gr.Number
    slider: gr.Slider


def build_generate_tab(workspace: Workspace) -> GenerateTab:
    """Lay out the tab and wire it."""
    with gr.Row(equal_height=False, elem_classes="page"):
        with gr.Column(scale=0, min_width=350, elem_classes="panel"):
            fields, sliders = _steering(workspace)
        with gr.Column(scale=1, min_width=420):
            prompts = workspace.prompts()
            fields = {"prompt": _prompt_box(prompts[0])} | fields
            with gr.Row(elem_classes="actions"):
                run = gr.Button("Generate", variant="primary", elem_id="generate")
                stop = gr.Button("Stop", elem_id="generate-stop")
            outputs = _panes()
            gr.Examples([[prompt] for prompt in prompts[1:]], fields["prompt"], label="More to try")
    form = Form(GenerateChoices, fields)
    _wire(workspace, form, sliders, outputs, (run, stop))
    return GenerateTab(
        fields["prompt"],
        fields["target"],
        (fields["controller"], fields["second_controller"]),
        fields["strength"],
        sliders["strength"],
    )


def _steering(workspace: Workspace) -> tuple[dict[str, Any], dict[str, gr.Slider]]:
    """Lay out target, controllers, strengths and the folded details."""
    is_open = workspace.mode == "local"
    names = workspace.names_of_controllers()
    fields: dict[str, Any] = {}
    sliders: dict[str, gr.Slider] = {}
    fields["target"] = gr.Dropdown(
        labelled_targets(workspace),
        value=STARTER_TARGET,
        label="Target",
        info="The language model that is steered.",
        allow_custom_value=is_open,
        elem_id="target",
    )
    fields["controller"] = gr.Dropdown(
        names,
        value=STARTER_CONTROLLER,
        label="Controller",
        info="The tiny model that steers it.",
        allow_custom_value=is_open,
        elem_id="controller",
    )
    fields["transfer"] = gr.Dropdown(
        list(TRANSFERS), value="auto", label="Transfer", info=TEXT["transfer"], elem_id="transfer"
    )
    sliders["strength"], fields["strength"] = strength_dial("strength", "Strength")
    with gr.Accordion("Second controller", open=False, elem_id="second"):
        fields["second_controller"] = gr.Dropdown(
            [("none", NO_CONTROLLER), *names],
            value=NO_CONTROLLER,
            label="Second controller",
            allow_custom_value=is_open,
            elem_id="second-controller",
        )
        sliders["second_strength"], fields["second_strength"] = strength_dial(
            "second-strength", "Its strength"
        )
    with gr.Accordion("Sampling", open=False, elem_id="details"):
        fields |= _sampling()
    return fields, sliders


def _sampling() -> dict[str, Any]:
    """Lay out how tokens are drawn; every default comes from `Sampling`."""
    default = Sampling()
    return {
        "max_new_tokens": gr.Slider(
            1, 512, default.max_new_tokens, step=1, label="Most new tokens", elem_id="tokens"
        ),
        "temperature": gr.Slider(
            0,
            2,
            default.temperature,
            step=0.05,
            label="Temperature",
            info="0 takes the likeliest token.",
            elem_id="temperature",
        ),
        "top_p": gr.Slider(0, 1, default.top_p, step=0.01, label="Top p", elem_id="top-p"),
        "top_k": gr.Number(
            default.top_k, precision=0, label="Top k", info="0 is off.", elem_id="top-k"
        ),
        "min_p": gr.Slider(0, 1, default.min_p, step=0.01, label="Min p", elem_id="min-p"),
        "seed": gr.Number(default.seed, precision=0, label="Seed", elem_id="seed"),
    }


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


def _panes() -> list[Any]:
    """Lay out the two panes with their speeds, and two lines below."""
    with gr.Row(equal_height=True, elem_classes="panes"):
        base, base_speed = _pane("base", "Base · strength 0")
        controlled, controlled_speed = _pane("controlled", "Controlled")
    identity = gr.HTML(TEXT["empty"], padding=False, elem_id="identity", elem_classes="note")
    provenance = gr.HTML("", padding=False, elem_id="provenance", elem_classes="note faint")
    return [base, controlled, base_speed, controlled_speed, identity, provenance]


def _pane(elem_id: str, label: str) -> tuple[gr.Textbox, gr.HTML]:
    """Lay out one reply and its speed."""
    with gr.Column(min_width=240, elem_classes=["pane", elem_id]):
        text = gr.Textbox(
            "",
            label=label,
            lines=7,
            max_lines=14,
            interactive=False,
            buttons=["copy"],
            elem_id=f"{elem_id}-text",
        )
        speed = gr.HTML("", padding=False, elem_id=f"{elem_id}-speed", elem_classes="speed")
    return text, speed


def _wire(
    workspace: Workspace,
    form: Form[GenerateChoices],
    sliders: dict[str, gr.Slider],
    outputs: list[Any],
    buttons: tuple[gr.Button, gr.Button],
) -> None:
    """Connect buttons, Enter and sliders to one generator."""
    stream = lent_gpu(workspace.stream_side_by_side)

    def generate(choices: GenerateChoices) -> Iterator[tuple[Any, ...]]:
        """Stream what a target says alone and under control, from one batch."""
        for shown in _paced(stream(choices.request())):
            yield _shown(choices, shown)

    run, stop = buttons
    identity = outputs[4]
    gr.on([run.click, form.components["prompt"].submit], None, None, identity, js=WAITING, **QUIET)
    callback = form.bind(generate)
    common: dict[str, Any] = {"outputs": outputs, "show_progress": "hidden"} | GPU
    started = run.click(callback, form.inputs, api_name="generate", **common)
    events = [
        form.components["prompt"].submit(callback, form.inputs, **common, **PRIVATE),
        gr.on(
            [form.components["strength"].submit, form.components["second_strength"].submit],
            callback,
            form.inputs,
            trigger_mode="always_last",
            **common,
            **PRIVATE,
        ),
    ]
    events += [
        slider.input(
            callback,
            form.inputs_with(**{name: slider}),
            trigger_mode="always_last",
            **common,
            **PRIVATE,
        )
        for name, slider in sliders.items()
    ]
    stop.click(None, cancels=[started, *events], **QUIET)
    for ended in (stop.click, started.failure, events[0].failure):
        ended(None, identity, identity, js=NOT_WAITING, **QUIET)


def _shown(choices: GenerateChoices, shown: SideBySide) -> tuple[Any, ...]:
    """Return the values of the outputs, in order."""
    return (
        shown.base,
        shown.controlled,
        speed_line(shown.base_tokens, shown.base_seconds),
        speed_line(shown.controlled_tokens, shown.controlled_seconds),
        identity_line(shown),
        provenance_line(choices.request(), shown),
    )


def _paced(stream: Iterator[SideBySide]) -> Iterator[SideBySide]:
    """Pass on at most `UPDATES_PER_SECOND`, and always the last."""
    due, held = 0.0, None
    for shown in stream:
        held = shown
        if time.monotonic() >= due:
            due, held = time.monotonic() + 1 / UPDATES_PER_SECOND, None
            yield shown
    if held is not None:
        yield held
