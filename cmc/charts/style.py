"""Colours and quiet axes that all charts share."""

import plotly.graph_objects as go

# Told apart by colour-blind people, and legible on a light and on a dark page.
BLUE, ORANGE, GREEN, PURPLE, RED, GREY = (
    "#4f7cff",
    "#e8833a",
    "#1f9d7a",
    "#a06bd6",
    "#d5545c",
    "#8b95a7",
)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)  # of lines and dots, in their order
PINK = "#d64f9b"
TRANSFER_COLOURS = {"cover": BLUE, "pm-mined": ORANGE, "same": GREEN}
KIND_COLOURS = {
    "exact": GREEN,
    "prefix": BLUE,
    "extension": PURPLE,
    "composed": ORANGE,
    "role": GREY,
    "chosen": PINK,
    "none": RED,
}
INK = "#7c8799"  # text that reads on white and on near black
GRID = "rgba(128, 140, 160, 0.22)"
MAX_POINTS = 400  # per curve; a browser draws this many without a pause


def calm(figure: go.Figure, height: int) -> go.Figure:
    """Take away everything that is not data, and let the page's colour through."""
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": ""}
    figure.update_layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        margin={"l": 64, "r": 16, "t": 36, "b": 44},
        legend=legend,
        hovermode="closest",
    )
    shared = {"zeroline": False, "automargin": True, "title_font_size": 13}
    figure.update_xaxes(showgrid=False, linecolor=GRID, **shared)
    return figure.update_yaxes(gridcolor=GRID, **shared)


def with_message(figure: go.Figure, text: str) -> go.Figure:
    """Say in an empty chart what will be there."""
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return figure.add_annotation(text=text, showarrow=False, font={"size": 14, "color": INK})


def waiting(text: str) -> go.Figure:
    """Return an empty chart that says when it will be filled."""
    return with_message(calm(go.Figure(), height=200), text)
