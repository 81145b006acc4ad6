"""What is forgotten and what stays: halves that share nothing, strengths that follow from one."""

import json

import pytest

from cmc.commands.evaluate_forgetting import show_forgetting
from cmc.controller import load_controller
from cmc.errors import DataError, SettingError
from cmc.evaluation import forgetting
from cmc.evaluation.forgetting import SETS, evaluate_forgetting, reached
from cmc.evaluation.kinds import kind_of, stored_request
from cmc.evaluation.recommend import recommend
from cmc.settings import ForgettingRequest, as_plain


@pytest.fixture
def request_of(saved, tmp_path, monkeypatch):
    """Return what asks tiny models about three sets of five questions."""
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    places = {}
    for name in SETS:
        places[name] = tmp_path / f"{name}.jsonl"
        rows = [{"instruction": f"{name} {n}", "output": f"answer {n}"} for n in range(5)]
        places[name].write_text("\n".join(map(json.dumps, rows)))

    def made(**others) -> ForgettingRequest:
        named = {"controllers": (saved["controller"],), "targets": (saved["model"], saved["byte"]),
                 "template": saved["model"], "init": saved["model"], "strengths": (1, 0.5),
                 "data": str(places["forget"]), "retain": str(places["retain"]),
                 "other": str(places["other"])}  # fmt: skip
        return ForgettingRequest(**(named | others))

    return made


def test_mistakes_are_told(request_of):
    assert request_of(strengths=(2, 0, 1)).strengths == (1.0, 2.0)
    for wrong in ({"strengths": (0,)}, {"strengths": (-1,)}, {"objectives": ("sft",)},
                  {"objectives": (), "controllers": ()}):  # fmt: skip
        with pytest.raises(SettingError):
            request_of(**wrong)
    request = request_of()
    assert stored_request(kind_of(request), json.loads(json.dumps(as_plain(request)))) == request


def test_a_strength_is_chosen_with_one_half_and_reported_on_the_other(request_of, monkeypatch):
    asked = []
    original = forgetting.ask

    def listened(model, records, strengths, *more, **named):
        asked.append((strengths, [each.instruction for each in records]))
        return original(model, records, strengths, *more, **named)

    monkeypatch.setattr(forgetting, "ask", listened)
    *steps, last = evaluate_forgetting(request_of())
    # Per target the base and two strengths to choose by, the base and one strength to report.
    assert [each.done for each in steps] == list(range(1, len(steps) + 1))
    assert last.report["kind"] == "forgetting"
    choosing = {text for _, texts in asked[:12] for text in texts}
    reporting = {text for _, texts in asked[12:] for text in texts}
    assert choosing == {f"{name} {n}" for name in SETS[:2] for n in (0, 2, 4)}
    assert reporting == {f"{name} {n}" for name in SETS for n in (1, 3)}
    for row, choice in zip(last.report["rows"], last.report["choices"], strict=True):
        assert [each["strength"] for each in choice["points"]] == [0, 0.5, 1]
        assert row["strength"] == recommend(choice["points"])["strength"]
        assert [row[each]["n"] for each in SETS] == [2, 2, 2]


def test_what_is_kept_is_not_measured_again(request_of, monkeypatch):
    *steps, last = evaluate_forgetting(request_of())
    kept = {each.message: each.found for each in steps}
    monkeypatch.setattr(forgetting, "ask", lambda *_, **__: pytest.fail("measured again"))
    (again,) = evaluate_forgetting(request_of(), kept)
    assert again.report["rows"] == last.report["rows"]


def test_controllers_are_trained_once_and_reverse_is_subtracted(request_of, saved, monkeypatch):
    request = request_of(
        controllers=(), objectives=("npo", "reverse"), targets=(saved["model"],), max_steps=2,
        strengths=(1,), train_batch=2,
    )  # fmt: skip
    *steps, last = evaluate_forgetting(request)
    assert [each.message for each in steps[:2]] == ["npo is trained", "reverse is trained"]
    assert last.total == len(steps)
    folder = steps[1].found["folder"]
    assert load_controller(folder).settings["objective"] == "reverse"
    points = [each["points"] for each in last.report["choices"]]
    assert [point["strength"] for each in points for point in each] == [0, 1, 0, -1]
    monkeypatch.setattr(forgetting, "run_training", lambda *_: pytest.fail("trained again"))
    assert next(evaluate_forgetting(request)).found["folder"] == steps[0].found["folder"]


def test_a_stopped_training_stops_the_evaluation(request_of, monkeypatch):
    request = request_of(controllers=(), objectives=("npo",), max_steps=3)
    original = forgetting.run_training

    def stopped(*arguments):
        training = original(*arguments)
        yield next(training)
        training.close()

    monkeypatch.setattr(forgetting, "run_training", stopped)
    with pytest.raises(KeyboardInterrupt):
        next(evaluate_forgetting(request))
    monkeypatch.setattr(forgetting, "run_training", original)
    assert next(evaluate_forgetting(request)).found["steps"] == 3


def test_one_record_is_too_few_for_two_halves(request_of, tmp_path):
    (tmp_path / "forget.jsonl").write_text('{"instruction": "a", "output": "b"}')
    with pytest.raises(DataError, match="too few for two halves"):
        list(evaluate_forgetting(request_of()))


def test_goals_are_reached_or_what_is_missed_is_said(capsys):
    def row(*scores):
        return {name: {"score": score, "low": 0, "high": 1, "n": 9, "base": 1}
                for name, score in zip(SETS, scores, strict=True)}  # fmt: skip

    tried = [(0.1, 0.96, 0.91), (0.1, 0.9, 0.91), (0.34, 0.86, 0.91), (0.35, 0.85, 0.91)]
    found = [reached(row(*each)) for each in tried]
    assert found == ["moonshot", "goal", "goal", "misses forget 0.35, retain 0.85"]
    about = {"method": "npo", "target": "lab:byte", "transfer": "cover", "reached": "goal"}
    rows = [{**row(0.1, 0.9, 0.95), **about, "strength": 0.5},
            {**row(1, 1, 1), **about, "strength": None, "transfer": None}]  # fmt: skip
    show_forgetting({"rows": rows})
    first, second = capsys.readouterr().out.splitlines()
    assert "at 0.5" in first
    assert "forget 0.10 [0.00, 1.00] n=9" in first
    assert "at none" in second
