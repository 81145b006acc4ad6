"""Judges: the published prompt, a server that misbehaves, both orders, right answers."""

import json
from pathlib import Path

import pytest

from cmc import runs
from cmc.__main__ import main
from cmc.data import read_records
from cmc.errors import JudgeError, SettingError
from cmc.evaluation.alpaca import evaluate_alpaca, read_annotations, report_annotations
from cmc.evaluation.job import run_evaluation
from cmc.evaluation.judges import Pair
from cmc.evaluation.judges.endpoint import EndpointJudge
from cmc.evaluation.judges.local import LocalJudge
from cmc.evaluation.judges.pairs import shows_reference_last
from cmc.evaluation.judges.prompt import ranking_messages, read_ranking
from cmc.evaluation.judges.reference import ReferenceJudge
from cmc.settings import AlpacaRequest, JudgeSettings
from tests.conftest import tiny_controller, tiny_target, tiny_tokenizer
from tests.judge_server import KEY, Server, chat, ranking

PAIR = Pair("Say yes.", "no", "yes")


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Nobody waits in a test; what would have been waited is kept."""
    found = []
    monkeypatch.setattr("cmc.evaluation.judges.endpoint.sleep", found.append)
    return found


def judge(server: Server, **changes) -> EndpointJudge:
    settings = {"judge": "endpoint", "endpoint": server.url, "judge_model": "pinned-0613"}
    return EndpointJudge(JudgeSettings(**settings | changes))


def first_or_second(body: dict) -> tuple:
    """Prefer whichever answer says yes, wherever it is shown."""
    shown = body["messages"][1]["content"]
    place = shown.index('"answer": """yes"""'), shown.index('"answer": """no"""')
    return 200, {}, chat(ranking(1 if place[0] < place[1] else 2, turned=True))


def test_the_better_answer_wins_wherever_it_is_shown_and_listed(serve):
    server = serve(first_or_second)
    pairs = [Pair(f"Say yes {i}.", "no", "yes") for i in range(12)]
    verdicts = [judge(server).compare(each) for each in pairs]
    assert {each.preference for each in verdicts} == {2.0}
    # Both orders were shown: the same answer was first in some, last in others.
    assert {each.first_shown for each in verdicts} == {0.0, 1.0}
    assert len({shows_reference_last(each, 0) for each in pairs}) == 2
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("pinned-0613", 0, 100)


def test_nonsense_is_asked_again_and_then_a_missing_verdict(serve):
    nonsense = [
        (200, {}, b"<html>"), (200, {}, b"{}"), (200, {}, chat(None)), (200, {}, chat("Both!")),
        (200, {}, chat("[{'model': 'model_1', 'rank': 1}]")),
    ]  # fmt: skip
    server = serve(*nonsense, first_or_second)
    assert judge(server, attempts=6).compare(PAIR).preference == 2.0
    server = serve((200, {}, chat(f"I like {KEY} best.")))
    verdict = judge(server, attempts=3).compare(PAIR)
    assert verdict.preference is None
    assert len(server.requests) == 3
    assert "no ranking" in verdict.reason
    assert KEY not in verdict.reason


def test_a_limit_of_rate_is_waited_for_as_asked_up_to_the_limit(serve, pauses):
    later = "Wed, 21 Oct 2099 07:28:00 GMT"
    server = serve(
        (429, {"Retry-After": "7"}, b""), (429, {"Retry-After": later}, b""), (503, {}, b""),
        (429, {"Retry-After": "soon"}, b""), first_or_second,
    )  # fmt: skip
    assert judge(server, longest_wait=30).compare(PAIR).preference == 2.0
    assert pauses == [7, 30, 4, 8]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
def test_a_refusal_ends_it_at_once_and_tells_no_key(serve, status):
    server = serve((status, {"Location": "http://127.0.0.1:1/"}, f"bad key {KEY}".encode()))
    with pytest.raises(JudgeError, match=str(status)) as caught:
        judge(server).compare(PAIR)
    assert len(server.requests) == 1
    assert KEY not in f"{caught.value.sentence()}{caught.value.__cause__}"


def test_a_server_that_is_slow_hangs_up_or_is_down_is_given_up_in_words(serve, pauses):
    slow = serve((200, {}, chat(ranking(1))))
    slow.drips = 0.6
    with pytest.raises(JudgeError, match=r"no answer within 0\.2 seconds"):
        judge(slow, timeout=0.2, attempts=2).compare(PAIR)
    cut = serve((None, {}, b""))
    with pytest.raises(JudgeError, match="cannot be reached"):
        judge(cut, attempts=2).compare(PAIR)
    down = serve((200, {}, b""))
    down.close()
    with pytest.raises(JudgeError, match="cannot be reached"):
        judge(down, attempts=4).compare(PAIR)
    assert pauses == [1, 1, 1, 2, 4]
    down.close = lambda: None


def test_without_a_key_none_is_sent_and_a_refusal_says_so(serve, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    server = serve((401, {}, b""))
    with pytest.raises(JudgeError, match="OPENAI_API_KEY: no key is set"):
        judge(server).compare(PAIR)
    assert "Authorization" not in server.requests[0][1]


@pytest.mark.parametrize("endpoint", ["ftp://x", "x", "https://me:key@x/v1", "https://x?key=1"])
def test_an_address_that_could_hold_a_key_is_refused_without_repeating_it(endpoint):
    with pytest.raises(SettingError) as caught:
        JudgeSettings(endpoint=endpoint)
    assert "key=1" not in caught.value.sentence()
    assert "me:key" not in caught.value.sentence()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ranking(1), 1.0), (ranking(2), 2.0), (ranking(2, turned=True), 2.0),
        ('```json\n[{"rank": "1", "model": "model_2"}, {"model":"model_1","rank":2}]\n```', 2.0),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 1}]", 1.5),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_1', 'rank': 2}]", None),
        ("", None), ("model_1", None), ("{" * 9000, None),
    ],
)  # fmt: skip
def test_rankings_are_read_by_name(text, found):
    assert read_ranking(text) == found


def test_answers_that_hold_the_prompts_own_places_stay_what_they_are():
    text = ranking_messages("{output_1}", "{output_2}", "{instruction}")[1]["content"]
    assert '"instruction": """{output_1}""",' in text
    assert text.index('"""{output_2}"""') < text.index('"""{instruction}"""')


def test_the_local_judge_asks_both_orders_and_a_mere_leaning_to_one_place_draws(tmp_path):
    verdicts = LocalJudge(saved(tmp_path, "byte-level"))
    forward = verdicts.compare(Pair("Say yes.", "no", "yes"))
    turned = verdicts.compare(Pair("Say yes.", "yes", "no"))
    assert forward.preference == pytest.approx(3 - turned.preference, abs=1e-5)
    assert forward.first_shown == pytest.approx(turned.first_shown, abs=1e-5)
    assert verdicts.compare(Pair("Say yes.", "a", "a")).preference == pytest.approx(1.5, abs=1e-5)
    too_long = verdicts.compare(Pair("Say yes. " * 100, "a", "b"))
    assert too_long.preference is None
    assert "exceed" in too_long.reason


def records(tmp_path, count: int) -> str:
    path = tmp_path / "questions.jsonl"
    rows = [{"instruction": f"Say yes {i}.", "output": f"yes {i}"} for i in range(count)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_what_is_nearer_to_the_right_answer_is_better(tmp_path):
    compare = ReferenceJudge(read_records(records(tmp_path, 2)), "here").compare
    assert compare(Pair("Say yes 1.", "no", "yes 1")).preference == 2.0
    assert compare(Pair("Say yes 1.", "yes  1", "Yes 1!")).preference == 1.0  # exact counts more
    assert compare(Pair("Say yes 1.", "yes", "yes")).preference == 1.5
    assert compare(Pair("Say yes 1.", "no", "yes")).preference == 2.0
    assert compare(Pair("What?", "a", "b")).preference is None


def saved(folder, family: str) -> str:
    tiny_target(family).model.save_pretrained(folder / "target")
    tiny_tokenizer(family).save_pretrained(folder / "target")
    return str(folder / "target")


def request(tmp_path, count: int = 3, **changes) -> AlpacaRequest:
    tiny_controller("sentencepiece").save_pretrained(tmp_path / "controller")
    settings = {
        "target": saved(tmp_path, "byte-level"), "data": records(tmp_path, count),
        "controllers": {str(tmp_path / "controller"): 1.0}, "max_new_tokens": 4, "batch_size": 2,
    }  # fmt: skip
    return AlpacaRequest(**settings | changes)


def new_run(tmp_path, name: str = "alpaca", **changes) -> runs.Run:
    return runs.new_evaluation("alpaca", request(tmp_path, **changes), name=name, home=tmp_path)


def prefer_second_shown(_body) -> tuple:
    return 200, {}, chat(ranking(2))


def test_a_run_writes_the_published_formats_and_its_annotations_give_the_same_report(tmp_path):
    run = new_run(tmp_path)
    steps = list(run_evaluation(run.folder))
    # Two batches each of the base's answers and the controlled ones, and three verdicts.
    assert [each.done for each in steps] == [1, 2, 3, 4, 5, 6, 7, 7]
    report = run.report()
    assert (report["n_total"], run.status()["state"]) == (3, "finished")
    outputs = json.loads((run.folder / "model_outputs.json").read_text("utf-8"))
    assert [each["instruction"] for each in outputs] == [f"Say yes {i}." for i in range(3)]
    assert {"instruction", "output", "generator"} <= set(outputs[0])
    annotations = read_annotations(run.folder / "annotations.json")
    target = report["provenance"]["request"]["target"]
    assert {each["generator_1"] for each in annotations} == {target}
    again = report_annotations(annotations)
    assert {name: report[name] for name in again} == again
    # The same by the command that reads published annotations and by a reference of its own.
    reference = str(run.folder / "reference_outputs.json")
    whole = list(evaluate_alpaca(request(tmp_path, reference=reference)))[-1].report
    assert (whole["win_rate"], whole["n_total"]) == (report["win_rate"], 3)


def test_killed_at_any_moment_a_run_goes_on_without_repeating_work(tmp_path, serve):
    server = serve(prefer_second_shown)
    judging = JudgeSettings(judge="endpoint", endpoint=server.url)
    run = new_run(tmp_path, judging=judging)
    whole = [each.message for each in run_evaluation(run.folder)]
    expected = json.loads((run.folder / "annotations.json").read_text("utf-8"))
    calls = len(server.requests)
    assert calls == 3
    for stop in range(1, len(whole)):
        again = new_run(tmp_path, f"stopped {stop}", judging=judging)
        before = len(server.requests)
        running = run_evaluation(again.folder)
        for _ in range(stop):
            next(running)
        running.close()
        with (again.folder / "records.jsonl").open("ab") as file:
            file.write(b'{"step": 9, "key": "cut o')
        list(run_evaluation(again.folder))
        assert [each["key"] for each in again.records()] == whole[:-1]
        found = json.loads((again.folder / "annotations.json").read_text("utf-8"))
        for one, other in zip(found, expected, strict=True):
            assert one | {"time_per_example": 0} == other | {"time_per_example": 0}
        assert len(server.requests) - before == calls


@pytest.mark.parametrize("trouble", [(500, {}, b""), (429, {}, b""), (None, {}, b"")])
def test_a_judge_that_goes_down_leaves_a_report_that_says_what_is_missing(
    tmp_path, serve, capsys, trouble
):
    server = serve(prefer_second_shown, trouble)
    judging = JudgeSettings(judge="endpoint", endpoint=server.url, attempts=2)
    run = new_run(tmp_path, judging=judging)
    list(run_evaluation(run.folder))
    report, status = run.report(), run.status()
    assert (report["n_total"], report["n_missing"]) == (1, 2)
    assert server.url in report["stopped"]
    assert report["incomplete"] == "2 of 3 verdicts are missing"
    assert [each["n"] for each in report["missing"]] == [2]
    assert len(server.requests) == 3  # the pair that failed was tried twice, the last never
    assert status["state"] == "stopped"
    assert "2 of 3 verdicts are missing" in status["message"]
    server.replies = [prefer_second_shown]
    assert [each.message[:9] for each in run_evaluation(run.folder)] == [
        "verdict 2", "verdict 3", "done"
    ]  # fmt: skip
    report = run.report()
    assert (report["n_total"], report["n_missing"], report["stopped"]) == (3, 0, None)
    assert (report["incomplete"], run.status()["state"]) == (None, "finished")
    assert report["position_bias"]["first_shown"] == 0.0
    for path in run.folder.iterdir():
        assert KEY not in path.read_text("utf-8")
    assert KEY not in capsys.readouterr().out + json.dumps(report)


def test_nonsense_about_one_pair_leaves_it_out_and_resume_asks_for_it_again(tmp_path, serve):
    server = serve(prefer_second_shown, (200, {}, chat("Both!")), prefer_second_shown)
    judging = JudgeSettings(judge="endpoint", endpoint=server.url, attempts=1)
    run = new_run(tmp_path, judging=judging)
    list(run_evaluation(run.folder))
    assert (run.report()["n_total"], run.report()["n_missing"]) == (2, 1)
    assert run.report()["missing"] == [{"reason": "no ranking: Both!", "n": 1}]
    assert run.status()["state"] == "stopped"
    assert [each.message[:9] for each in run_evaluation(run.folder)] == ["verdict 2", "done"]
    assert (run.report()["n_total"], run.status()["state"]) == (3, "finished")


def test_the_command_goes_on_with_a_folder_and_refuses_that_of_another_request(tmp_path, capsys):
    asked = request(tmp_path)
    arguments = [
        "evaluate", "alpaca", "--target", asked.target, "--data", asked.data, "--controller",
        next(iter(asked.controllers)), "--max-new-tokens", "4", "--json", "--out",
        str(tmp_path / "out"),
    ]  # fmt: skip
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["annotator"] == f"reference:{asked.data}"
    kept = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report == {"run": report["run"], **kept}
    # Another judge uses the answers that are there.
    assert main([*arguments, "--judge", "local", "--judge-model", asked.target]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["annotator"] == f"local:{asked.target}"
    assert "answers 1 to" not in told.err
    assert main([*arguments, "--max-new-tokens", "5"]) == 1
    assert "holds what another request made" in capsys.readouterr().err
    assert main([*arguments, "--background"]) == 1
    assert "--out" in capsys.readouterr().err


def test_a_question_that_stands_twice_is_counted_twice(tmp_path):
    asked, twice = Path(records(tmp_path, 2)).read_text("utf-8"), tmp_path / "twice.jsonl"
    twice.write_text(f"{asked}\n{asked}", "utf-8")
    steps = list(evaluate_alpaca(request(tmp_path, data=str(twice))))
    # Two batches of two on each side, and four verdicts.
    assert [(each.done, each.total) for each in steps] == [*((n, 8) for n in range(1, 9)), (8, 8)]
    assert steps[-1].report["n_total"] == 4
