"""Metrics load by path, offline, and agree with independent sums."""

import math
from pathlib import Path

import evaluate
import numpy as np
import pytest

from cmc.evaluation import metrics
from cmc.evaluation.scores import bootstrap_interval, mean_interval
from cmc.evaluation.shifts import (
    js_divergence,
    kl_divergence,
    recovered_effect,
    shift_sinkhorn,
    sinkhorn_divergence,
)
from cmc.evaluation.texts import distinct_interval, distinct_n

FOLDER = Path(metrics.__file__).parent
TEXTS = {"predictions": ["a red fox", "no"], "references": ["the red fox", "yes"]}
LOSSES = {"predictions": [1.0, 2.0], "references": [[2.0, 3.0], [1.0, 1.0]]}
SHIFTS = {"predictions": [[1.0, 0.0, 0.0]] * 2, "references": [[4.0, 3.0, 3.0], [0.0, 0.0, 2.0]]}
CASES = {
    "rouge_l_recall": (TEXTS, {"rouge_l_recall": (2 / 3 + 0) / 2}),
    "exact_match": ({"predictions": ["a b", "c"], "references": ["a  b", "d"]},
                    {"exact_match": 0.5}),
    "token_f1": (TEXTS, {"token_f1": 0.5}),
    "distinct_n": ({"predictions": ["a b a b", "a b"]}, {"distinct_n": 0.5, "n": 2}),
    "length": ({"predictions": ["ab c", "d e f "]}, {"characters": 5.0, "words": 2.5}),
    "refusal_rate": ({"predictions": ["I don't know.", "In Rome."]}, {"refusal_rate": 0.5}),
    "answer_probability": (
        LOSSES, {"probability": (
            math.exp(-1) / (math.exp(-1) + math.exp(-2) + math.exp(-3))
            + math.exp(-2) / (math.exp(-2) + 2 * math.exp(-1))) / 2}),
    "truth_ratio": (LOSSES, {"truth_ratio": (1 - math.exp(-1.5)) / 2}),
    "model_utility": ({"predictions": [0.5, 0.5, 1.0], "references": ["a", "a", "b"]},
                      {"model_utility": 2 / 3}),
    "forget_quality": ({"predictions": [1.0, 2, 3], "retain_ratios": [4.0, 5, 6]},
                       {"forget_quality": 0.1, "statistic": 1.0}),
    "win_rate": ({"predictions": [2.0, 1.0, 0.0, math.nan]}, {"win_rate": 50.0, "n_missing": 1}),
    "shift_similarity": (SHIFTS, {"n": 2}),
    "recovered_effect": (
        {"predictions": [1.0, 0.0], "references": [0.0, 0.0], "template_controlled": [1, 1],
         "template_base": [0, 0]}, {"recovered_effect": 0.5}),
}  # fmt: skip


def test_every_metric_is_tried():
    assert {path.stem for path in FOLDER.glob("*.py")} - {"__init__"} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_metric_loads_by_path_without_a_network_and_gives_value_and_n(
    name, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("evaluate.config.HF_EVALUATE_OFFLINE", True)
    metric = evaluate.load(str(FOLDER / f"{name}.py"), cache_dir=str(tmp_path))
    given, expected = CASES[name]
    found = metric.compute(**given)
    assert {"n", "n_total"} & set(found)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value), key
    assert len(metric.description.splitlines()) >= 3


def test_a_class_is_the_same_metric(tmp_path):
    from cmc.evaluation.metrics.token_f1 import TokenF1

    found = TokenF1(cache_dir=str(tmp_path)).compute(**TEXTS)
    assert (found["token_f1"], found["n"]) == (0.5, 2)
    assert found["low"] <= 0.5 <= found["high"]


def test_forget_quality_without_a_retain_model_is_none(tmp_path):
    from cmc.evaluation.metrics.forget_quality import ForgetQuality

    found = ForgetQuality(cache_dir=str(tmp_path)).compute(predictions=[1.0])
    assert found["forget_quality"] is None


def test_a_constant_per_position_changes_no_similarity():
    random_state = np.random.default_rng(0)
    one, other = random_state.normal(size=(2, 5, 9))
    moved = other + random_state.normal(size=(5, 1)) * 10
    for divergence in (kl_divergence, js_divergence, shift_sinkhorn):
        np.testing.assert_allclose(divergence(one, moved), divergence(one, other), rtol=1e-6)
        np.testing.assert_allclose(divergence(one, one), 0, atol=1e-9)


def test_divergences_equal_sums_over_the_tokens():
    one, other = np.random.default_rng(1).normal(size=(2, 1, 6))
    p, q = (np.exp(each[0]) / np.exp(each[0]).sum() for each in (one, other))
    assert kl_divergence(one, other)[0] == pytest.approx(sum(p * np.log(p / q)))
    m = (p + q) / 2
    js = sum(p * np.log2(p / m)) / 2 + sum(q * np.log2(q / m)) / 2
    assert js_divergence(one, other)[0] == pytest.approx(js)
    far = np.array([[50.0, 0, 0]]), np.array([[0, 50.0, 0]])
    assert js_divergence(*far)[0] == pytest.approx(1)


def test_sinkhorn_is_the_transport_cost_where_that_is_known():
    """On a line the best transport keeps the order; a cloud that is moved costs its way."""
    random_state = np.random.default_rng(2)
    one, other = np.sort(random_state.normal(size=(2, 12)), axis=1)
    cost = ((one - other) ** 2).mean() / 2
    assert sinkhorn_divergence(one[:, None], other[:, None]) == pytest.approx(cost, rel=0.02)
    cloud = random_state.normal(size=(7, 3))
    assert sinkhorn_divergence(cloud, cloud + np.array([3, 0, 4])) == pytest.approx(12.5, rel=1e-3)
    assert sinkhorn_divergence(cloud, cloud) == pytest.approx(0, abs=1e-9)


def test_no_gain_of_the_template_means_no_recovered_effect():
    assert recovered_effect([1, 1], [0, 0], [0, 1], [1, 0]) is None
    whole = recovered_effect([1, 0] * 20, [0, 0] * 20, [1, 1] * 20, [0, 0] * 20)
    assert (whole.value, whole.n) == (0.5, 40)
    assert 0.3 < whole.low < 0.5 < whole.high < 0.7


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    random_state = np.random.default_rng(3)
    hits = 0
    for _ in range(120):
        values = random_state.uniform(size=60)
        found = bootstrap_interval([values], np.mean, draws=300)
        hits += found.low <= 0.5 <= found.high
    assert 105 <= hits <= 120


def test_equal_values_still_have_an_interval():
    found = mean_interval(np.zeros(10))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(0.2775, abs=1e-3)


def test_the_jackknife_of_distinct_n_equals_leaving_out_by_hand():
    texts = ["a b c", "a b", "c d e f", "x y a b"]
    without = [distinct_n(texts[:i] + texts[i + 1 :]) for i in range(4)]
    spread = math.sqrt(3 / 4 * sum((each - np.mean(without)) ** 2 for each in without))
    low, high = distinct_interval(texts)
    assert high == pytest.approx(min(1, distinct_n(texts) + 1.959964 * spread))
    assert low == pytest.approx(max(0, distinct_n(texts) - 1.959964 * spread))
