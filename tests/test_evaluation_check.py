"""The transfer check: its figures against plain sums, its verdict, its place in a run."""

import json
import math

import numpy as np
import pytest
import torch

from cmc.data import Record, read_records
from cmc.evaluation.check import checked, evaluate_check, map_health, spread
from cmc.evaluation.repeat import compare_reports, repeat_report
from cmc.evaluation.trial import (
    Pair,
    carried_share,
    jensen_shannon,
    likelihoods,
    shift_similarity,
    told_likelihoods,
)
from cmc.generation import Row
from cmc.settings import CheckRequest, CoverSettings
from tests.conftest import tiny_controller, tiny_target

RECORDS = [Record(f"Who is {name}?", "", f"{name} is here.") for name in ("Anna", "Hugo", "Ida")]


def pair(family="byte-level", strength=1.0, transfer="auto") -> Pair:
    controller = tiny_controller("sentencepiece")
    return Pair(controller, tiny_target(family), transfer, strength, CoverSettings())


def texts(alone, controlled) -> dict:
    return {"alone": list(np.log(alone)), "controlled": list(np.log(controlled)),
            "bytes": [10] * len(alone)}  # fmt: skip


def found(target, template, advice="Use cover.") -> dict:
    return {"target": target, "template": template,
            "map": {"transfer": "cover", "grade": "good", "advice": advice, "mass": {}},
            "shift": {"similarity": 0.9, "low": 0.8, "high": 1.0, "n": 4}}  # fmt: skip


def test_likelihoods_are_those_of_the_public_score():
    here = pair()
    model = here.controlled()
    scores = likelihoods(here, RECORDS)
    for number, record in enumerate(RECORDS):
        prompt = model.prompt(record.instruction)
        for name, strength in (("alone", 0.0), ("controlled", 1.0)):
            score = model.score([Row(prompt, (strength,))], [f" {record.output}"])[0]
            assert scores[name][number] == pytest.approx(math.fsum(score.logprobs), abs=1e-3)
        assert scores["bytes"][number] == len(f" {record.output}")


def test_figures_are_plain_means_with_intervals_around_them():
    told = told_likelihoods(texts([0.1, 0.2, 0.1], [0.4, 0.8, 0.6]))
    assert told["expected"] == pytest.approx(0.6)
    assert told["expected_alone"] == pytest.approx(0.4 / 3)
    assert told["gain"] == pytest.approx(math.log(4 * 4 * 6) / 30)
    for name in ("expected", "expected_alone", "gain"):
        ends = told[f"{name}_interval"]
        assert ends["low"] <= told[name] <= ends["high"]
    assert told["n"] == 3


def test_the_share_is_of_the_templates_gain_and_has_an_interval():
    here, there = texts([0.1] * 8, [0.5, 0.3] * 4), texts([0.1] * 8, [0.9] * 8)
    share = carried_share(here, there)
    assert share["value"] == pytest.approx(0.3 / 0.8)
    assert share["low"] < share["value"] < share["high"]
    assert carried_share(texts([0.1], [0.5]), texts([0.2], [0.2])) is None


@pytest.mark.parametrize(
    ("target", "template", "says"),
    [
        (([0.1], [0.85]), ([0.1], [0.9]), "Carries over: about 94 %"),
        (([0.1], [0.5]), ([0.1], [0.9]), "Carries over in part: about 50 %"),
        (([0.1], [0.2]), ([0.1], [0.9]), "Hardly carries over: about 12 %"),
        (([0.5], [0.2]), ([0.1], [0.9]), "Does harm here"),
        (([0.1], [0.9]), ([0.9], [0.1]), "no effect on its own template"),
    ],
)
def test_the_verdict_follows_from_what_arrives(target, template, says):
    told = checked(found(texts(*target), texts(*template)))
    assert says in told["verdict"]
    if "Hardly" in says:
        assert told["verdict"].endswith("Use cover.")


def test_a_shift_is_like_itself_and_at_strength_zero_there_is_none():
    alike = shift_similarity(pair(), pair(), RECORDS)
    assert alike["similarity"] == pytest.approx(1, abs=1e-5)
    other = shift_similarity(pair("sentencepiece"), pair(strength=0.0), RECORDS)
    assert other["similarity"] < 0.999
    assert other["low"] <= other["similarity"] <= other["high"]
    assert other["n"] == 2 * len(RECORDS)  # start and middle of every answer
    one, two = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert float(jensen_shannon(one, two)) == pytest.approx(1, abs=1e-6)
    assert float(jensen_shannon(one, one)) == pytest.approx(0, abs=1e-6)


def test_texts_are_taken_evenly_from_the_whole_file():
    records = [Record(str(number), "", "") for number in range(10)]
    assert [each.instruction for each in spread(records, 4)] == ["0", "2", "5", "7"]
    assert spread(records, 99) == records


def test_the_map_is_graded_by_the_transfer_that_is_used():
    assert map_health(pair("sentencepiece"))["transfer"] == "same"
    health = map_health(pair(transfer="pm-mined"))
    assert health["transfer"] == "pm-mined"
    assert health["advice"]


def test_a_check_is_measured_in_parts_kept_and_repeated(saved, monkeypatch):
    monkeypatch.setattr("cmc.evaluation.answers.ANSWER_TOKENS", 4)
    request = CheckRequest(
        controller=saved["controller"], target=saved["byte"], template=saved["model"],
        data=saved["data"], limit=2, generations=1,
    )  # fmt: skip
    *cells, last = evaluate_check(request)
    assert [each.message for each in cells] == [
        "map", "template", "target", "shift", "generations"
    ]  # fmt: skip
    kept = json.loads(json.dumps({each.message: each.found for each in cells[:3]}))
    *rest, again = evaluate_check(request, kept)
    assert [each.message for each in rest] == ["shift", "generations"]
    assert compare_reports(last.report, again.report)["same"]
    assert list(repeat_report(last.report))[-1].report["repeated"]["same"]
    assert last.report["target_scores"]["n"] == 2
    assert len(cells[-1].answers) == 1
    assert len(read_records(saved["data"])) == 3
