"""The page: header, tabs, and what happens when it opens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from cmc.errors import SettingError
from cmc.settings import SLIDER_RANGE, STRENGTH_RANGE, checked_number
from cmc.ui.form import QUIET
from cmc.ui.tabs.evaluate import build_evaluate_tab
from cmc.ui.tabs.generate import NO_CONTROLLER, GenerateTab, build_generate_tab
from cmc.ui.tabs.guide import build_guide_tab
from cmc.ui.tabs.train import TrainTab, build_train_tab
from cmc.ui.tabs.vocabulary import build_vocabulary_tab
from cmc.ui.theme import build_theme
from cmc.workspace import ASSETS, RUN_PREFIX, Workspace

TABS = ("generate", "train", "vocabulary", "evaluate", "guide")
LONGEST_PROMPT = 8000  # characters taken from a link
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
                generate = build_generate_tab(workspace)
            with gr.Tab("Train", id="train"):
                train = build_train_tab(workspace, demo)
            with gr.Tab("Vocabulary", id="vocabulary") as third:
                inspected = build_vocabulary_tab(workspace, demo)
            with gr.Tab("Evaluate", id="evaluate") as fourth:
                evaluated = build_evaluate_tab(workspace, demo)
            with gr.Tab("Guide", id="guide"):
                build_guide_tab(workspace)
        choices = [*generate.controllers, inspected, evaluated]
        _keep_controllers_fresh(workspace, demo, (first, third, fourth), choices)
        _restore_from_link(demo, tabs, generate)
        _use_controller_of_run(workspace, tabs, train, generate)
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


def read_link(query: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Return what a link asks for, checked, and a sentence for each part that was left out."""
    wanted: dict[str, Any] = {}
    complaints: list[str] = []
    if query.get("tab") in TABS:
        wanted["tab"] = query["tab"]
    for name in ("prompt", "target"):
        if query.get(name):
            wanted[name] = query[name][:LONGEST_PROMPT]
    if query.get("strength"):
        try:
            wanted["strength"] = checked_number("strength", query["strength"], *STRENGTH_RANGE)
        except SettingError as error:
            complaints.append(error.sentence())
    return wanted, complaints


def _restore_from_link(demo: gr.Blocks, tabs: gr.Tabs, generate: GenerateTab) -> None:
    """Set tab, prompt, target and strength from `?tab=&prompt=&target=&strength=`."""

    def restore(request: gr.Request) -> dict[Any, Any]:
        wanted, complaints = read_link(dict(request.query_params))
        for complaint in complaints:
            gr.Warning(complaint, title="Part of the link was left out")
        low, high = SLIDER_RANGE
        shown: dict[Any, Any] = {tabs: gr.skip()}
        if "tab" in wanted:
            shown[tabs] = gr.Tabs(selected=wanted["tab"])
        if "strength" in wanted:
            shown[generate.strength] = wanted["strength"]
            shown[generate.slider] = min(high, max(low, wanted["strength"]))
        parts = {"prompt": generate.prompt, "target": generate.target}
        return shown | {box: wanted[name] for name, box in parts.items() if name in wanted}

    outputs = [tabs, generate.prompt, generate.target, generate.strength, generate.slider]
    demo.load(restore, None, outputs, **QUIET)


def _keep_controllers_fresh(
    workspace: Workspace, demo: gr.Blocks, tabs: tuple[gr.Tab, ...], choices: list[gr.Dropdown]
) -> None:
    """Offer the controllers of finished runs when the page or a tab opens."""

    def refresh() -> list[Any]:
        names = workspace.names_of_controllers()
        with_none = [("none", NO_CONTROLLER), *names]
        return [gr.Dropdown(choices=with_none if box is choices[1] else names) for box in choices]

    gr.on([demo.load, *(tab.select for tab in tabs)], refresh, None, choices, **QUIET)


def _use_controller_of_run(
    workspace: Workspace, tabs: gr.Tabs, train: TrainTab, generate: GenerateTab
) -> None:
    """Bring the controller of the shown run to Generate."""

    def use(seen: Mapping[str, str]) -> tuple[Any, Any]:
        name = RUN_PREFIX + seen["run"]
        box = gr.Dropdown(choices=workspace.names_of_controllers(), value=name)
        return box, gr.Tabs(selected="generate")

    train.use.click(use, train.seen, [generate.controllers[0], tabs], **QUIET)
