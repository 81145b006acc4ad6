"""AlpacaEval: published win rates from published annotations; judges; outputs."""

import json
import math
import sys
import types

import pytest

from cmc.__main__ import main
from cmc.errors import DataError
from cmc.evaluation.alpaca import read_annotations, report_annotations
from cmc.evaluation.preferences import standard_error, summarise, win_rate
from tests.conftest import shared

VERDICTS = "alpaca_7b_annotations_alpaca_eval_gpt4.json"
WEIGHTED = "alpaca_7b_annotations_weighted_gpt4_turbo.json"


@pytest.mark.parametrize(
    ("file", "rate", "error"),
    [(VERDICTS, 26.459627329192543, 1.53571147), (WEIGHTED, 2.591450540223603, 0.48708554)],
)
def test_published_win_rates_come_out_to_the_last_digit(file, rate, error, capsys):
    path = str(shared("alpaca_eval", file))
    assert main(["evaluate", "alpaca", "--annotations", path, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["win_rate"] == rate
    assert report["standard_error"] == pytest.approx(error, abs=1e-8)
    assert (report["n_total"], report["n_missing"]) == (805, 0)
    assert report["low"] < rate < report["high"]
    for name in ("avg_length", "distinct_2", "refusal_rate"):
        ends = report[f"{name}_interval"]
        assert ends["low"] <= report[name] <= ends["high"]
        assert ends["n"] == 805
    assert report["length_controlled_win_rate"] is None
    assert "alpaca_eval" in report["length_controlled_reason"]
    assert int(report["avg_length"]) == 396  # as the leaderboard prints it
    subsets = report["subsets"].values()
    assert sum(each["n_total"] for each in subsets) == 805
    whole = sum(each["win_rate"] * each["n_total"] for each in subsets) / 805
    assert whole == pytest.approx(rate)


def test_the_reference_wins_what_the_model_loses():
    path = shared("alpaca_eval", VERDICTS)
    turned = report_annotations(read_annotations(path, "text_davinci_003"))
    assert turned["win_rate"] == pytest.approx(100 - 26.459627329192543)
    assert (turned["model"], turned["reference"]) == ("text_davinci_003", "alpaca-7b")


def annotation(preference, one="a", two="b") -> dict:
    return {"instruction": "i", "output_1": "x", "output_2": "yy", "generator_1": one,
            "generator_2": two, "preference": preference}  # fmt: skip


def written(tmp_path, records) -> str:
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(records))
    return str(path)


def test_draws_count_half_and_missing_verdicts_are_counted_apart(tmp_path):
    records = [annotation(each) for each in (2, 1, 0, 1.5, None, math.nan)]
    report = report_annotations(read_annotations(written(tmp_path, records)))
    assert report["win_rate"] == 50
    assert (report["n_wins"], report["n_wins_base"], report["n_draws"]) == (1, 1, 2)
    assert (report["n_total"], report["n_missing"]) == (4, 2)
    assert report["standard_error"] == pytest.approx(100 * math.sqrt((0.25 + 0.25) / 3 / 4))


def test_probabilities_are_averaged_and_rounded_only_for_the_discrete_rate():
    found = summarise([1.2, 1.9, 1.5])
    assert found["win_rate"] == pytest.approx(100 * (0.2 + 0.9 + 0.5) / 3)
    assert found["discrete_win_rate"] == 50
    assert summarise([None])["win_rate"] is None
    assert standard_error([2.0]) is None
    assert win_rate([2.0]) == 100


def test_models_on_changing_sides_are_refused_until_one_is_named(tmp_path):
    path = written(tmp_path, [annotation(2), annotation(2, "b", "a")])
    with pytest.raises(DataError, match="not one model") as caught:
        read_annotations(path)
    assert "--model a" in caught.value.hint
    assert [each["preference"] for each in read_annotations(path, "b")] == [2, 1]
    with pytest.raises(DataError, match="not c"):
        read_annotations(path, "c")


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([], "holds no records"), ({}, "no list"), ([1], "record 1 .* is no record"),
        ([{"instruction": "i"}], 'no "output_1"'), ([annotation(3)], "preference .* is \"3\""),
        ([annotation("2")], "preference"), ([annotation(1) | {"output_1": None}], "is not text"),
    ],
)  # fmt: skip
def test_other_files_are_refused_in_words(tmp_path, records, says):
    with pytest.raises(DataError, match=says) as caught:
        read_annotations(written(tmp_path, records))
    assert caught.value.hint


def test_the_length_controlled_rate_is_the_packages_or_none(tmp_path, monkeypatch):
    package, metrics = types.ModuleType("alpaca_eval"), types.ModuleType("alpaca_eval.metrics")
    package.__spec__ = types.SimpleNamespace()
    given = {}

    def rate(table, save_weights_dir):
        given["rows"], given["dir"] = len(table), save_weights_dir
        return {"length_controlled_winrate": 12.5}

    metrics.get_length_controlled_winrate = rate
    monkeypatch.setitem(sys.modules, "alpaca_eval", package)
    monkeypatch.setitem(sys.modules, "alpaca_eval.metrics", metrics)
    annotations = read_annotations(written(tmp_path, [annotation(2), annotation(1)]))
    assert report_annotations(annotations)["length_controlled_win_rate"] == 12.5
    assert given == {"rows": 2, "dir": None}
    monkeypatch.setattr(metrics, "get_length_controlled_winrate", lambda *_, **__: 1 / 0)
    report = report_annotations(annotations)
    assert report["length_controlled_win_rate"] is None
    assert "ZeroDivisionError" in report["length_controlled_reason"]
