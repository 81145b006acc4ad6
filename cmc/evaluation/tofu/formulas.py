"""TOFU's formulas on losses per item: probability, truth ratio, model utility, forget quality."""

from collections.abc import Sequence

import numpy as np

# open-unlearning adds it to denominators; it moves the last digits of its published figures.
EPSILON = 1e-10


def answer_probability(losses: Sequence[float]) -> np.ndarray:
    """Return `exp(-L)` per answer: the geometric mean of its tokens' probabilities, 0 to 1.

    Args:
        losses: `(items, …)` mean negative log-likelihood per token, end token included, nats.

    Source:
        Maini et al., TOFU, COLM 2024, section 2.2.2.
    """
    return np.exp(-np.asarray(losses, dtype=float))


def normalised_probability(
    correct: np.ndarray, wrong: np.ndarray, *, epsilon: float = 0.0
) -> np.ndarray:
    """Return `P(a) / (P(a) + sum_j P(wrong_j))` per item, 0 to 1, for real authors and facts.

    Args:
        correct: `(items,)` probability of the answer.
        wrong: `(items, wrong answers)`.
        epsilon: what is added to the denominator.
    """
    return correct / (correct + np.asarray(wrong).sum(-1) + epsilon)


def truth_ratio(
    correct_losses: Sequence[float], wrong_losses: Sequence[Sequence[float]], *, epsilon: float = 0
) -> np.ndarray:
    """Return how likely wrong answers are relative to the right one, per item, from 0 up.

    `exp(-mean_j L(wrong_j)) / (exp(-L(right)) + epsilon)`, the mean inside the exponential. The
    right answer is the paraphrased one where there is one. This is the ratio as both published
    kinds of logs keep it; the paper's text also names its inverse.

    Source:
        Maini et al., TOFU, COLM 2024, equation 1.
    """
    wrong = np.array([np.mean(each) for each in wrong_losses])
    return answer_probability(wrong) / (answer_probability(correct_losses) + epsilon)


def truth_scores(ratios: np.ndarray, *, is_forget: bool, epsilon: float = 0.0) -> np.ndarray:
    """Return per item how well a model keeps to the truth, or how little it tells, 0 to 1.

    `max(0, 1 - r)` where the model should know; `min(r, 1/r)` on the forget set, where 1 means
    that right and wrong answers look alike to it.
    """
    if is_forget:
        # A ratio of 0 has the inverse infinity, and the smaller of the two is then 0 all the same.
        with np.errstate(divide="ignore"):
            return np.minimum(ratios, 1 / (ratios + epsilon))
    return np.maximum(0, 1 - ratios)


def model_utility(means: Sequence[float]) -> float:
    """Return the harmonic mean of the sub-metrics of what should be kept, 0 to 1, no unit.

    TOFU takes nine: probability, ROUGE and truth ratio of retain, real authors and world facts.
    It is 0 if one of them is.
    """
    values = np.asarray(means, dtype=float)
    return 0.0 if (values <= 0).any() else float(1 / np.mean(1 / values))


def forget_quality(ratios: Sequence[float], retain_ratios: Sequence[float]) -> tuple[float, float]:
    """Compare the forget set's truth ratios with those of a model that never saw it.

    Returns:
        The p-value of the two-sample Kolmogorov-Smirnov test (1: no difference to be seen,
        near 0: surely different) and its statistic, the largest distance of the two distribution
        functions, 0 to 1. The p-value is exact for up to 10,000 items.

    Source:
        Maini et al., TOFU, COLM 2024, section 2.2.3.
    """
    # Loading scipy takes a second, which only those wait for who need it.
    from scipy.stats import ks_2samp

    found = ks_2samp(ratios, retain_ratios)
    return float(found.pvalue), float(found.statistic)
