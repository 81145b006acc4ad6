"""Follower, controlled decoding, streams, scores."""

from cmc.generation.controlled import Chunk, ControlledModel, Generation, Score
from cmc.generation.decoder import Decoder, Row
from cmc.generation.details import TokenDetail, TokenOption

__all__ = [
    "Chunk",
    "ControlledModel",
    "Decoder",
    "Generation",
    "Row",
    "Score",
    "TokenDetail",
    "TokenOption",
]
