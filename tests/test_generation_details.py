"""What control did to each token, against the base and the controlled model on their own."""

import pytest
import torch

from cmc.generation import ControlledModel, Row
from cmc.settings import Sampling
from tests.conftest import tiny_controller, tiny_target

PROMPT = "Question: Where does Anna live?\nAnswer:"
ROWS = [Row(PROMPT, (0.0,)), Row(PROMPT, (2.0,))]


def model(transfer: str = "cover") -> ControlledModel:
    return ControlledModel(
        tiny_target("byte-level"), [tiny_controller("sentencepiece")], transfer=transfer
    )


@pytest.mark.parametrize("transfer", ["pm-mined", "cover"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_asking_for_details_changes_no_token(transfer, temperature):
    sampling = Sampling(max_new_tokens=10, temperature=temperature, seed=4)
    plain, told = (model(transfer).generate(ROWS, sampling, top=top) for top in (0, 5))
    assert [each.token_ids for each in plain] == [each.token_ids for each in told]
    assert all(not each.details for each in plain)
    for each in told:
        assert [detail.chosen.token_id for detail in each.details] == each.token_ids


def test_the_base_row_changes_nothing_and_differs_nowhere():
    base, controlled = model().generate(ROWS, Sampling(max_new_tokens=10), top=5)
    for detail in base.details:
        assert not detail.is_changed
        assert detail.shifts == (0.0,)
        assert [each.token_id for each in detail.before] == [each.token_id for each in detail.after]
        assert all(each.change == 0 for each in detail.before)
    assert any(detail.is_changed for detail in controlled.details)


def test_log_probabilities_are_those_of_plain_models():
    (said,) = model().generate([ROWS[1]], Sampling(max_new_tokens=6), top=4)
    target = tiny_target("byte-level")
    ids = target.vocabulary.encode_prompt(PROMPT)
    scored = model().decoder([ROWS[1]])
    for token, detail in zip(said.token_ids, said.details, strict=True):
        base = torch.log_softmax(target.model(torch.tensor([ids])).logits[0, -1], -1)
        after = torch.log_softmax(scored.scores([0]), -1)[0]
        assert detail.chosen.base_logprob == pytest.approx(base[token].item(), abs=1e-3)
        assert detail.chosen.controlled_logprob == pytest.approx(after[token].item(), abs=1e-3)
        assert detail.base_choice.token_id == base.argmax().item()
        assert [each.token_id for each in detail.before] == base.topk(4).indices.tolist()
        assert [each.token_id for each in detail.after] == after.topk(4).indices.tolist()
        assert detail.shifts[0] == pytest.approx(detail.chosen.change, abs=1e-4)
        ids = [*ids, token]
        scored.push([token], [0])


def test_every_controller_tells_what_it_would_change_alone():
    pair = [tiny_controller("sentencepiece"), tiny_controller("sentencepiece", seed=6)]
    both = ControlledModel(tiny_target("byte-level"), pair, transfer="pm-mined")
    one = ControlledModel(tiny_target("byte-level"), pair[:1], transfer="pm-mined")
    (said,) = both.generate([Row(PROMPT, (1.0, 0.0))], Sampling(max_new_tokens=3), top=1)
    (alone,) = one.generate([Row(PROMPT, (1.0,))], Sampling(max_new_tokens=3), top=1)
    assert [each.shifts for each in said.details] == [(*each.shifts, 0.0) for each in alone.details]


def test_a_stream_tells_of_the_newest_token_and_of_none_after_the_end():
    rows = [Row(PROMPT, (0.0,)), Row(PROMPT, (1.5,))]
    sampling = Sampling(max_new_tokens=60, temperature=1.5, seed=2)
    counts = [0, 0]
    for chunk in model().stream(rows, sampling, top=1):
        for row, detail in enumerate(chunk.details):
            counts[row] += detail is not None
        assert counts == chunk.token_counts
