"""The formula, against numpy."""

import numpy as np
import pytest
import torch

from cmc.combine import centre, combine


def test_no_control_leaves_the_scores_bit_for_bit():
    scores = torch.randn(2, 7)
    assert combine(scores, []) is scores


def test_controls_add_up():
    scores, one, two = torch.randn(3, 2, 5).unbind(0)
    expected = scores.numpy() + one.numpy() + two.numpy()
    np.testing.assert_allclose(combine(scores, [one, two]).numpy(), expected, rtol=1e-6)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="carry the shift"):
        combine(torch.zeros(2, 5), [torch.zeros(2, 4)])


@pytest.mark.parametrize("constant", [0.0, 13.0, -6.0])
def test_centring_keeps_the_mass_of_the_unknown(constant):
    scores, control = torch.randn(3, 9, dtype=torch.float64), torch.randn(3, 9).double()
    known = torch.tensor([1, 1, 0, 1, 0, 1, 1, 0, 1], dtype=torch.bool)
    unknown = (~known).nonzero()[:, 0]
    moved = torch.softmax(scores + centre(scores, control + constant, unknown), -1)
    before = torch.softmax(scores, -1)
    torch.testing.assert_close(moved[:, ~known], before[:, ~known])
    ratio = np.log((moved / before).numpy()[:, known.numpy()])
    wanted = control.numpy()[:, known.numpy()]
    np.testing.assert_allclose(ratio - ratio[:, :1], wanted - wanted[:, :1], atol=1e-9)
