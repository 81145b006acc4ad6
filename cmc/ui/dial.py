"""A strength slider with ticks, and a number box for values beyond it."""

import gradio as gr

from cmc.settings import SLIDER_RANGE
from cmc.ui.form import QUIET

TICKS = (
    '<div class="ticks" aria-hidden="true"><span style="--at:-1">-1</span>'
    '<span style="--at:0">0 base</span><span style="--at:1">1 as trained</span>'
    '<span style="--at:2">2</span></div>'
)
CLAMP = f"x => Math.min({SLIDER_RANGE[1]}, Math.max({SLIDER_RANGE[0]}, x ?? 0))"


def strength_dial(elem_id: str, label: str) -> tuple[gr.Slider, gr.Number]:
    """Lay out a slider with ticks, and a number box for values beyond it."""
    low, high = SLIDER_RANGE
    with gr.Column(elem_classes="dial"):
        number = gr.Number(
            1.0,
            label=f"{label}, any value from -10 to 10",
            step=0.05,
            container=False,
            elem_id=elem_id,
            elem_classes="dial-value",
        )
        slider = gr.Slider(
            low,
            high,
            value=1.0,
            step=0.05,
            label=label,
            buttons=[],
            elem_id=f"{elem_id}-slider",
        )
        gr.HTML(TICKS, padding=False)
    slider.input(None, slider, number, js="x => x", **QUIET)
    number.input(None, number, slider, js=CLAMP, **QUIET)
    return slider, number
