"""Follower, controlled decoding, streams, scores."""

from cmc.generation.controlled import (
    Chunk,
    ControlledModel,
    Generation,
    Row,
    Score,
)

__all__ = ["Chunk", "ControlledModel", "Generation", "Row", "Score"]
