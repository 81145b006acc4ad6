"""Scoring a text at once, against going through it token by token."""

import pytest
import torch

from cmc.generation import ControlledModel, Row, scoring
from tests.conftest import tiny_controller, tiny_target

PROMPT = "Question: Where does Anna live?\nAnswer:"
TEXT = ' Anna Zürich said: "the river — 12 👍🏽 yes".\n  def f(x):\n    return x  The end of it'
CASES = [
    ("same", "sentencepiece"), ("pm-mined", "byte-level"), ("pm-mined", "unigram"),
    ("cover", "byte-level"), ("cover", "unigram"), ("cover", "sentencepiece"),
]  # fmt: skip


def step_by_step(model: ControlledModel, row: Row, ids: list[int]) -> list[float]:
    decoder, logprobs = model.decoder([row]), []
    for token in ids:
        scores = torch.log_softmax(decoder.scores([0], [token]), -1)
        logprobs.append(scores[0, token].item())
        decoder.push([token], [0])
    return logprobs


@pytest.mark.parametrize(("transfer", "family"), CASES)
def test_all_at_once_is_one_by_one(transfer, family, monkeypatch):
    monkeypatch.setattr(scoring, "BLOCK", 20)
    monkeypatch.setattr(scoring, "STEPS", 7)
    pair = [tiny_controller("sentencepiece"), tiny_controller("sentencepiece", seed=6)]
    model = ControlledModel(tiny_target(family), pair, transfer=transfer)
    (scored,) = model.score(
        [
            Row(
                PROMPT,
                (
                    1.2,
                    -0.4,
                ),
            )
        ],
        [TEXT],
    )
    assert len(scored.token_ids) > 40
    expected = step_by_step(model, Row(PROMPT, (1.2, -0.4)), scored.token_ids)
    assert scored.logprobs == pytest.approx(expected, abs=2e-3)


def test_at_strength_0_it_is_the_target_alone():
    model = ControlledModel(tiny_target("byte-level"), [tiny_controller("sentencepiece")])
    (scored,) = model.score([Row(PROMPT, (0.0,))], [TEXT])
    target = model.target
    prompt = target.vocabulary.encode_prompt(PROMPT)
    logits = target.model(torch.tensor([prompt + scored.token_ids])).logits[0, len(prompt) - 1 : -1]
    expected = torch.log_softmax(logits, -1)[range(len(scored.token_ids)), scored.token_ids]
    assert scored.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("transfer", ["pm-mined", "cover"])
def test_a_text_beyond_the_controllers_context_is_scored_as_it_is_generated(transfer):
    controller = tiny_controller("sentencepiece", seed=9)
    controller.delta.config.max_position_embeddings = 64
    model = ControlledModel(tiny_target("byte-level"), [controller], transfer=transfer)
    (scored,) = model.score([Row(PROMPT, (1.0,))], [TEXT])
    expected = step_by_step(model, Row(PROMPT, (1.0,)), scored.token_ids)
    assert scored.logprobs == pytest.approx(expected, abs=2e-3)
