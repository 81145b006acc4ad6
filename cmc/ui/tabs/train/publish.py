"""Publish the shown run's controller on the Hub, with the token of whoever asks."""

import html

import gradio as gr

from cmc.settings import PublishRequest
from cmc.ui.form import PRIVATE, guarded
from cmc.workspace import Workspace
from cmc.workspace.publishing import publish_run

ABOUT = (
    "Uploads the controller of the shown run with a model card. The token is used once, and kept "
    "and logged nowhere."
)
SIGNED_IN = " Leave it empty if you are signed in on this machine (<code>hf auth login</code>)."


def build_publish_pane(workspace: Workspace, seen: gr.State) -> None:
    """Lay out the fold below the runs, and wire it.

    Args:
        workspace: whose runs and store.
        seen: which run is shown, as the run view keeps it.
    """
    with gr.Accordion("Publish on the Hub", open=False, elem_id="train-publish"):
        about = ABOUT + (SIGNED_IN if workspace.mode == "local" else "")
        gr.HTML(about, padding=False, elem_classes="note")
        with gr.Row():
            repo = gr.Textbox(label="Repository", placeholder="owner/name", elem_id="publish-repo")
            licence = gr.Textbox(
                label="Licence", placeholder="such as apache-2.0", elem_id="publish-licence"
            )
        token = gr.Textbox(
            label="Token that may write", type="password", elem_id="publish-token",
            placeholder="hf_…",
        )  # fmt: skip
        private = gr.Checkbox(True, label="Private, where the repository is new")
        button = gr.Button("Publish", elem_id="publish-button")
        told = gr.HTML("", padding=False, elem_id="publish-told", elem_classes="note")

    def upload(
        seen: dict[str, str], repo: str, licence: str, token: str, private: bool
    ) -> tuple[str, str]:
        """Upload; return where it is, and an empty field for the token."""
        run = workspace.run(seen["run"])
        request = PublishRequest(repo=repo.strip(), private=private, licence=licence.strip())
        address = html.escape(publish_run(workspace, run, request, token=token.strip()))
        name = html.escape(run.name)
        return f'{name} is at <a href="{address}" target="_blank">{address}</a>', ""

    button.click(
        guarded(upload), [seen, repo, licence, token, private], [told, token],
        show_progress_on=[told], **PRIVATE,
    )  # fmt: skip
