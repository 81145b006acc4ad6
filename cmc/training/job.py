"""A whole training run: load, train, save the controller, keep the run's folder true."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from cmc.controller import Controller
from cmc.errors import CmcError, RunError, TrainingError
from cmc.settings import TrainSettings, as_plain
from cmc.store import pinned
from cmc.training.beside import PLACES, Beside, describe, first_controller
from cmc.training.checkpoints import KEPT, load_checkpoint, load_weights, newest_step, sweep
from cmc.training.folder import (
    CHECKPOINTS,
    CONTROLLER,
    SETTINGS,
    append_log,
    flush_tree,
    lock_held,
    read_json,
    write_json,
)
from cmc.training.journal import Journal, StopSignals
from cmc.training.loop import TrainRecord, train_controller
from cmc.training.preview import with_prompt_text
from cmc.training.probes import Probes
from cmc.training.together import accelerator


def run_training(settings: TrainSettings, folder: Path) -> Iterator[TrainRecord]:
    """Do a whole run in `folder`; yield one record per step.

    A folder with checkpoints is resumed. SIGTERM, Ctrl-C and closing the generator stop after
    the current step; the controller so far is saved and usable then. Everything a reader needs
    is in the folder at any time: `settings.json`, `status.json`, `records.jsonl`, `log.txt`,
    `checkpoints/`, and in the end `controller/`.

    Args:
        settings: what to train; paths are made absolute.
        folder: the run's folder; made if need be.

    Raises:
        CmcError: of any kind; `status.json` says so too.
    """
    with contextlib.closing(run_together({folder: settings})) as training:
        for _, record in training:
            yield record


def run_together(runs: Mapping[Path, TrainSettings]) -> Iterator[tuple[Path, TrainRecord]]:
    """Do several runs side by side, step by step; yield each record with its run's folder.

    A template is loaded once, and what it computes for a batch serves all controllers beside it.
    Each run is the one it would be alone, to the bit, in a folder of its own (see
    `run_training`). One that fails leaves the others alone.

    Args:
        runs: the runs' folders and settings.

    Raises:
        CmcError: of the first run that failed, when the others are done.
    """
    failed: list[Exception] = []
    with StopSignals() as stop, contextlib.ExitStack() as ends:
        beside = Beside(stop)
        trainings = {folder: _run(runs[folder], folder, beside) for folder in runs}
        for training in trainings.values():
            ends.enter_context(contextlib.closing(training))
        while trainings:
            for folder, training in list(trainings.items()):
                record = _next_record(training, failed)
                if record is None:
                    del trainings[folder]
                else:
                    yield folder, record
    if failed:
        raise failed[0]


def _next_record(training: Iterator[TrainRecord], failed: list[Exception]) -> TrainRecord | None:
    """Return a run's next record, or None where it has ended, be it by a failure."""
    try:
        return next(training, None)
    except Exception as error:
        # Its folder says so already; the others go on.
        failed.append(error)
        return None


def _run(settings: TrainSettings, folder: Path, beside: Beside) -> Iterator[TrainRecord]:
    """Do one of the runs; its folder says all that becomes of it."""
    settings = with_prompt_text(with_absolute_paths(settings))
    is_main = accelerator().is_main_process
    if is_main:
        folder.mkdir(parents=True, exist_ok=True)
    with lock_held(folder) if is_main else contextlib.nullcontext():
        if is_main:
            sweep(folder)  # what a process left that was killed while it saved the controller
            _keep_settings(settings, folder)
        journal = Journal(folder, settings, is_main, step=newest_step(folder / CHECKPOINTS))
        try:
            yield from _trained(settings, folder, journal, beside)
        except torch.OutOfMemoryError as error:
            failure = TrainingError(
                f"out of memory at batch size {settings.batch_size}",
                hint="Raise accumulation, lower max_length, or choose a smaller template.",
            )
            journal.fail(failure)
            raise failure from error
        except OSError as error:
            if isinstance(error, CmcError):
                journal.fail(error)
                raise
            failure = _unwritable(folder, error)
            journal.fail(failure)
            raise failure from error
        except Exception as error:
            journal.fail(error)
            raise


def _unwritable(folder: Path, error: OSError) -> TrainingError:
    last = newest_step(folder / CHECKPOINTS)
    safe = f"Step {last:,} is safe. " if last else ""
    return TrainingError(
        f"the run's folder cannot be written ({error.strerror or error})",
        hint=f"{safe}Make room on the disk, then press Resume.",
    )


def with_absolute_paths(settings: TrainSettings) -> TrainSettings:
    """Return the settings with paths that hold in whatever folder a process starts, and when."""
    changed = {"init": pinned(settings.init)}
    for name in PLACES:
        value = getattr(settings, name)
        if value and not value.startswith("lab:") and Path(value).expanduser().exists():
            changed[name] = str(Path(value).expanduser().resolve())
    return replace(settings, **changed)


def _trained(
    settings: TrainSettings, folder: Path, journal: Journal, beside: Beside
) -> Iterator[TrainRecord]:
    """Train, and keep what is usable however the end comes."""
    count = accelerator().num_processes
    together = f" {count} processes train together." if count > 1 else ""
    journal.tell(f"Loading the template.{together}")
    template, frozen = beside.templates(settings, journal)
    controller = first_controller(settings, template)
    _check_room(folder, controller)
    journal.tell("Reading the records.")
    describe(controller, settings, template)
    training = train_controller(
        controller,
        template,
        settings,
        resume_from=folder,
        folder=folder if journal.is_writing else None,
        frozen=frozen,
    )
    probes = Probes(controller, template, settings, folder)
    is_done = False
    try:
        for record in training:
            journal.add(record)
            if journal.is_writing:
                probes.after(record.step)
            yield record
            if beside.stop.is_asked():
                break
        else:
            is_done = True
    except GeneratorExit:
        _end(controller, training, journal, False)
        raise
    except TrainingError:
        _rescue(controller, journal)
        raise
    finally:
        for each in frozen:
            if told := each.flush():
                append_log(folder, told)
    _end(controller, training, journal, is_done)


def _end(
    controller: Controller, training: Iterator[TrainRecord], journal: Journal, is_done: bool
) -> None:
    """Write the last checkpoint and the controller, and say what came of it."""
    training.close()
    is_finished = is_done or journal.step >= journal.settings.max_steps
    journal.measure(is_finished=is_finished)
    _save_controller(controller, journal)
    if is_finished:
        journal.state = "finished"
        journal.tell(journal.last_words())
    else:
        journal.state = "stopped"
        journal.tell(f"stopped at step {journal.step}, controller saved, usable now")


def _rescue(controller: Controller, journal: Journal) -> None:
    """After a loss that is not finite: save the controller as the last checkpoint has it."""
    with contextlib.suppress(TrainingError, OSError):
        checkpoint = load_checkpoint(journal.folder / CHECKPOINTS)
        if checkpoint is not None:
            load_weights(controller.delta, checkpoint.weights)
            journal.step = checkpoint.step
            _save_controller(controller, journal)


def _save_controller(controller: Controller, journal: Journal) -> None:
    """Write `controller/` so that it is whole or as before."""
    if not journal.is_writing:
        return
    controller.settings["metrics"] = {"steps": journal.step, **journal.results}
    target = journal.folder / CONTROLLER
    aside, old = (journal.folder / f".tmp-{kind}-{os.getpid()}" for kind in ("new", "old"))
    for path in (aside, old):
        shutil.rmtree(path, ignore_errors=True)
    controller.save_pretrained(aside)
    flush_tree(aside)
    if target.exists():
        target.rename(old)
    aside.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _check_room(folder: Path, controller: Controller) -> None:
    """Refuse to start where not even the checkpoints fit.

    Raises:
        TrainingError: the disk has too little room; nothing was trained.
    """
    weights = 4 * controller.parameters
    needed = (KEPT + 1) * 3 * weights + 2 * weights  # weights and both moments; the controller
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TrainingError(
            f"the run needs {needed / 1e9:,.1f} GB, {free / 1e9:,.1f} GB are free",
            hint="Delete old runs, then press Resume.",
        )


def _keep_settings(settings: TrainSettings, folder: Path) -> None:
    """Write the settings, or make sure they are those the run began with."""
    known = read_json(folder / SETTINGS)
    if known and known != as_plain(settings) and newest_step(folder / CHECKPOINTS):
        raise RunError(
            f'run "{folder.name}" was started with other settings',
            hint="Start a new run, or resume this one as it was.",
        )
    if known != as_plain(settings):
        write_json(folder / SETTINGS, as_plain(settings))
