"""A whole training run: load, train, save the controller, keep the run's folder true."""

import contextlib
import copy
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator, PartialState

from cmc.controller import Controller, load_controller, random_controller
from cmc.data import fingerprint_records
from cmc.errors import RunError, TrainingError
from cmc.models import LanguageModel, load_language_model
from cmc.settings import TrainSettings, as_plain
from cmc.store import pinned, place_of
from cmc.training.checkpoints import KEPT, load_checkpoint, load_weights, newest_step
from cmc.training.folder import (
    CHECKPOINTS,
    CONTROLLER,
    SETTINGS,
    flush_tree,
    lock_held,
    read_json,
    write_json,
)
from cmc.training.journal import Journal, StopSignals
from cmc.training.loop import TrainRecord, train_controller
from cmc.training.material import records_of
from cmc.training.preview import with_prompt_text

_PLACES = ("template", "data", "retain", "refusals", "init")  # settings that may be paths


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
    settings = with_prompt_text(with_absolute_paths(settings))
    # An Accelerator, not only its state: it also finds processes that share CPUs.
    is_main = Accelerator(device_placement=False).is_main_process
    if is_main:
        folder.mkdir(parents=True, exist_ok=True)
    with lock_held(folder) if is_main else contextlib.nullcontext(), StopSignals() as stop:
        if is_main:
            _keep_settings(settings, folder)
        journal = Journal(folder, settings, is_main, step=newest_step(folder / CHECKPOINTS))
        try:
            yield from _trained(settings, folder, journal, stop)
        except torch.OutOfMemoryError as error:
            failure = TrainingError(
                f"out of memory at batch size {settings.batch_size}",
                hint="Lower the batch size or max_length, or choose a smaller template.",
            )
            journal.fail(failure)
            raise failure from error
        except Exception as error:
            journal.fail(error)
            raise


def with_absolute_paths(settings: TrainSettings) -> TrainSettings:
    """Return the settings with paths that hold in whatever folder a process starts, and when."""
    changed = {"init": pinned(settings.init)}
    for name in _PLACES:
        value = getattr(settings, name)
        if value and not value.startswith("lab:") and Path(value).expanduser().exists():
            changed[name] = str(Path(value).expanduser().resolve())
    return replace(settings, **changed)


def _trained(
    settings: TrainSettings, folder: Path, journal: Journal, stop: StopSignals
) -> Iterator[TrainRecord]:
    """Train, and keep what is usable however the end comes."""
    journal.tell("Loading the template.")
    template = load_language_model(settings.template, device=PartialState().device)
    controller = _first_controller(settings, template)
    _check_room(folder, controller)
    journal.tell("Reading the records.")
    _describe(controller, settings, template)
    own_folder = folder if journal.is_writing else None
    training = train_controller(
        controller, template, settings, resume_from=folder, folder=own_folder
    )
    try:
        for record in training:
            journal.add(record)
            yield record
            if stop.is_asked():
                break
    except GeneratorExit:
        _end(controller, training, journal)
        raise
    except TrainingError:
        _rescue(controller, journal)
        raise
    _end(controller, training, journal)


def _end(controller: Controller, training: Iterator[TrainRecord], journal: Journal) -> None:
    """Write the last checkpoint and the controller, and say what came of it."""
    training.close()
    journal.measure()
    _save_controller(controller, journal)
    if journal.step >= journal.settings.max_steps:
        journal.state = "finished"
        journal.tell(f"Finished after {journal.step:,} steps; the controller is saved.")
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


def _first_controller(settings: TrainSettings, template: LanguageModel) -> Controller:
    """Return the controller that training begins with."""
    if not settings.init:
        controller = random_controller(
            template.vocabulary,
            hidden_size=settings.hidden_size,
            layers=settings.layers,
            seed=settings.seed,
        )
        controller.name = settings.name
        return controller
    controller = load_controller(place_of(settings.init))
    if controller.prior is None and not controller.settings["template"]:
        # A plain language model: what it was before training is the prior of what it becomes.
        controller.prior = copy.deepcopy(controller.delta)
    controller.name = settings.name
    return controller


def _describe(controller: Controller, settings: TrainSettings, template: LanguageModel) -> None:
    """Write into the controller what it is trained on, without the paths of this machine."""
    sources = [source for source in (settings.data, settings.retain) if source]
    named = {name: _public(getattr(settings, name)) for name in _PLACES}
    controller.settings |= {
        "objective": settings.objective,
        "prompt_format": settings.prompt_format,
        "template": named["template"],
        "template_fingerprint": template.vocabulary.fingerprint,
        "data": {
            _public(source): fingerprint_records(records_of(settings, source)) for source in sources
        },
        "settings": as_plain(settings) | named,
        "parent": named["init"] or None,
    }


def _public(name: str) -> str:
    """Return a name as it may be published: of a path only its last part."""
    return Path(name).name if Path(name).is_absolute() else name


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
    weights = 4 * sum(each.numel() for each in controller.delta.parameters())
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
