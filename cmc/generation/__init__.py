"""Follower, controlled decoding, streams, scores."""

from cmc.generation.controlled import ControlledModel
from cmc.generation.decoder import Decoder, Row
from cmc.generation.details import TokenDetail, TokenOption
from cmc.generation.told import Chunk, Generation, Score

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
