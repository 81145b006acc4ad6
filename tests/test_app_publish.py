"""The fold that publishes: what it uploads, what it says, and that the token is gone."""

import gradio as gr
import pytest

from cmc.training.folder import write_json
from cmc.ui.tabs.train import publish as pane
from cmc.workspace import Workspace


@pytest.fixture
def press(monkeypatch, tmp_path):
    """Return what presses the button beside a run, and what was asked for then."""
    asked = []
    for name in ("mine", "newer"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        write_json(tmp_path / "runs" / name / "settings.json", {"name": name})
    monkeypatch.setattr(pane, "publish_run", lambda _, run, request, token: asked.append(
        (run.name, request, token)) or "https://hub/<me>/mine")  # fmt: skip
    with gr.Blocks() as demo:
        pane.build_publish_pane(Workspace(home=tmp_path), gr.State({"run": "mine"}))
    (event,) = demo.fns.values()
    return event.fn, asked


def test_the_shown_runs_controller_is_uploaded_and_the_token_is_gone(press):
    push, asked = press
    told, token = push({"run": "mine"}, " me/mine ", "mit", " hf_x ", False)
    ((name, request, used),) = asked
    assert (name, request.repo, request.licence, request.private, used) == (
        "mine", "me/mine", "mit", False, "hf_x",
    )  # fmt: skip
    assert token == ""
    assert "https://hub/&lt;me&gt;/mine" in told
    assert "hf_x" not in told


def test_a_mistake_is_a_toast_and_uploads_nothing(press):
    push, asked = press
    with pytest.raises(gr.Error, match="no name of a repository"):
        push({"run": "mine"}, "mine", "", "hf_x", True)
    with pytest.raises(gr.Error, match='no run "gone"'):  # and not another one in its place
        push({"run": "gone"}, "me/mine", "", "hf_x", True)
    assert not asked
