"""`train`: train a controller beside a template, or go on with a run."""

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request
from cmc.commands.options import add_command
from cmc.errors import SettingError
from cmc.settings import TrainSettings, varied_settings

# `accelerate launch` and `torchrun` tell each process how many they are.
_PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))


def add_train(commands: Any) -> None:
    """Add `train`."""
    train = add_command(
        commands, "train", "train a controller beside a template", _train, _show_train
    )
    add_fields(train, TrainSettings)
    train.add_argument(
        "--variant",
        metavar="FIELD=VALUE,…",
        action="append",
        default=[],
        help="train a controller that differs in this; several share one pass of the template",
    )
    train.add_argument("--out", default="", help="also copy the finished controller here")
    train.add_argument(
        "--resume", metavar="RUN", nargs="+", default=[], help="go on with runs, by name"
    )
    train.add_argument(
        "--run", dest="run_folders", metavar="FOLDER", nargs="+", default=[],
        help="the run's folder; several go on side by side",
    )  # fmt: skip
    train.add_argument(
        "--queue", action="store_true", help="wait until no other run is in progress"
    )


def _train(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc import runs

    if parsed.out:
        Path(parsed.out).mkdir(parents=True, exist_ok=True)
    if parsed.queue and _PROCESSES > 1:
        raise SettingError(f"{_PROCESSES} processes cannot queue as one", hint="Leave out --queue.")
    wanted = _asked_runs(parsed)
    if parsed.out and len(wanted) > 1:
        raise SettingError(
            "several controllers cannot go to one folder",
            hint="Leave out --out; each run keeps its own.",
        )
    # One of those that train side by side waits for all of them.
    with runs.turn(next(iter(wanted))) if parsed.queue else nullcontext():
        return _trained(wanted, parsed.out)


def _asked_runs(parsed: argparse.Namespace) -> dict[Path, TrainSettings]:
    """Return the folders and settings of what is asked for: runs that go on, or new ones."""
    from cmc import runs

    known = [runs.open_run(name) for name in parsed.resume]
    folders = [Path(folder) for folder in parsed.run_folders]
    if not known and folders and all((each / "settings.json").is_file() for each in folders):
        known = [runs.Run(folder) for folder in folders]
    if known:
        return {run.folder: run.settings() for run in known}
    settings = filled_request(TrainSettings, parsed)
    wanted = varied_settings(settings, parsed.variant) or [settings]
    if folders and len(folders) != len(wanted):
        raise SettingError(
            f"{len(folders)} folders for {len(wanted)} runs", hint="Give each run its folder."
        )
    return dict(zip(folders or _new_folders(wanted), wanted, strict=True))


def _new_folders(wanted: list[TrainSettings]) -> list[Path]:
    """Make the runs' folders; processes that train together get the same ones."""
    from cmc import runs

    if _PROCESSES == 1:
        return [runs.new_folder(each.name) for each in wanted]
    from cmc.training.together import accelerator, same_everywhere

    is_main = accelerator().is_main_process
    return [same_everywhere(runs.new_folder(each.name) if is_main else None) for each in wanted]


def _trained(wanted: dict[Path, TrainSettings], out: str) -> dict[str, Any]:
    """Train; only now, as its turn has come, what needs memory is imported."""
    from cmc.training import run_together
    from cmc.training.together import accelerator

    is_main = accelerator().is_main_process
    losses: dict[Path, list[float]] = {folder: [] for folder in wanted}
    for folder, record in _with_progress_bar(run_together(wanted), len(wanted), is_main):
        losses[folder].append(record.loss)
    if not is_main:
        sys.exit(0)  # the main process keeps the controllers and says so
    results = [_result(folder, losses[folder], out) for folder in wanted]
    return results[0] if len(results) == 1 else {"runs": results}


def _result(folder: Path, losses: list[float], out: str) -> dict[str, Any]:
    from cmc.controller import copy_controller
    from cmc.runs import Run

    status = Run(folder).status()
    version = _kept_version(folder, status)
    if out:
        copy_controller(Path(status["controller"]), Path(out))
    return {
        "run": str(folder),
        "controller": out or status["controller"],
        "steps": status["step"],
        "loss_first": status.get("loss_first", losses[0] if losses else None),
        "loss_last": status.get("loss_last", losses[-1] if losses else None),
        "held_out": status.get("held_out"),
        "version": version,
    }


def _kept_version(folder: Path, status: dict[str, Any]) -> str | None:
    """Keep the controller of a run of the usual place as a version of the run's name."""
    from cmc.store import Store

    if folder.parent.name != "runs" or not status["controller"]:
        return None
    store = Store(folder.parent.parent)
    is_known = folder.name in store.names("controller")
    told = {key: status.get(key) for key in ("step", "loss_last", "held_out")}
    version = store.save(
        "controller", folder.name, Path(status["controller"]),
        parent=store.find("controller", folder.name).number if is_known else None,
        provenance={"run": folder.name, **told},
    )  # fmt: skip
    return version.reference


def _with_progress_bar(records: Any, runs: int, is_main: bool) -> Any:
    from tqdm import tqdm

    if not is_main:
        yield from records
        return
    is_hidden = not sys.stderr.isatty()
    with tqdm(unit="step", file=sys.stderr, dynamic_ncols=True, disable=is_hidden) as bar:
        for folder, record in records:
            which = f"{folder.name}: " if runs > 1 else ""
            bar.total = record.steps
            bar.update(record.step - bar.n)
            if record.message:
                bar.write(which + record.message, file=sys.stderr)
            if record.held_out_controlled is not None:
                bar.write(
                    f"{which}step {record.step}: held-out loss {record.held_out_controlled:.4f} "
                    f"controlled, {record.held_out_template:.4f} template alone",
                    file=sys.stderr,
                )
            bar.set_postfix(loss=f"{record.loss:.3f}")
            yield folder, record


def _show_train(result: dict[str, Any]) -> None:
    for each in result.get("runs", [result]):
        held_out = each["held_out"] or {}
        print(f"controller: {each['controller']}")
        print(f"steps {each['steps']}, loss {each['loss_first']:.4f} to {each['loss_last']:.4f}")
        if held_out:
            print(
                f"held-out loss: template {held_out['template']:.4f}, "
                f"controlled {held_out['controlled']:.4f}"
            )
