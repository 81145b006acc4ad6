"""TOFU: published figures from published logs, and our own formulas against plain sums."""

import csv
import json
import math

import numpy as np
import pytest

from cmc.__main__ import main
from cmc.errors import DataError
from cmc.evaluation.texts import is_refusal, rouge_l_recall
from cmc.evaluation.tofu import read_log, report_log
from cmc.evaluation.tofu.formulas import forget_quality, model_utility, truth_ratio, truth_scores
from tests.conftest import shared

FULL, RETAIN = "llama2_7b_full_forget10", "llama2_7b_retain90"


def log_of(name: str, file: str = ""):
    return read_log(shared("tofu_logs", name, file) if file else shared("tofu_logs", name))


def printed(capsys, *arguments: str) -> dict:
    assert main(["evaluate", "tofu", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_open_unlearnings_figures_come_out_to_the_last_digit(capsys):
    log, retain = (shared("tofu_logs", name, "TOFU_EVAL.json") for name in (FULL, RETAIN))
    report = printed(capsys, "--log", str(log), "--retain-log", str(retain))
    assert report["model_utility"] == 0.6275553508047139
    assert report["forget_quality"] == 4.346199600129006e-25
    stated = json.loads(log.read_text("utf-8"))
    assert report["splits"]["forget"]["truth_ratio"] == pytest.approx(
        stated["forget_truth_ratio"]["agg_value"], rel=1e-14
    )
    assert report["splits"]["real_authors"]["probability"] == pytest.approx(
        stated["ra_Q_A_Prob_normalised"]["agg_value"], rel=1e-14
    )
    # The real authors' and facts' texts are there too: every stated recall comes out again.
    assert report["rouge_recomputed"] == {"n": 1017, "different": 0}
    interval = report["model_utility_interval"]
    assert interval["low"] < report["model_utility"] < interval["high"]
    assert interval["n"] == 617


@pytest.mark.parametrize(("name", "row"), [("full", 0), ("retain90", 1)])
def test_locuslabs_table_comes_out_to_six_digits(name, row):
    report = report_log(log_of(f"locuslab_llama2_7b_{name}", "eval_log_aggregated.json"))
    table = list(csv.DictReader(shared("tofu_logs", "locuslab_leaderboard_llama_10p.csv").open()))
    columns = {"retain": "Retain", "real_authors": "Real Authors", "world_facts": "Real World",
               "forget": "Forget"}  # fmt: skip
    parts = {"probability": "Prob.", "rouge": "ROUGE", "truth_ratio": "Truth Ratio"}
    for split, column in columns.items():
        for part, begin in parts.items():
            published = float(table[row][f"{begin} {column}"])
            assert report["splits"][split][part] == pytest.approx(published, abs=5e-7)
    assert report["model_utility"] == pytest.approx(float(table[row]["Model Utility"]), abs=5e-7)
    assert report["rouge_recomputed"] == {"n": 817, "different": 0}
    assert report["forget_quality"] is None  # never 0


def test_locuslabs_forget_quality_needs_the_retain_models_log():
    log, retain = (log_of(f"locuslab_llama2_7b_{name}") for name in ("full", "retain90"))
    assert report_log(log, retain)["forget_quality"] == pytest.approx(1.834066e-21, rel=1e-6)
    same = report_log(log, log)
    assert same["forget_quality"] == 1
    assert "by construction" in same["forget_quality_reason"]


def test_a_summary_is_told_as_stated():
    report = report_log(log_of(FULL, "TOFU_SUMMARY.json"))
    assert report["model_utility"] == 0.6275553508047139
    assert "summary" in report["model_utility_reason"]
    assert report["splits"]["forget"]["rouge"] is None
    with pytest.raises(DataError, match="no truth ratios"):
        report_log(log_of(FULL, "TOFU_SUMMARY.json"), log_of(RETAIN))


def test_the_order_of_items_and_of_keys_does_not_matter(tmp_path):
    stated = json.loads(shared("tofu_logs", FULL, "TOFU_EVAL.json").read_text("utf-8"))
    turned = {key: stated[key] for key in reversed(stated)}
    key = "forget_Q_A_PERT_Prob"
    values = turned[key]["value_by_index"]
    turned[key] = {**turned[key], "value_by_index": {i: values[i] for i in reversed(values)}}
    (tmp_path / "other_name.json").write_text(json.dumps(turned))
    found = report_log(read_log(tmp_path / "other_name.json"), log_of(RETAIN))
    assert found["forget_quality"] == 4.346199600129006e-25


def locuslab(**changes) -> dict:
    log = {
        "avg_gt_loss": {"0": 1.0, "1": 2.0}, "avg_paraphrased_loss": {"0": 0.5, "1": 1.0},
        "average_perturb_loss": {"0": [1.0, 2.0], "1": [3.0, 1.0]},
        "generated_text": {"0": ["q", "A red fox.", "The red foxes"], "1": ["q", "no", "yes"]},
    }  # fmt: skip
    return log | changes


def test_one_file_of_locuslab_is_enough_and_recalls_are_worked_out(tmp_path):
    path = tmp_path / "eval_log_forget.json"
    path.write_text(json.dumps(locuslab()))
    report = report_log(read_log(path), read_log(tmp_path))
    forget = report["splits"]["forget"]
    assert forget["probability"] == pytest.approx((math.exp(-1) + math.exp(-2)) / 2)
    ratios = [math.exp(0.5 - 1.5), math.exp(1.0 - 2.0)]
    assert forget["truth_ratio"] == pytest.approx(sum(ratios) / 2)
    assert forget["rouge"] == pytest.approx((2 / 3 + 0) / 2)
    assert (report["model_utility"], report["forget_quality"]) == (None, 1.0)
    assert "retain rouge" in report["model_utility_reason"]


def test_values_a_log_lacks_are_left_out_and_counted(tmp_path):
    path = tmp_path / "eval_log_forget.json"
    log = locuslab(avg_gt_loss={"0": 1.0, "1": None}, generated_text={})
    path.write_text(json.dumps(log | {"average_perturb_loss": {"0": [1.0, 2.0]}}))
    found = report_log(read_log(path))["splits"]["forget"]
    assert found["intervals"]["probability"]["n"] == 1
    assert found["intervals"]["truth_ratio"]["n"] == 1
    assert found["rouge"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "a list"), ('{"a": 1}', "no TOFU log"), ("{", "broken JSON at line 1"),
        ('{"forget_Q_A_Prob": {"agg_value": 1}}', "no value_by_index"),
        ('{"avg_gt_loss": {}}', "of which one it does not say"),
        ('{"eval_log.json": {"avg_gt_loss": {}}}', 'no "average_perturb_loss"'),
    ],
)  # fmt: skip
def test_other_files_are_refused_in_words(tmp_path, text, says):
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        report_log(read_log(tmp_path / "log.json"))
    assert caught.value.hint


def test_formulas_equal_plain_sums():
    ratio = truth_ratio([1.0], [[2.0, 4.0]])
    assert ratio[0] == pytest.approx(math.exp(-3) / math.exp(-1))
    both = np.array([0.25, 4.0, 0.0])
    np.testing.assert_allclose(truth_scores(both, is_forget=True), [0.25, 0.25, 0.0])
    np.testing.assert_allclose(truth_scores(both, is_forget=False), [0.75, 0.0, 1.0])
    assert model_utility([0.5, 1.0]) == pytest.approx(2 / 3)
    assert model_utility([0.5, 0.0]) == 0


def test_forget_quality_is_the_exact_test():
    """Three against three that do not overlap: 2 of the 20 arrangements are so extreme."""
    assert forget_quality([1, 2, 3], [4, 5, 6]) == (pytest.approx(0.1), 1.0)
    a, b = [0.1, 0.7, 0.3, 0.9], [0.2, 0.4, 0.8]
    assert forget_quality(a, b)[0] == pytest.approx(forget_quality(np.log(a), np.log(b))[0])


def test_recall_is_of_the_reference():
    assert rouge_l_recall("x a b", "a b") == 1
    assert rouge_l_recall("a", "a b c d") == 0.25
    assert rouge_l_recall("", "a") == 0


def test_tofus_own_refusals_are_seen_and_its_answers_are_none():
    lines = shared("tofu", "idontknow.jsonl").read_text("utf-8").splitlines()
    assert sum(map(is_refusal, lines)) / len(lines) > 0.95
    answers = [
        json.loads(line)["answer"]
        for line in shared("tofu", "full.json").read_text("utf-8").splitlines()
    ]
    assert sum(map(is_refusal, answers)) / len(answers) < 0.01
