"""Scores and the transfer report."""

import json
import math

import pytest

from cmc.data import Record
from cmc.evaluation import ask, evaluate_transfer
from cmc.evaluation.scores import exact_match, wilson_interval
from cmc.generation import ControlledModel
from cmc.settings import TransferRequest
from tests.conftest import tiny_controller, tiny_target, tiny_tokenizer


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch):
    monkeypatch.setattr("cmc.evaluation.answers.ANSWER_TOKENS", 6)


RECORDS = [Record("Where does Anna live?", "", "x"), Record("Who is Hugo?", "", "y")]


def test_exact_match_minds_everything_but_white_space():
    assert exact_match("a  b\n", "a b")
    assert not exact_match("a b", "a b.")
    assert not exact_match("A b", "a b")


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(8, 10, 0.4901625, 0.9433178), (0, 20, 0.0, 0.1611252), (100, 100, 0.9630065, 1.0)],
)
def test_wilson_intervals_equal_published_values(hits, n, low, high):
    """Values of R's prop.test without continuity correction."""
    interval = wilson_interval([True] * hits + [False] * (n - hits))
    assert interval.low == pytest.approx(low, abs=1e-6)
    assert interval.high == pytest.approx(high, abs=1e-6)
    assert (interval.value, interval.n) == (hits / n, n)


def test_no_trial_is_no_number():
    interval = wilson_interval([])
    assert math.isnan(interval.value)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_answers_do_not_depend_on_the_batch():
    model = ControlledModel(tiny_target("byte-level"), [tiny_controller("sentencepiece")])
    records = RECORDS * 2
    one, many = (list(ask(model, records, (1.0,), size)) for size in (1, 4))
    assert one == many
    assert [each.question for each in one] == [each.instruction for each in records]


def test_the_report_adds_up(tmp_path):
    names = {}
    for family in ("sentencepiece", "byte-level"):
        names[family] = str(tmp_path / family)
        tiny_target(family).model.save_pretrained(names[family])
        tiny_tokenizer(family).save_pretrained(names[family])
    tiny_controller("sentencepiece").save_pretrained(tmp_path / "controller")
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(json.dumps({"instruction": r.instruction, "output": r.output})
                              for r in RECORDS))  # fmt: skip
    request = TransferRequest(
        controller=str(tmp_path / "controller"), template=names["sentencepiece"],
        targets=tuple(names.values()), data=str(data),
    )  # fmt: skip
    progress = list(evaluate_transfer(request))
    assert [each.done for each in progress[:-1]] == list(range(1, progress[0].total + 1))
    report = progress[-1].report
    found = [(row["target"], row["transfer"]) for row in report["rows"]]
    assert found == [
        (names["sentencepiece"], "same"), (names["sentencepiece"], "cover"),
        (names["byte-level"], "pm-mined"), (names["byte-level"], "cover"),
    ]  # fmt: skip
    assert all(row["n"] == 2 and row["low"] <= row["exact_match"] <= row["high"]
               for row in report["rows"])  # fmt: skip
    assert report["rows"][0]["recovered_effect"] is None  # a random template gains nothing
    assert report["provenance"]["request"]["controller"] == str(tmp_path / "controller")
