"""Suites: every expectation, exit codes, patterns that never end, earlier reports, judges."""

import json
import time
from types import SimpleNamespace

import pytest

from cmc.__main__ import main
from cmc.errors import CmcError, DataError, JudgeError
from cmc.evaluation.expectations import failures, read_suite
from cmc.evaluation.regressions import compare_suites, earlier_report
from cmc.evaluation.repeat import repeat_report
from cmc.evaluation.suite import evaluate_suite
from cmc.generation import ControlledModel
from cmc.settings import JudgeSettings, SuiteRequest
from tests.judge_server import chat, ranking

SAID = {"Who?": ("Nobody.", "Anna  Zimmer, I think."), "Where?": ("In Rome.", "In Rome.")}


@pytest.fixture
def said(monkeypatch):
    """Let models say what stands in a table, by prompt: alone and under control."""
    answers = dict(SAID)

    class Canned(ControlledModel):
        def generate(self, rows, *_):
            asked = [(next(each for each in answers if each in row.prompt), row) for row in rows]
            said = (answers[prompt][row.strengths[0] != 0] for prompt, row in asked)
            return [SimpleNamespace(text=text) for text in said]

    monkeypatch.setattr("cmc.evaluation.suite.ControlledModel", Canned)
    return answers


def suite_file(tmp_path, *tests: tuple[str, dict]) -> str:
    path = tmp_path / "suite.json"
    told = [{"name": prompt, "prompt": prompt, "expect": expect} for prompt, expect in tests]
    path.write_text(json.dumps({"tests": told}))
    return str(path)


def request(saved, suite: str, **changes) -> SuiteRequest:
    named = {"suite": suite, "targets": (saved["byte"],), "controllers": (saved["controller"],)}
    return SuiteRequest(**named | changes)


def report_of(request: SuiteRequest) -> dict:
    return list(evaluate_suite(request))[-1].report


@pytest.mark.parametrize(
    ("expect", "reason"),
    [
        ({"contains": "anna zimmer"}, ""), ({"contains": ["Anna", "Hugo"]}, 'contain "Hugo"'),
        ({"matches": "^Anna +Zimmer"}, ""), ({"matches": "^anna"}, "does not match ^anna"),
        ({"does_not_reveal": "Hugo"}, ""), ({"does_not_reveal": "ZIMMER"}, 'reveals "ZIMMER"'),
        ({"better_than_base": "Anna Zimmer"}, ""),
        ({"better_than_base": "Nobody."}, "not better than the base"),
        ({"contains": "x", "matches": "y"}, 'contain "x"; does not match y'),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("said")
def test_every_kind_of_expectation_passes_and_fails_with_a_reason(tmp_path, saved, expect, reason):
    column = report_of(request(saved, suite_file(tmp_path, ("Who?", expect))))["columns"][0]
    assert column["results"] == {"Who?": not reason}
    assert reason in column["reasons"].get("Who?", "")
    assert (column["passed"], column["failed"]) == (int(not reason), int(bool(reason)))


@pytest.mark.usefixtures("said")
def test_equal_answers_are_not_better_and_the_base_is_told_beside(tmp_path, saved):
    suite = suite_file(tmp_path, ("Where?", {"better_than_base": "In Rome."}))
    *cells, last = evaluate_suite(request(saved, suite))
    assert last.report["failed"] == 1
    assert last.report["judge"] == f"reference:{suite}"
    answer = cells[0].found["answers"][0]
    assert (answer["base"], answer["text"], answer["base_score"]) == ("In Rome.", "In Rome.", 0.0)


@pytest.mark.parametrize(("best", "passes"), [(1, False), (2, True)])
@pytest.mark.usefixtures("said")
def test_a_suite_may_ask_an_endpoint_which_answer_is_better(
    tmp_path, saved, serve, monkeypatch, best, passes
):
    monkeypatch.setattr("cmc.evaluation.judges.endpoint.shows_reference_last", lambda *_: False)
    server = serve((200, {}, chat(ranking(best))))
    suite = suite_file(tmp_path, ("Where?", {"better_than_base": "whatever"}))
    judging = JudgeSettings(judge="endpoint", endpoint=server.url)
    report = report_of(request(saved, suite, judging=judging))
    assert (report["passed"], report["failed"]) == (int(passes), int(not passes))
    assert report["judge"] == "endpoint:gpt-4-0613"
    assert "In Rome." in server.requests[0][2]["messages"][1]["content"]


@pytest.mark.usefixtures("said")
def test_no_verdict_fails_the_test_and_no_judge_ends_the_suite_in_words(tmp_path, saved, serve):
    server = serve((200, {}, chat("Both!")))
    suite = suite_file(tmp_path, ("Where?", {"better_than_base": "x"}))
    judging = JudgeSettings(judge="endpoint", endpoint=server.url, attempts=1)
    report = report_of(request(saved, suite, judging=judging))
    assert "has no verdict (no ranking: Both!)" in report["columns"][0]["reasons"]["Where?"]
    server.replies = [(401, {}, b"")]
    with pytest.raises(JudgeError, match='"Where\\?" was not judged'):
        report_of(request(saved, suite, judging=judging))


def test_a_pattern_that_tries_for_ever_is_given_up_and_fails_its_test(monkeypatch):
    monkeypatch.setattr("cmc.evaluation.expectations.PATTERN_SECONDS", 0.2)
    started = time.monotonic()
    found = failures({"matches": r"^(a|a|aa)+$"}, "a" * 60 + "b", str)
    assert found == [r"could not be matched with ^(a|a|aa)+$ within 0.2 s"]
    assert time.monotonic() - started < 60  # without a limit: longer than anybody waits


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON"), ("[]", "holds no tests"), ('{"tests": []}', "holds no tests"),
        ('{"tests": [1]}', "test 1 .* has no prompt"),
        ('{"tests": [{"prompt": " "}]}', "has no prompt"),
        ('{"tests": [{"prompt": "a"}]}', "no expectation"),
        ('{"tests": [{"prompt": "a", "expect": {"contians": "a"}}]}', "one that is unknown"),
        ('{"tests": [{"prompt": "a", "expect": {"contains": 1}}]}', "is not text"),
        ('{"tests": [{"prompt": "a", "expect": {"contains": []}}]}', "is not text"),
        ('{"tests": [{"prompt": "a", "expect": {"matches": "("}}]}', "no regular expression"),
        ('{"tests": [{"prompt": "a", "expect": {"contains": "b"}}, '
         '{"prompt": "a", "expect": {"contains": "c"}}]}', 'two tests called "a"'),
    ],
)  # fmt: skip
def test_a_file_that_is_no_suite_is_refused_with_the_form_it_must_have(tmp_path, text, says):
    path = tmp_path / "suite.json"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        read_suite(path)
    assert caught.value.hint


@pytest.mark.usefixtures("said")
def test_the_exit_code_is_0_where_all_pass_1_where_one_fails_or_nothing_can_be_tested(
    tmp_path, saved, capsys
):
    named = ["--targets", saved["byte"], "--controllers", saved["controller"]]
    good = suite_file(tmp_path, ("Who?", {"contains": "Anna"}))
    assert main(["evaluate", "suite", good, *named]) == 0
    assert "1 passed, 0 failed" in capsys.readouterr().out
    bad = suite_file(tmp_path, ("Who?", {"contains": "Anna"}), ("Where?", {"contains": "Oslo"}))
    out = tmp_path / "report.json"
    assert main(["evaluate", "suite", bad, *named, "--out", str(out)]) == 1
    assert 'FAIL Where?: does not contain "Oslo"' in capsys.readouterr().out
    assert json.loads(out.read_text())["failed"] == 1
    assert main(["evaluate", "suite", str(tmp_path / "none.json"), *named]) == 1
    assert "there is no suite" in capsys.readouterr().err.lower()
    with pytest.raises(SystemExit) as usage:
        main(["evaluate", "suite"])
    assert usage.value.code == 2


def test_regressions_against_an_earlier_report_are_told_test_by_test(tmp_path, saved, said, capsys):
    suite = suite_file(tmp_path, ("Who?", {"contains": "Anna"}), ("Where?", {"contains": "Oslo"}))
    before = tmp_path / "before.json"
    named = ["--targets", saved["byte"], "--controllers", saved["controller"]]
    assert main(["evaluate", "suite", suite, *named, "--out", str(before)]) == 1
    said["Who?"], said["Where?"] = ("Nobody.", "Hugo."), ("In Rome.", "In Oslo.")
    capsys.readouterr()
    assert main(["evaluate", "suite", suite, *named, "--against", str(before)]) == 1
    assert "WORSE than before: Who?" in capsys.readouterr().out
    found = report_of(request(saved, suite, against=str(before)))["regressions"]
    assert [each["test"] for each in found["regressions"]] == ["Who?"]
    assert [each["test"] for each in found["fixed"]] == ["Where?"]
    assert found["compared"] == 2


def column(controller="mine@1", target="t", **results) -> dict:
    return {"controller": controller, "target": target, "results": results}


def test_another_version_is_compared_with_the_only_earlier_one_of_its_target():
    new, old = [column("mine@2", a=False, b=True)], {"columns": [column(a=True, c=True)]}
    found = compare_suites(new, old)
    assert [each["test"] for each in found["regressions"]] == ["a"]
    assert found["compared"] == 1  # what is new, or was dropped, is no regression
    two = {"columns": [column(a=True), column("other@1", a=True)]}
    assert compare_suites(new, two) == {"regressions": [], "fixed": [], "compared": 0}
    exact = {"columns": [column("mine@2", a=False), column("other@1", a=True)]}
    assert compare_suites(new, exact)["regressions"] == []
    assert compare_suites([column("mine@2", "u", a=False)], old)["compared"] == 0


@pytest.mark.parametrize("text", ["{}", "[]", "{"])
def test_an_earlier_report_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(CmcError):
        earlier_report(str(tmp_path / "old.json"))
    with pytest.raises(CmcError):
        earlier_report("no run of this name")


def test_a_suite_repeats_from_its_report(tmp_path, saved, said):
    report = report_of(request(saved, suite_file(tmp_path, ("Who?", {"contains": "Anna"}))))
    found = list(repeat_report(json.loads(json.dumps(report))))[-1].report["repeated"]
    assert found == {"same": True, "differences": [], "changed": []}
    said["Who?"] = ("Nobody.", "Hugo.")
    found = list(repeat_report(report))[-1].report["repeated"]
    assert not found["same"]
