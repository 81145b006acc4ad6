"""The page: header, tabs, and what happens when it opens."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from cmc.ui.form import QUIET
from cmc.ui.tabs.evaluate import build_evaluate_tab
from cmc.ui.tabs.generate import GenerateTab, build_generate_tab
from cmc.ui.tabs.generate.link import Offer, read_link
from cmc.ui.tabs.guide import build_guide_tab
from cmc.ui.tabs.train import TrainTab, build_train_tab
from cmc.ui.tabs.vocabulary import build_vocabulary_tab
from cmc.ui.theme import build_theme
from cmc.workspace import ASSETS, RUN_PREFIX, Workspace

TABS = ("generate", "train", "vocabulary", "evaluate", "guide")
HEADER = """
<div class="brand"><h1>Cross-model Control</h1>
<p>One tiny network, trained once, steers other language models: without touching their weights.</p>
</div>
"""
MODE_NOTES = {
    "local": "local",
    "demo": "public demo · training is off",
    "open-lab": "public lab · training is on",
}


def build_app(workspace: Workspace) -> gr.Blocks:
    """Return the whole app for one workspace."""
    with gr.Blocks(
        title="Cross-model Control",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(600, 3600),
        elem_id="app",
    ) as demo:
        with gr.Row(elem_id="header"):
            gr.HTML(HEADER, padding=False)
            gr.HTML(f'<span class="mode">{MODE_NOTES[workspace.mode]}</span>', elem_id="mode")
        with gr.Tabs(selected="generate", elem_id="tabs") as tabs:
            with gr.Tab("Generate", id="generate") as first:
                generate = build_generate_tab(workspace, first)
            with gr.Tab("Train", id="train"):
                train = build_train_tab(workspace, demo)
            with gr.Tab("Vocabulary", id="vocabulary") as third:
                inspected = build_vocabulary_tab(workspace, demo)
            with gr.Tab("Evaluate", id="evaluate") as fourth:
                evaluated = build_evaluate_tab(workspace, demo)
            with gr.Tab("Guide", id="guide"):
                build_guide_tab(workspace)
        choices = [*generate.controllers, inspected, *evaluated]
        _keep_controllers_fresh(workspace, demo, (first, third, fourth), choices)
        _restore_from_link(workspace, demo, tabs, generate)
        _use_controller_of_run(workspace, tabs, train, generate)
        _keep_marks_fresh(workspace, demo, first, generate)
    return demo


def launch_arguments() -> dict[str, Any]:
    """Return how the app is served: no telemetry, no public link, no server-side rendering."""
    return {
        "theme": build_theme(),
        "css_paths": [str(ASSETS / "style.css")],
        "ssr_mode": False,
        "show_error": False,
        "mcp_server": False,
        "run_history": False,
        "share": False,
        "strict_cors": True,
        "enable_monitoring": False,
        "allowed_paths": [],
        "blocked_paths": [str(Path(__file__).resolve().parents[2] / ".git")],
        "max_file_size": "20mb",
        "state_session_capacity": 500,
        "footer_links": ["api", "settings"],
    }


def _restore_from_link(
    workspace: Workspace, demo: gr.Blocks, tabs: gr.Tabs, generate: GenerateTab
) -> None:
    """Set what a link names, and tell what in it was left out."""

    def restore(request: gr.Request) -> dict[Any, Any]:
        offer = Offer(
            tabs=TABS,
            targets=workspace.names_of_targets(),
            controllers=workspace.names_of_controllers(),
            is_open=workspace.mode == "local",
            find_map=workspace.map_name,
        )
        wanted, complaints = read_link(request.query_params.multi_items(), offer)
        if complaints:  # one toast for all: the page folds several into one
            told = [html.escape(each, quote=False) for each in complaints]
            gr.Warning("<br>".join(["Left out of the link:", *told]), duration=20)
        tab = wanted.pop("tab", None)
        return {tabs: gr.Tabs(selected=tab) if tab else gr.skip()} | generate.shown(
            workspace, wanted
        )

    demo.load(restore, None, [tabs, *generate.outputs], **QUIET)


def _keep_controllers_fresh(
    workspace: Workspace, demo: gr.Blocks, tabs: tuple[gr.Tab, ...], choices: list[gr.Dropdown]
) -> None:
    """Offer the controllers of finished runs when the page or a tab opens."""

    def refresh() -> list[Any]:
        names = workspace.names_of_controllers()
        return [gr.Dropdown(choices=names) for _ in choices]

    gr.on([demo.load, *(tab.select for tab in tabs)], refresh, None, choices, **QUIET)


def _keep_marks_fresh(
    workspace: Workspace, demo: gr.Blocks, tab: gr.Tab, generate: GenerateTab
) -> None:
    """Mark the strengths that sweeps recommend, when the page or the tab opens, and per target."""
    target = generate.fields["target"]

    def mark(steered: str, *names: str) -> dict[Any, Any]:
        return generate.desk.marks(workspace, steered, names)

    marks = [each for part in generate.desk.channels for each in (part.ticks, part.slider)]
    gr.on(
        [demo.load, tab.select, target.change],
        mark,
        [target, *generate.controllers],
        marks,
        **QUIET,
    )


def _use_controller_of_run(
    workspace: Workspace, tabs: gr.Tabs, train: TrainTab, generate: GenerateTab
) -> None:
    """Bring the controller of the shown run to Generate."""
    target = generate.fields["target"]

    def use(seen: Mapping[str, str], steered: str) -> dict[Any, Any]:
        name = RUN_PREFIX + seen["run"]
        recommended = workspace.strength_advice(name, steered).recommended
        wanted = {"target": steered, "controller": name, "strength": recommended, "muted": False}
        return generate.shown(workspace, wanted) | {tabs: gr.Tabs(selected="generate")}

    train.use.click(use, [train.seen, target], [tabs, *generate.outputs], **QUIET)
