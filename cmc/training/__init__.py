"""Objectives, template cache, loop, checkpoints."""

from cmc.training.job import run_together, run_training
from cmc.training.loop import TrainRecord, train_controller

__all__ = ["TrainRecord", "run_together", "run_training", "train_controller"]
