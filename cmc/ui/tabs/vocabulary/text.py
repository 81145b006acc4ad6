"""Text: one text tokenized both ways, span by span, and what the map carries of it."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from cmc.errors import DataError
from cmc.settings import MapRequest
from cmc.ui.form import PRIVATE, Form, guarded
from cmc.ui.tabs.vocabulary.spans import aligned, spans_html, told_spans
from cmc.ui.tabs.vocabulary.table import ON_CLICK
from cmc.workspace import Workspace
from cmc.workspace.maps import InspectedMap, inspect_map, measure_text

FIRST_TEXT = "Anna Kovac lives in Oslo and works as a painter."
LONGEST = 50_000  # characters that are measured
DRAWN = 1_500  # characters whose spans are drawn
LARGEST_UPLOAD = 4 * LONGEST  # bytes; a character takes at most four
SHARES = ("exact", "prefix", "extension", "composed", "chosen", "role", "none")


@dataclass(frozen=True, kw_only=True)
class TextChoices:
    """The map that is shown, and the text."""

    shown: MapRequest = field(default_factory=MapRequest)
    text: str = FIRST_TEXT


@dataclass(frozen=True)
class TextPart:
    """The components of the sub-tab."""

    text: gr.Textbox
    upload: gr.UploadButton
    spans: gr.HTML
    measured: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """Everything that `show` sets."""
        return [self.spans, self.measured]

    def show(self, found: InspectedMap, text: str) -> dict[Any, Any]:
        """Return the text both ways, and what the map carries of it."""
        text = checked_text(text)
        if not text:
            return {self.spans: spans_html([]), self.measured: ""}
        spans = aligned(found, text[:DRAWN])
        told = told_spans(spans)
        if len(text) > DRAWN:
            told = f"Of the first {DRAWN:,} characters: {told}"
        return {
            self.spans: spans_html(spans) + f'<p class="told">{told}</p>',
            self.measured: measured_html(measure_text(found, text), len(text)),
        }


def build_text() -> TextPart:
    """Lay out the sub-tab."""
    text = gr.Textbox(
        FIRST_TEXT, label="A text, tokenized both ways", lines=1, max_lines=4,
        info="Type or paste your own; a token of the target can be clicked.", elem_id="map-text",
    )  # fmt: skip
    spans = gr.HTML("", padding=False, js_on_load=ON_CLICK, label="Spans", elem_id="map-aligned")
    measured = gr.HTML("", padding=False, elem_id="map-measured")
    with gr.Row(elem_classes="actions"):
        upload = gr.UploadButton("Upload a text", file_types=["text", ".md"], elem_id="map-upload")
    return TextPart(text, upload, spans, measured)


def wire_text(
    workspace: Workspace, part: TextPart, shown: gr.State, changes: Sequence[Any]
) -> None:
    """Connect typing, an upload that becomes the text, and the events that change the map."""
    form = Form(TextChoices, {"shown": shown, "text": part.text})

    def show(choices: TextChoices) -> dict[Any, Any]:
        return part.show(inspect_map(workspace, choices.shown), choices.text)

    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"} | PRIVATE
    part.text.change(form.bind(show), form.inputs, part.outputs, **quiet)
    for each in changes:
        each.success(form.bind(show), form.inputs, part.outputs, **quiet)
    part.upload.upload(guarded(read_upload), part.upload, part.text, **PRIVATE)


def read_upload(path: str | None) -> str:
    """Return the text of an uploaded file.

    Raises:
        DataError: it is too large, or no text.
    """
    if not path:
        return ""
    file = Path(path)
    if file.stat().st_size > LARGEST_UPLOAD:
        raise DataError(
            f"{file.name} has {file.stat().st_size / 1000:,.0f} kB",
            hint=f"Give at most {LONGEST:,} characters; a part of it tells as much.",
        )
    try:
        return checked_text(file.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file.name} is no text in UTF-8 ({error.reason})", hint="Save it as UTF-8 first."
        ) from error


def checked_text(text: str | None) -> str:
    """Return a text that is not too long to be measured while a person waits."""
    if len(text or "") > LONGEST:
        raise DataError(
            f"the text has {len(text or ''):,} characters",
            hint=f"Give at most {LONGEST:,}; a part of it tells as much.",
        )
    return text or ""


def measured_html(told: Mapping[str, Any], characters: int) -> str:
    """Return grade and shares of a text, with a row per script where there are several."""
    letter = html.escape(told["grade"])
    said = html.escape(told["advice"])
    rows = [("whole text", told)]
    if len(told["scripts"]) > 1:
        rows += [(each["script"], each) for each in told["scripts"]]
    kinds = [kind for kind in SHARES if any(row.get(kind) for _, row in rows)]
    heads = "".join(
        f'<th class="{side}">{name}</th>'
        for name, side in [
            ("", ""), ("grade", ""), *((kind, "number") for kind in kinds),
            ("agree", "number"), ("tokens", "number"),
        ]
    )  # fmt: skip
    body = "".join(_row(name, row, kinds) for name, row in rows)
    return (
        f'<p class="grade"><b class="letter grade-{letter}">grade {letter}</b> on these '
        f"{characters:,} characters: {said}</p>"
        f'<div class="rows"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(name: str, row: Mapping[str, Any], kinds: list[str]) -> str:
    shares = "".join(f'<td class="number">{_percent(row[kind])}</td>' for kind in kinds)
    return (
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(row['grade'])}</td>{shares}"
        f'<td class="number">{_percent(row["agreement"])}</td>'
        f'<td class="number">{row["tokens"]:,}</td></tr>'
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
