"""Strengths and targets side by side: a row per target, a column per strength."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.settings import CompareRequest
from cmc.ui.form import GPU, QUIET, Form
from cmc.ui.gpu import lent_gpu
from cmc.ui.paced import paced
from cmc.ui.sentences import labelled_targets, speed_line
from cmc.ui.tabs.generate.choices import CompareChoices
from cmc.workspace import Workspace
from cmc.workspace.comparison import Compared

TEXT = {
    "targets": "None chosen means the target above.",
    "strengths": "Of the first controller; the others keep theirs. All are one batch.",
}


@dataclass(frozen=True)
class Comparison:
    """The components of a comparison."""

    fields: dict[str, Any]
    run: gr.Button
    stop: gr.Button
    grid: gr.HTML
    result: gr.JSON


def build_compare(workspace: Workspace) -> Comparison:
    """Lay out what to compare and the grid."""
    with gr.Accordion("Strengths and targets side by side", open=False, elem_id="compare-part"):
        with gr.Row():
            fields = {
                "targets": gr.Dropdown(
                    labelled_targets(workspace),
                    value=[],
                    multiselect=True,
                    label="Targets",
                    info=TEXT["targets"],
                    allow_custom_value=workspace.mode == "local",
                    elem_id="compare-targets",
                ),
                "strengths": gr.Textbox(
                    CompareChoices.strengths,
                    label="Strengths",
                    info=TEXT["strengths"],
                    elem_id="compare-strengths",
                ),
            }
        with gr.Row(elem_classes="actions"):
            run = gr.Button("Compare", variant="primary", elem_id="compare")
            stop = gr.Button("Stop", elem_id="compare-stop")
        grid = gr.HTML("", label="Comparison", padding=False, elem_id="compare-grid")
        # For callers of the API; a person reads the grid.
        result = gr.JSON(visible=False, label="Comparison as data")
    return Comparison(fields, run, stop, grid, result)


def wire_compare(workspace: Workspace, parts: Comparison, fields: dict[str, Any]) -> None:
    """Connect the buttons.

    Args:
        workspace: what streams the comparison.
        parts: its components.
        fields: those of the tab, which it shares.
    """
    form = Form(CompareChoices, fields | parts.fields)
    stream = lent_gpu(workspace.stream_comparison)

    def compare(choices: CompareChoices) -> Iterator[tuple[Any, ...]]:
        """Ask several targets the same at several strengths; all strengths are one batch.

        `targets` is a list, `strengths` a text such as "0, 0.5, 1", of the first controller.
        "Comparison as data" has a row per target, with an answer per strength or an error.
        """
        request = choices.comparison()
        found: Sequence[Compared] = []
        for found in paced(stream(request)):
            yield grid_html(request, found), gr.skip()
        yield grid_html(request, found), comparison_data(request, found)

    started = parts.run.click(
        form.bind(compare),
        form.inputs,
        [parts.grid, parts.result],
        api_name="compare",
        show_progress="hidden",
        **GPU,
    )
    parts.stop.click(None, cancels=started, **QUIET)


def grid_html(request: CompareRequest, found: Sequence[Compared]) -> str:
    """Return the answers as a table; every text is escaped."""
    (varied, _), *others = request.controllers.items()
    told = ", ".join([f"strength of {varied}", *(f"{name} at {at:g}" for name, at in others)])
    heads = "".join(
        f"<th>{strength:g}{' · base' if _is_base(request, strength) else ''}</th>"
        for strength in request.strengths
    )
    rows = "".join(_row(each, len(request.strengths)) for each in found)
    return (
        f'<div class="compare" tabindex="0"><table><caption>{html.escape(told)}</caption>'
        f"<tr><th></th>{heads}</tr>{rows}</table></div>"
    )


def comparison_data(request: CompareRequest, found: Sequence[Compared]) -> dict[str, Any]:
    """Return the same as plain data; answers are in the order of the strengths."""
    return {
        "prompt": request.prompt,
        "controllers": dict(request.controllers),
        "maps": list(request.maps),
        "rows": [
            {
                "target": each.target,
                "transfers": list(each.transfers),
                "error": each.error,
                "seconds": round(each.seconds, 3),
                "answers": [
                    {"strength": strength, "text": text, "tokens": tokens}
                    for strength, text, tokens in zip(
                        request.strengths, each.texts, each.token_counts, strict=False
                    )
                ],
            }
            for each in found
        ],
    }


def _row(row: Compared, columns: int) -> str:
    """Return one target's answers, or why there are none."""
    told = speed_line(sum(row.token_counts), row.seconds) if row.token_counts else ""
    head = f"<th>{html.escape(row.target)}<small>{html.escape(told)}</small></th>"
    if row.error:
        return f'<tr>{head}<td colspan="{columns}" class="bad">{html.escape(row.error)}</td></tr>'
    if not row.texts:
        return f'<tr>{head}<td colspan="{columns}" class="waiting">…</td></tr>'
    return f"<tr>{head}{''.join(f'<td>{html.escape(text)}</td>' for text in row.texts)}</tr>"


def _is_base(request: CompareRequest, strength: float) -> bool:
    """Tell whether a column is the target alone."""
    return strength == 0 and not any(list(request.controllers.values())[1:])
