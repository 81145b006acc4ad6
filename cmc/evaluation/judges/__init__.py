"""Judges: who says which of two answers to the same instruction is better."""

from cmc.evaluation.judges.choice import chosen_judge
from cmc.evaluation.judges.pairs import Judge, Pair, Verdict, instruction_text

__all__ = ["Judge", "Pair", "Verdict", "chosen_judge", "instruction_text"]
