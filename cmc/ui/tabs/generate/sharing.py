"""Take a result along: a link that restores the view, and a file."""

import os
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.ui.form import QUIET, Form
from cmc.ui.tabs.generate.choices import GenerateChoices
from cmc.ui.tabs.generate.link import link_query
from cmc.ui.tabs.generate.panes import Panes

# The page knows its own address; a clipboard may be closed to it, so that the link is shown too.
COPY = """async query => {
  const link = query.startsWith('?') ? location.origin + location.pathname + query : query;
  try { await navigator.clipboard.writeText(link); } catch { /* the box below has it */ }
  return link;
}"""
SAVE = """data => {
  if (!data) return;
  const file = new Blob([JSON.stringify(data, null, 1)], {type: 'application/json'});
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = 'generation.json';
  link.click();
  URL.revokeObjectURL(link.href);
}"""


@dataclass(frozen=True)
class Sharing:
    """The buttons, and the box that shows the link."""

    copy: gr.Button
    export: gr.Button
    link: gr.Textbox


def build_buttons() -> tuple[gr.Button, gr.Button]:
    """Lay out the two buttons, beside those that generate."""
    copy = gr.Button("Copy link", elem_id="copy-link", elem_classes="quiet")
    return copy, gr.Button("Export JSON", elem_id="export", elem_classes="quiet")


def build_link_box() -> gr.Textbox:
    """Lay out the box of the link, hidden until there is one."""
    return gr.Textbox(
        visible=False, label="Link to this view", buttons=["copy"], interactive=False,
        max_lines=1, elem_id="link",
    )  # fmt: skip


def wire_sharing(parts: Sharing, form: Form[GenerateChoices], panes: Panes) -> None:
    """Connect the buttons."""

    def link(choices: GenerateChoices) -> Any:
        query = link_query(choices)
        space = os.environ.get("SPACE_ID")
        return gr.Textbox(
            f"https://huggingface.co/spaces/{space}{query}" if space else query, visible=True
        )

    def told(result: Any) -> None:
        if result is None:
            gr.Info("Generate first: there is nothing to export yet.")

    made = parts.copy.click(form.bind(link), form.inputs, parts.link, **QUIET)
    made.success(None, parts.link, parts.link, js=COPY, **QUIET)
    parts.export.click(told, panes.result, None, **QUIET)
    parts.export.click(None, panes.data, None, js=SAVE, **QUIET)
