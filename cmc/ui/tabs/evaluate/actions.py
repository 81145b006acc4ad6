"""What can be done with evaluations: start, stop, resume, repeat, delete; an API for programs."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from cmc.errors import SettingError
from cmc.ui.form import PRIVATE, errors_as_toasts, guarded
from cmc.ui.tabs.evaluate.choices import request_from
from cmc.ui.tabs.evaluate.fields import Fields
from cmc.ui.tabs.evaluate.view import View
from cmc.workspace import Workspace
from cmc.workspace.evaluations import (
    delete_evaluation,
    open_evaluation,
    repeat_evaluation,
    resume_evaluation,
    start_evaluation,
    stop_evaluation,
)
from cmc.workspace.offers import asked_request
from cmc.workspace.reports import readable, report_of

# Asked in the browser: what is deleted is gone.
ASK_FIRST = "(seen, sure) => [seen, confirm('Delete this evaluation and all its answers?')]"


def wire_start(workspace: Workspace, form: Fields, view: View) -> Any:
    """Connect the button that starts; return the event."""
    components = form.components

    def begin(chosen: str, called: str, *values: Any) -> str:
        request = request_from(chosen, dict(zip(components, values, strict=True)))
        return start_evaluation(workspace, request, (called or "").strip()).name

    inputs = [form.kind, form.name, *components.values()]
    return form.start.click(guarded(begin), inputs, view.chosen, show_progress="hidden", **PRIVATE)


def wire_actions(workspace: Workspace, view: View) -> list[Any]:
    """Connect the buttons below the status, and the table; return the events."""
    sure = gr.Checkbox(False, visible=False, label="Delete for good")

    def stop(seen: dict[str, str]) -> str:
        stop_evaluation(workspace, seen["run"])
        return seen["run"]

    def resume(seen: dict[str, str]) -> str:
        return resume_evaluation(workspace, seen["run"]).name

    def repeat(seen: dict[str, str]) -> str:
        return repeat_evaluation(workspace, seen["run"]).name

    def delete(seen: dict[str, str], is_sure: bool) -> str:
        if not is_sure:
            return seen["run"]
        delete_evaluation(workspace, seen["run"])
        return ""

    def choose(event: gr.SelectData) -> str:
        return str(event.row_value[0])

    common: dict[str, Any] = {"show_progress": "hidden"} | PRIVATE
    events = [
        button.click(guarded(action), view.seen, view.chosen, **common)
        for button, action in ((view.stop, stop), (view.resume, resume), (view.repeat, repeat))
    ]
    events.append(
        view.delete.click(guarded(delete), [view.seen, sure], view.chosen, js=ASK_FIRST, **common)
    )
    events.append(view.runs.select(choose, None, view.chosen, **common))
    return events


def add_api(workspace: Workspace) -> None:
    """Offer the same to programs: start, look, stop."""

    def evaluate(kind: str, request: dict[str, Any], name: str = "") -> dict[str, Any]:
        """Start an evaluation in the background; `evaluation` tells where it stands.

        Args:
            kind: sweep, check, transfer, suite, tofu or alpaca.
            request: settings as `python -m cmc evaluate KIND --help` names them, with underscores;
                what is left out has its default.
            name: of the run, by default its kind; with a number where it is taken.

        Returns:
            `run`: the name of the run.
        """
        with errors_as_toasts():
            if not isinstance(request or {}, dict):
                raise SettingError("the request is no object", hint="Give settings by name.")
            asked = asked_request(str(kind), request or {})
            return {"run": start_evaluation(workspace, asked, str(name or "")).name}

    def evaluation(run: str) -> dict[str, Any]:
        """Tell where an evaluation stands, and what it found.

        Args:
            run: the name that `evaluate` returned.

        Returns:
            `state` (running, finished, stopped, failed or interrupted), `done`, `total`,
            `message`, and `report`: of an unfinished sweep with the rows that are measured.
        """
        with errors_as_toasts():
            return _told(workspace, open_evaluation(workspace, str(run or "")))

    def stop_evaluating(run: str) -> dict[str, Any]:
        """Ask an evaluation to end; what is measured is kept.

        Args:
            run: the name that `evaluate` returned.
        """
        with errors_as_toasts():
            stop_evaluation(workspace, str(run or ""))
            return _told(workspace, open_evaluation(workspace, str(run)))

    endpoints: tuple[tuple[Callable[..., Any], str], ...] = (
        (evaluate, "evaluate"), (evaluation, "evaluation"), (stop_evaluating, "stop_evaluation"),
    )  # fmt: skip
    for function, name in endpoints:
        gr.api(function, api_name=name)


def _told(workspace: Workspace, run: Any) -> dict[str, Any]:
    status = run.status()
    told = {"state": status["state"], "done": status["step"], "total": status["steps"]}
    message = readable(workspace, str(status["message"]))
    return told | {"message": message, "report": report_of(workspace, run)}
