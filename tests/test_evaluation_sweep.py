"""Sweeps: every cell once, a recommendation that follows from the rows, a report that repeats."""

from dataclasses import replace

import pytest

from cmc import charts
from cmc.controller import load_controller
from cmc.errors import CmcError, SettingError
from cmc.evaluation.kinds import kind_of, stored_request
from cmc.evaluation.provenance import describe_maps
from cmc.evaluation.recommend import balance, recommend
from cmc.evaluation.repeat import compare_reports, repeat_report
from cmc.evaluation.sweep import evaluate_sweep
from cmc.generation import ControlledModel
from cmc.generation.mix import carrier
from cmc.models import load_language_model
from cmc.settings import (
    CheckRequest,
    CoverSettings,
    JudgeSettings,
    SuiteRequest,
    SweepRequest,
    as_plain,
)
from cmc.store import Store
from cmc.store.maps import keep_map
from tests.judge_server import chat, ranking


@pytest.fixture(autouse=True)
def _short_answers(monkeypatch):
    monkeypatch.setattr("cmc.evaluation.answers.ANSWER_TOKENS", 6)


def request(saved, **others) -> SweepRequest:
    named = {"controllers": (saved["controller"],), "targets": (saved["model"], saved["byte"]),
             "strengths": (0.5, 1), "data": saved["data"], "retain": saved["retain"]}  # fmt: skip
    return SweepRequest(**(named | others))


def point(strength: float, score: float, half: float = 0.05, **more) -> dict:
    return {"strength": strength, "score": score, "low": score - half, "high": score + half, **more}


def test_the_base_belongs_to_every_sweep_and_is_measured_first(saved):
    assert request(saved).strengths == (0.0, 0.5, 1.0)
    assert request(saved, strengths=(1, -1, 0)).strengths == (0.0, -1.0, 1.0)
    with pytest.raises(SettingError, match="out of range"):
        request(saved, strengths=(99,))


@pytest.mark.parametrize("metric", ["exact_match", "win_rate", "forget"])
def test_every_cell_is_measured_once_and_the_rows_say_the_difference_to_the_base(saved, metric):
    *steps, last = evaluate_sweep(request(saved, metric=metric))
    assert [each.done for each in steps] == list(range(1, 7))
    rows = last.report["rows"]
    assert [(row["target"], row["strength"]) for row in rows] == [
        (target, strength) for target in (saved["model"], saved["byte"])
        for strength in (0.0, 0.5, 1.0)
    ]  # fmt: skip
    for row in rows:
        assert row["low"] - 1e-9 <= row["score"] <= row["high"] + 1e-9
        assert row["difference"] == pytest.approx(row["score"] - row["base"])
        assert row["n"] == 3
        assert ("forget" in row) == (metric == "forget")
    assert [row["difference"] for row in rows if row["strength"] == 0] == [0, 0]
    if metric == "win_rate":
        assert [row["score"] for row in rows if row["strength"] == 0] == [0.5, 0.5]


def test_what_is_kept_is_not_measured_again_and_gives_the_same_report(saved, monkeypatch):
    *steps, last = evaluate_sweep(request(saved, metric="win_rate"))
    kept = {each.message: each.found for each in steps[:4]}
    asked = []
    from cmc.evaluation import sweep

    original = sweep.ask
    monkeypatch.setattr(sweep, "ask", lambda *a, **k: asked.append(a) or original(*a, **k))
    *rest, again = evaluate_sweep(request(saved, metric="win_rate"), kept)
    assert [each.message for each in rest] == [each.message for each in steps[4:]]
    assert len(asked) == 2
    assert compare_reports(last.report, again.report)["same"]


def test_a_report_repeats_from_its_provenance_and_a_changed_one_does_not(saved):
    report = list(evaluate_sweep(request(saved, targets=(saved["byte"],))))[-1].report
    made = report["provenance"]
    assert set(made["models"]) == {saved["byte"]}
    assert len(made["controllers"][saved["controller"]]["weights"]) == 64
    found = list(repeat_report(report))[-1].report["repeated"]
    assert found == {"same": True, "differences": [], "changed": []}
    report["rows"][1]["score"] += 0.25
    report["provenance"]["data"][saved["data"]] = "another"
    found = list(repeat_report(report))[-1].report["repeated"]
    assert not found["same"]
    assert any("rows[1].score" in each for each in found["differences"])
    assert any(saved["data"] in each for each in found["changed"])


@pytest.mark.parametrize(
    "asked",
    [
        SweepRequest(strengths=(0.5,), cover=CoverSettings(use_prior=False)),
        CheckRequest(limit=7),
        SuiteRequest(suite="a.json", targets=("a", "b")),
    ],
)
def test_a_request_survives_being_stored(asked):
    import json

    stored = json.loads(json.dumps(as_plain(asked)))
    assert stored_request(kind_of(asked), stored) == asked


@pytest.mark.parametrize("stored", [None, [], {"strengths": 3}, {"metric": "magic"}])
def test_a_request_that_cannot_be_read_is_a_sentence(stored):
    with pytest.raises(CmcError):
        stored_request("sweep", stored)


def test_the_weakest_strength_within_one_standard_error_of_the_best_is_recommended():
    points = [point(0, 0.1), point(0.5, 0.6), point(1, 0.88), point(1.5, 0.9), point(2, 0.4)]
    found = recommend(points)
    assert (found["strength"], found["score"]) == (1, 0.88)
    assert found["harm"] == [[2, 2]]
    assert "0.88 (base 0.10)" in found["why"]


def test_no_strength_is_recommended_where_none_helps():
    found = recommend([point(0, 0.5), point(1, 0.54), point(2, 0.2), point(-1, 0.1)])
    assert found["strength"] is None
    assert found["harm"] == [[-1, -1], [2, 2]]


def test_forgetting_is_weighed_against_what_is_kept():
    def forget(strength, gone, kept):
        return point(strength, kept, forget={"score": gone})

    points = [forget(0, 1.0, 1.0), forget(1, 0.1, 0.98), forget(2, 0.0, 0.5), forget(0.5, 0.6, 1)]
    found = recommend(points)
    assert found["strength"] == 1
    assert found["harm"] == [[2, 2]]
    assert balance(points[1], points[0]) == pytest.approx(2 * 0.9 * 0.98 / 1.88)
    assert balance(points[0], points[0]) == 0


def test_charts_show_scores_recommendation_and_harm():
    rows = [point(s, v, controller="c", target="t") for s, v in ((0, 0.1), (1, 0.9), (2, 0.3))]
    advice = recommend(rows) | {"controller": "c", "target": "t"}
    figure = charts.strength_lines({"rows": rows, "recommendations": [advice], "metric": "forget"})
    line, star = figure.data
    assert list(line.x) == [0, 1, 2]
    assert list(star.x) == [1]
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (1.95, 2.05)
    both = [row | {"forget": {"score": 1 - row["score"]}} for row in rows]
    traded = charts.trade_off({"rows": both, "recommendations": [advice]})
    assert list(traded.data[0].text) == ["0", "1", "2"]
    for empty in (charts.strength_lines, charts.trade_off, charts.suite_matrix, charts.check_bars):
        assert empty({}).layout.annotations


def test_another_judge_is_asked_pair_by_pair_and_a_killed_sweep_asks_nothing_twice(saved, serve):
    server = serve((200, {}, chat(ranking(1))))
    judging = JudgeSettings(judge="endpoint", endpoint=server.url)
    asked = request(saved, metric="win_rate", targets=(saved["byte"],), judging=judging)
    *steps, last = evaluate_sweep(asked)
    assert last.report["judge"] == "endpoint:gpt-4-0613"
    assert len(server.requests) == 6  # two strengths of three questions; the base needs none
    assert [row["n"] for row in last.report["rows"]] == [3, 3, 3]
    for row, verdicts in zip(last.report["rows"][1:], (steps[2:5], steps[7:10]), strict=True):
        preferences = [each.found["preference"] for each in verdicts]
        assert row["score"] == pytest.approx(sum(preferences) / 3 - 1)
    for cut in (0, 3, 6, 9):
        before = len(server.requests)
        kept = {each.message: each.found for each in steps[:cut]}
        *_, again = evaluate_sweep(asked, kept)
        assert compare_reports(last.report, again.report)["same"]
        known = sum("verdict" in key for key in kept)
        assert len(server.requests) - before == 6 - known
    server.replies = [(200, {}, chat("Both!"))]
    none = list(evaluate_sweep(replace(asked, judging=replace(judging, attempts=1))))[-1].report
    assert [row["n_missing"] for row in none["rows"]] == [0, 3, 3]


def test_without_a_judge_named_the_right_answers_judge(saved):
    report = list(evaluate_sweep(request(saved, metric="win_rate")))[-1].report
    assert report["judge"] == f"reference:{saved['data']}"
    other = request(saved, metric="win_rate", judging=JudgeSettings(
        judge="local", judge_model=saved["model"]))  # fmt: skip
    assert list(evaluate_sweep(other))[-1].report["judge"] == f"local:{saved['model']}"
    assert list(evaluate_sweep(request(saved)))[-1].report["judge"] is None


def test_the_origin_names_every_map_by_its_content_and_the_kept_version_that_says_the_same(
    saved, tmp_path, monkeypatch
):
    monkeypatch.setenv("CMC_HOME", str(tmp_path))
    asked = request(saved, transfer="pm-mined", strengths=(0.5,))
    maps = list(evaluate_sweep(asked))[-1].report["provenance"]["maps"]
    key = f"{saved['controller']} on {saved['byte']} by pm-mined"
    assert set(maps) == {key, f"{saved['controller']} on {saved['model']} by pm-mined"}
    assert len({each["map"] for each in maps.values()}) == 2
    assert maps[key]["version"] is None
    controller, target = load_controller(saved["controller"]), load_language_model(saved["byte"])
    built = carrier(controller, target, "pm-mined")
    keep_map(Store(tmp_path), "mine", built.overridden(5, 7))
    keep_map(Store(tmp_path), "mine", built)
    told = describe_maps(["c"], ControlledModel(target, [controller], transfer="pm-mined"))
    assert told[f"c on {target.name} by pm-mined"]["version"] == "mine@2"
    told = describe_maps(["c"], ControlledModel(target, [controller], transfer="cover"))
    assert told[f"c on {target.name} by cover"]["map"] is None
