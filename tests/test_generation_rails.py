"""Rails keep control within their limits, and out of the way when they are off."""

import pytest
import torch

from cmc.errors import SettingError
from cmc.generation import ControlledModel, Row
from cmc.generation.rails import entropy
from cmc.settings import Rails
from tests.conftest import tiny_controller, tiny_target

PROMPT = "Question: Where does Anna live?\nAnswer:"
TRANSFERS = ("pm-mined", "cover")


def step(transfer: str, strength: float, **rails):
    model = ControlledModel(
        tiny_target("byte-level"), [tiny_controller("sentencepiece")], transfer=transfer,
        rails=Rails(**rails),
    )  # fmt: skip
    rows = [Row(PROMPT, (0.0,)), Row(PROMPT, (strength,))]
    return model.decoder(rows).step([0, 1])


def change(found) -> torch.Tensor:
    return torch.log_softmax(found.scores, -1) - torch.log_softmax(found.base, -1)


@pytest.mark.parametrize("transfer", TRANSFERS)
@pytest.mark.parametrize(
    "rails", [{"cap": 0.5}, {"plausibility": 0.1}, {"gate_shift": 1e-6}, {"gate_entropy": 1e-6}]
)
def test_no_rail_touches_the_base(transfer, rails):
    found = step(transfer, 2.0, **rails)
    assert torch.equal(found.scores[0], found.base[0])
    assert not torch.equal(found.scores[1], found.base[1])


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_gate_that_never_opens_leaves_the_base(transfer):
    for rails in ({"gate_entropy": 20.0}, {"gate_shift": 100.0}):
        found = step(transfer, 1.0, **rails)
        torch.testing.assert_close(change(found), torch.zeros_like(found.base))


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_either_gate_opens(transfer):
    free = step(transfer, 1.0)
    sure = entropy(free.base)[1].item()
    for rails in (
        {"gate_entropy": sure - 0.01},
        {"gate_shift": 1e-6},
        {"gate_entropy": sure + 1, "gate_shift": 1e-6},
        {"gate_entropy": sure - 0.01, "gate_shift": 100.0},
    ):
        torch.testing.assert_close(
            change(step(transfer, 1.0, **rails)), change(free), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_no_token_moves_further_than_the_cap(transfer):
    """Before they are made to sum to 1 again, which moves all alike."""
    capped, free = (step(transfer, 1.5, cap=cap) for cap in (0.25, 0.0))
    moved = capped.scores[1] - torch.log_softmax(capped.base[1], -1)
    assert moved.abs().max() <= 0.25 + 1e-5
    order = change(free)[1].argsort()
    assert (moved[order].diff() >= -1e-5).all()


def test_only_strengths_beyond_one_are_masked():
    base = torch.log_softmax(step("cover", 0.5).base[1], -1)
    absurd = base < base.max() + torch.tensor(0.2).log()
    assert torch.isinf(step("cover", 1.5, plausibility=0.2).scores[1]).equal(absurd)
    assert torch.isinf(step("cover", -1.5, plausibility=0.2).scores[1]).equal(absurd)
    assert torch.isfinite(step("cover", 1.0, plausibility=0.2).scores[1]).all()


def test_rails_out_of_range_are_refused():
    with pytest.raises(SettingError, match="plausibility"):
        Rails(plausibility=2.0)
