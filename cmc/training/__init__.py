"""Objectives, template cache, loop, checkpoints."""

from cmc.training.loop import TrainRecord, train_controller

__all__ = ["TrainRecord", "train_controller"]
