"""Runs on disk: create, list, follow, queue, stop, resume, delete."""

from cmc.runs.folders import list_runs, new_folder, open_run, runs_folder
from cmc.runs.queue import queue_in, turn
from cmc.runs.run import ALIVE, RUN_PREFIX, TRAIN, Run
from cmc.runs.start import (
    delete,
    new_evaluation,
    resume,
    start_evaluation,
    start_training,
    stop,
    stored,
)
from cmc.training.folder import REPORT

__all__ = [
    "ALIVE",
    "REPORT",
    "RUN_PREFIX",
    "TRAIN",
    "Run",
    "delete",
    "list_runs",
    "new_evaluation",
    "new_folder",
    "open_run",
    "queue_in",
    "resume",
    "runs_folder",
    "start_evaluation",
    "start_training",
    "stop",
    "stored",
    "turn",
]
