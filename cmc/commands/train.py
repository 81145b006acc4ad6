"""`train`: train a controller beside a template, or go on with a run."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request
from cmc.commands.options import add_command
from cmc.settings import TrainSettings


def add_train(commands: Any) -> None:
    """Add `train`."""
    train = add_command(
        commands, "train", "train a controller beside a template", _train, _show_train
    )
    add_fields(train, TrainSettings)
    train.add_argument("--out", default="", help="also copy the finished controller here")
    train.add_argument("--resume", metavar="RUN", default="", help="go on with a run, by name")
    train.add_argument(
        "--run", dest="run_folder", metavar="FOLDER", default="", help="the run's folder"
    )
    train.add_argument(
        "--queue", action="store_true", help="wait until no other run is in progress"
    )


def _train(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc import runs

    if parsed.out:
        Path(parsed.out).mkdir(parents=True, exist_ok=True)
    if parsed.resume:
        run = runs.open_run(parsed.resume)
        settings, folder = run.settings(), run.folder
    elif parsed.run_folder and (Path(parsed.run_folder) / "settings.json").is_file():
        folder = Path(parsed.run_folder)
        settings = runs.Run(folder).settings()
    else:
        settings = filled_request(TrainSettings, parsed)
        folder = Path(parsed.run_folder) if parsed.run_folder else runs.new_folder(settings.name)
    with runs.turn(folder) if parsed.queue else nullcontext():
        return _trained(settings, folder, parsed.out)


def _trained(settings: TrainSettings, folder: Path, out: str) -> dict[str, Any]:
    """Train; only now, as its turn has come, what needs memory is imported."""
    from cmc.controller import copy_controller
    from cmc.runs import Run
    from cmc.training import run_training

    losses = [record.loss for record in _with_progress_bar(run_training(settings, folder))]
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


def _with_progress_bar(records: Any) -> Any:
    from tqdm import tqdm

    is_hidden = not sys.stderr.isatty()
    with tqdm(unit="step", file=sys.stderr, dynamic_ncols=True, disable=is_hidden) as bar:
        for record in records:
            bar.total = record.steps
            bar.update(record.step - bar.n)
            if record.message:
                bar.write(record.message, file=sys.stderr)
            if record.held_out_controlled is not None:
                bar.write(
                    f"step {record.step}: held-out loss {record.held_out_controlled:.4f} "
                    f"controlled, {record.held_out_template:.4f} template alone",
                    file=sys.stderr,
                )
            bar.set_postfix(loss=f"{record.loss:.3f}")
            yield record


def _show_train(result: dict[str, Any]) -> None:
    held_out = result["held_out"] or {}
    print(f"controller: {result['controller']}")
    print(f"steps {result['steps']}, loss {result['loss_first']:.4f} to {result['loss_last']:.4f}")
    if held_out:
        print(
            f"held-out loss: template {held_out['template']:.4f}, "
            f"controlled {held_out['controlled']:.4f}"
        )
