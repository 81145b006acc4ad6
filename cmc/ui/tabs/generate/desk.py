"""The mixing desk: a strength slider with ticks and a number box for each controller."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.settings import STARTER_CONTROLLER, STARTER_TARGET
from cmc.ui.form import QUIET, guarded
from cmc.ui.tabs.generate.choices import CHANNELS, NO_CONTROLLER
from cmc.workspace import Workspace
from cmc.workspace.advice import StrengthAdvice

# Numbers beyond the slider's ends rest at its end; only the number box can hold them.
CLAMP = """x => {
  const slider = document.querySelector('#%s-slider input[type=range]');
  return slider ? Math.min(+slider.max, Math.max(+slider.min, x ?? 0)) : x;
}"""
STEP = 0.05
ALL_USED = "Every controller listed here is on the desk."
TYPE_ONE = " Type the folder or Hub id of another."


@dataclass(frozen=True)
class ChannelParts:
    """The components of one channel."""

    box: gr.Column
    controller: gr.Dropdown
    strength: gr.Number
    slider: gr.Slider
    ticks: gr.HTML
    muted: gr.Checkbox
    remove: gr.Button


@dataclass(frozen=True)
class Desk:
    """All channels, with the buttons below."""

    channels: tuple[ChannelParts, ...]
    add: gr.Button
    reset: gr.Button

    def fields(self) -> dict[str, Any]:
        """Return the components by the fields of `GenerateChoices`."""
        found: dict[str, Any] = {}
        for prefix, channel in zip(CHANNELS, self.channels, strict=True):
            found[f"{prefix}controller"] = channel.controller
            found[f"{prefix}strength"] = channel.strength
            found[f"{prefix}muted"] = channel.muted
        return found

    @property
    def outputs(self) -> list[Any]:
        """Everything that `shown` may set."""
        parts = ("box", "controller", "strength", "slider", "ticks", "muted")
        return [getattr(channel, part) for channel in self.channels for part in parts]

    def shown(self, workspace: Workspace, values: dict[str, Any]) -> dict[Any, Any]:
        """Return updates that put the channels a link or the history names on the desk."""
        updates: dict[Any, Any] = {}
        steered = values.get("target", STARTER_TARGET)
        for prefix, channel in zip(CHANNELS, self.channels, strict=True):
            if f"{prefix}controller" in values:
                name = values[f"{prefix}controller"]
                strength = values[f"{prefix}strength"]
                updates |= _set(channel, workspace.strength_advice(name, steered), strength, name)
                updates[channel.muted] = values[f"{prefix}muted"]
            elif f"{prefix}strength" in values:
                advice = workspace.strength_advice(STARTER_CONTROLLER, steered)
                strength = values[f"{prefix}strength"]
                updates[channel.strength] = strength
                updates[channel.slider] = min(advice.high, max(advice.low, strength))
        return updates

    def marks(self, workspace: Workspace, target: str, names: Sequence[str]) -> dict[Any, Any]:
        """Return updates that mark what is recommended for a target; strengths stay."""
        updates: dict[Any, Any] = {}
        for channel, name in zip(self.channels, names, strict=True):
            advice = workspace.strength_advice(name or "", target or "")
            updates[channel.ticks] = ticks_html(advice)
            updates[channel.slider] = gr.Slider(label=_dial_label(advice))
        return updates


def ticks_html(advice: StrengthAdvice) -> str:
    """Return the marks under a slider: its ends, 0, 1, and what is recommended."""
    words = {0.0: "0 base", 1.0: "1 as trained"}
    places = sorted(
        {advice.low, advice.high, *(x for x in words if advice.low <= x <= advice.high)}
    )
    length = advice.high - advice.low
    marks = [
        f'<span style="--at:{(place - advice.low) / length:.4f}"'
        f"{_edge(place, advice)}>{html.escape(words.get(place, f'{place:g}'))}</span>"
        for place in places
    ]
    at = min(1.0, max(0.0, (advice.recommended - advice.low) / length))
    why = html.escape(f"recommended: {advice.recommended:g}, {advice.why}")
    marks.append(f'<i style="--at:{at:.4f}" title="{why}"></i>')
    marks += [_stretch(advice, *each) for each in advice.harm]
    return f'<div class="ticks" aria-hidden="true">{"".join(marks)}</div>'


def _dial_label(advice: StrengthAdvice) -> str:
    """Return the name of a slider, which tells the recommended strength also without a mouse."""
    return f"Strength · ▲ {advice.recommended:g} recommended"


def build_desk(workspace: Workspace, target: gr.Dropdown) -> Desk:
    """Lay out the channels, of which the first holds the starter controller."""
    with gr.Column(elem_classes="desk"):
        channels = tuple(
            _channel(workspace, prefix.replace("_", "-"), STARTER_CONTROLLER if not prefix else "")
            for prefix in CHANNELS
        )
        with gr.Row(elem_classes="actions"):
            add = gr.Button("+ Add controller", size="sm", elem_id="desk-add")
            reset = gr.Button("Reset strengths", size="sm", elem_id="desk-reset")
    desk = Desk(channels, add, reset)
    _wire(workspace, desk, target)
    return desk


def _channel(workspace: Workspace, prefix: str, name: str) -> ChannelParts:
    """Lay out one channel; without a controller it is hidden."""
    advice = workspace.strength_advice(name or STARTER_CONTROLLER, STARTER_TARGET)
    label = "Controller" if not prefix else f"{prefix.strip('-').capitalize()} controller"
    with gr.Column(visible=bool(name), elem_classes="dial") as box:
        with gr.Row(elem_classes="channel-head"):
            controller = gr.Dropdown(
                workspace.names_of_controllers(),
                value=name,
                label=label,
                allow_custom_value=True,
                elem_id=f"{prefix}controller",
                elem_classes="bare",
                scale=3,
                min_width=100,
            )
            muted = gr.Checkbox(
                False, label="Mute", container=False, elem_id=f"{prefix}muted", min_width=60
            )
            remove = gr.Button("✕", size="sm", elem_id=f"{prefix}remove", min_width=30, scale=0)
        strength, slider, ticks = _dial(advice, f"{prefix}strength")
    slider.input(None, slider, strength, js="x => x", **QUIET)
    strength.input(None, strength, slider, js=CLAMP % f"{prefix}strength", **QUIET)
    return ChannelParts(box, controller, strength, slider, ticks, muted, remove)


def _dial(advice: StrengthAdvice, elem_id: str) -> tuple[gr.Number, gr.Slider, gr.HTML]:
    """Lay out a slider with marks, and a number box for values beyond its ends."""
    with gr.Column(elem_classes="strength-row"):
        number = gr.Number(
            advice.recommended,
            label="Strength, any value from -10 to 10",
            step=STEP,
            container=False,
            elem_id=elem_id,
            elem_classes="dial-value",
        )
        slider = gr.Slider(
            advice.low,
            advice.high,
            value=advice.recommended,
            step=STEP,
            label=_dial_label(advice),
            buttons=[],
            elem_id=f"{elem_id}-slider",
        )
        ticks = gr.HTML(ticks_html(advice), padding=False)
    return number, slider, ticks


def _wire(workspace: Workspace, desk: Desk, target: gr.Dropdown) -> None:
    """Connect choosing, adding, removing and resetting."""
    names = [channel.controller for channel in desk.channels]

    def add(steered: str, *used: str) -> dict[Any, Any]:
        free = [i for i, name in enumerate(used) if not name]
        if not free:
            gr.Info(f"The desk has {len(CHANNELS)} channels. Remove a controller first.")
            return {desk.add: gr.skip()}
        unused = [each for each in workspace.names_of_controllers() if each not in used]
        if not unused:  # the same twice would only be refused
            gr.Info(ALL_USED + (TYPE_ONE if workspace.mode == "local" else ""))
        name = unused[0] if unused else NO_CONTROLLER
        advice = workspace.strength_advice(name, steered or "")
        updates = _set(desk.channels[free[0]], advice, advice.recommended, name)
        if not name and workspace.mode == "local":
            updates[desk.channels[free[0]].box] = gr.Column(visible=True)
        return updates

    def reset(steered: str, *used: str) -> dict[Any, Any]:
        updates: dict[Any, Any] = {}
        for channel, name in zip(desk.channels, used, strict=True):
            advice = workspace.strength_advice(name or "", steered or "")
            inside = min(advice.high, max(advice.low, advice.recommended))
            updates |= {channel.strength: advice.recommended, channel.slider: inside}
            updates[channel.muted] = False
        return updates

    for channel in desk.channels:
        outputs = [channel.box, channel.controller, channel.strength, channel.slider]
        outputs += [channel.ticks, channel.muted]
        chosen = [channel.controller, target]
        channel.controller.input(_chooser(workspace, channel), chosen, outputs, **QUIET)
        cleared = {channel.box: gr.Column(visible=False), channel.controller: NO_CONTROLLER}
        channel.remove.click(_always(cleared), None, outputs, **QUIET)
    desk.add.click(guarded(add), [target, *names], [*desk.outputs, desk.add], **QUIET)
    desk.reset.click(guarded(reset), [target, *names], desk.outputs, **QUIET)


def _chooser(workspace: Workspace, channel: ChannelParts) -> Callable[..., dict[Any, Any]]:
    """Return what shows the range of the controller that was chosen."""

    def choose(name: str, steered: str) -> dict[Any, Any]:
        advice = workspace.strength_advice(name or "", steered or "")
        return _set(channel, advice, advice.recommended, name, keeps_name=True)

    return guarded(choose)


def _always(updates: dict[Any, Any]) -> Callable[[], dict[Any, Any]]:
    """Return what gives the same updates each time."""
    return lambda: updates


def _set(
    channel: ChannelParts,
    advice: StrengthAdvice,
    strength: float,
    name: str,
    *,
    keeps_name: bool = False,
) -> dict[Any, Any]:
    """Return updates that show a controller on a channel, or hide the channel without one."""
    low, high = advice.low, advice.high
    inside = min(high, max(low, strength))
    updates = {
        channel.box: gr.Column(visible=bool(name) or keeps_name),
        channel.strength: strength,
        channel.slider: gr.Slider(
            minimum=low, maximum=high, value=inside, label=_dial_label(advice)
        ),
        channel.ticks: ticks_html(advice),
        channel.muted: False,
    }
    return updates if keeps_name else updates | {channel.controller: name}


def _stretch(advice: StrengthAdvice, start: float, end: float) -> str:
    """Return a stretch of strengths that do harm, as far as it lies on the slider."""
    length = advice.high - advice.low
    start, end = (min(advice.high, max(advice.low, each)) - advice.low for each in (start, end))
    return f'<u style="--at:{start / length:.4f};--to:{end / length:.4f}" title="does harm"></u>'


def _edge(place: float, advice: StrengthAdvice) -> str:
    """Return the class of a mark at an end of the slider, which may not stick out."""
    if place == advice.low:
        return ' class="first"'
    return ' class="last"' if place == advice.high else ""
