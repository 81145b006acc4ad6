"""The Evaluate tab: the form of every kind, reports, examples, comparisons and files as text."""

import csv
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client

from cmc.errors import CmcError
from cmc.evaluation.examples import FILTERS, Example
from cmc.evaluation.kinds import KINDS, kind_of
from cmc.evaluation.measures import Change, Measure, changes, measures_of
from cmc.settings import lab_folder
from cmc.training.folder import write_json
from cmc.ui.layout import build_app, launch_arguments
from cmc.ui.tabs.evaluate import (
    choices,
    compare,
    examples,
    figures,
    files,
    provenance,
    report,
    run_list,
)
from cmc.ui.tabs.evaluate.fields import kinds_to_choose, shown_fields
from cmc.workspace import Workspace
from cmc.workspace.reports import Compared

HOSTILE = '<img src=x onerror="alert(1)">'
has_lab = pytest.mark.skipif(
    not (lab_folder() / "models" / "byte").is_dir(), reason="the starter lab is not built"
)


def row(strength: float, score: float, base: float = 0.1, **more) -> dict:
    return {"controller": "c", "target": "t", "transfer": "cover", "strength": strength,
            "score": score, "low": score - 0.05, "high": score + 0.05, "n": 20, "base": base,
            "difference": score - base, **more}  # fmt: skip


SWEEP = {
    "kind": "sweep", "metric": "exact_match", "seconds": 3,
    "rows": [row(0, 0.1), row(1, 0.9), row(2, 0.02)],
    "recommendations": [{"controller": "c", "target": "t", "strength": 1, "score": 0.9,
                         "harm": [[2, 2]], "why": f"At 1 it is {HOSTILE}."}],
    "provenance": {"request": {"metric": "exact_match"}, "seed": 0,
                   "models": {HOSTILE: {"revision": None, "weights": "ab" * 32}}},
}  # fmt: skip
FORGET = {
    "kind": "sweep", "metric": "forget",
    "rows": [row(1, 0.9, 1.0, forget={"score": 0.2, "low": 0.1, "high": 0.3, "n": 20},
                 forget_difference=-0.7)],
}  # fmt: skip
TRANSFER = {
    "kind": "transfer",
    "template": {"name": "lab:template", "exact_match": 0.7, "low": 0.6, "high": 0.8, "n": 40,
                 "base": 0.0},
    "rows": [
        {"target": "lab:byte", "transfer": "cover", "strength": 1.0, "n": 40, "exact_match": 0.5,
         "low": 0.4, "high": 0.6, "base": 0.0, "recovered_effect": 0.71},
        {"target": "=lab:x", "transfer": "pm-mined", "strength": 1.0, "n": 40, "exact_match": 0.1,
         "low": 0.0, "high": 0.2, "base": 0.15, "recovered_effect": None},
    ],
}  # fmt: skip
SUITE = {
    "kind": "suite", "suite": "lab.json", "tests": [HOSTILE, "two"], "passed": 1, "failed": 1,
    "columns": [{"target": "t", "controller": "c", "strength": 1.0, "transfer": "cover",
                 "results": {HOSTILE: False, "two": True}, "reasons": {HOSTILE: f"lacks {HOSTILE}"},
                 "passed": 1, "failed": 1}],
}  # fmt: skip
CHECK = {
    "kind": "check", "controller": "c", "target": "t", "strength": 1.0, "carried": 0.8,
    "shift_similarity": 0.6, "verdict": "Carries over.", "map": {"transfer": "cover", "grade": "B"},
    "target_scores": {"expected": 0.5, "expected_alone": 0.0, "gain": 0.3, "n": 24},
    "template_scores": {"expected": 0.6, "expected_alone": 0.0, "gain": 0.4, "n": 24},
}  # fmt: skip
REPORTS = {"sweep": SWEEP, "forget": FORGET, "transfer": TRANSFER, "suite": SUITE, "check": CHECK}


def example(number: int, difference: float = 0.0, **more) -> Example:
    told = {"question": f"question {number}", "expected": "x", "base": "b", "target": "t",
            "controlled": "c" * number, "controller": "k", "strength": 1.0, "base_score": 0.5,
            "score": 0.5 + difference}  # fmt: skip
    return Example(**(told | more))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_form_of_every_kind_begins_with_what_can_be_started(kind):
    values = choices.defaults_of(kind)
    assert kind_of(choices.request_from(kind, values)) == kind
    assert choices.told(kind).about
    assert kind in dict(map(reversed, kinds_to_choose()))


def test_what_stands_in_the_form_becomes_the_request():
    values = choices.defaults_of("sweep") | {
        "strengths": "1; 0.5", "targets": ["lab:twin"], "limit": 7, "use_prior": False,
        "suite": "of another kind",
    }  # fmt: skip
    asked = choices.request_from("sweep", values)
    assert asked.strengths == (0.0, 0.5, 1.0)
    assert (asked.targets, asked.limit, asked.cover.use_prior) == (("lab:twin",), 7, False)
    for wrong in ({"strengths": "one"}, {"limit": None}, {"controllers": []}, {"limit": "7x"}):
        with pytest.raises(CmcError):
            choices.request_from("sweep", values | wrong)


def test_a_kind_shows_its_fields_alone_and_keeps_the_chosen_targets():
    names = dict.fromkeys(["controllers", "controller", "targets", "limit", "suite"])
    updates = shown_fields("transfer", names)
    assert {name for name in names if updates[name]["visible"]} == {
        "controller", "targets", "limit"
    }  # fmt: skip
    assert "value" not in updates["targets"]
    assert updates["limit"]["value"] == 20


def test_differences_have_a_sign_and_a_colour_where_they_are_clear():
    def cell(value, base, low, high, *, less=False):
        measure = Measure(name="m", value=value, base=base, low=low, high=high, n=9,
                          lower_is_better=less)  # fmt: skip
        return report.difference_cell(measure)

    assert cell(0.9, 0.1, 0.8, 1.0) == '<td class="good">+0.800</td>'
    assert cell(0.1, 0.9, 0.0, 0.2) == '<td class="bad">−0.800</td>'
    assert cell(0.1, 0.9, 0.0, 0.2, less=True) == '<td class="good">−0.800</td>'
    assert cell(0.5, 0.45, 0.4, 0.6) == '<td class="even">+0.050</td>'
    assert cell(0.5, 0.5, 0.4, 0.6) == '<td class="even">±0</td>'
    assert cell(0.5, None, 0.4, 0.6) == "<td></td>"
    assert cell(0.9, 0.1, None, None) == '<td class="even">+0.800</td>'


def test_a_sweep_says_what_it_recommends_and_marks_it_and_harm():
    assert "At 1 it is &lt;img" in report.headline(SWEEP)
    table = report.table_html(SWEEP)
    assert table.count("★ recommended") == 1
    assert table.index("+0.800") > table.index("★ recommended")
    assert table.index('bad">harm') > table.index("+0.800")
    assert "0.850 to 0.950" in table
    assert table.count("<td>20</td>") == 3
    assert "recall of what to forget" in report.table_html(FORGET)


def test_a_transfer_report_has_its_template_and_the_recovered_effect():
    table = report.table_html(TRANSFER)
    assert table.index("lab:template") < table.index("lab:byte")
    assert "0.710" in table
    assert "0.400 to 0.600" in table
    chart = figures.figures_of(TRANSFER, {"lab:byte": {"finetuned_score": 0.44}})[0]
    mark = next(trace for trace in chart.data if trace.name == "target fine-tuned")
    assert (list(mark.x), list(mark.y)) == (["lab:byte"], [0.44])


def test_a_suite_is_a_matrix_with_reasons():
    table = report.table_html(SUITE)
    assert "✕ failed</b> <small>lacks &lt;img" in table
    assert "1 of 2" in table
    assert "1 passed, 1 failed" in report.headline(SUITE)


@pytest.mark.parametrize("name", REPORTS)
def test_every_kind_has_charts_figures_and_no_markup_of_others(name):
    shown = REPORTS[name]
    assert figures.figures_of(shown, {})
    assert measures_of(shown)
    assert run_list.summary(shown) or name == "forget"
    assert report.table_html(shown)
    for text in map(lambda show: show(shown), (report.headline, report.table_html)):
        assert "<img" not in text
    assert "<img" not in provenance.provenance_html(shown)


def test_a_check_shows_the_intervals_its_report_has():
    ends = {"low": 0.1, "high": 0.4}
    told = {"n": 9, "gain": 0.2, "gain_interval": ends, "expected": 0.3, "expected_alone": 0.05,
            "expected_interval": ends, "expected_alone_interval": ends}  # fmt: skip
    shown = {
        "kind": "check", "controller": "c", "target": "t", "strength": 1, "target_scores": told,
        "template_scores": told, "shift_similarity": 0.3, "shift_interval": ends | {"n": 18},
        "carried": 0.3, "carried_interval": ends,
    }  # fmt: skip
    found = measures_of(shown)
    assert {(each.low, each.high) for each in found} == {(0.1, 0.4)}
    assert [each.n for each in found] == [9, 9, 9, 9, 18, None]
    assert all(each.is_clear for each in found if each.base is not None)


def test_nothing_to_show_is_no_error():
    for empty in ({}, {"kind": "magic"}, {"kind": "sweep", "is_partial": True, "rows": []}):
        assert report.table_html(empty) == ""
        assert figures.figures_of(empty, {})
    assert provenance.provenance_html({}) == provenance.NONE


def test_figures_are_worse_only_where_intervals_do_not_touch():
    def measure(value, half, **more):
        return Measure(name="m", value=value, low=value - half, high=value + half, **more)

    assert Change(measure(0.5, 0.1), measure(0.9, 0.1)).verdict == "better"
    assert Change(measure(0.9, 0.1), measure(0.5, 0.1)).verdict == "worse"
    assert Change(measure(0.9, 0.1, lower_is_better=True),
                  measure(0.5, 0.1, lower_is_better=True)).verdict == "better"  # fmt: skip
    assert Change(measure(0.5, 0.1), measure(0.6, 0.1)).verdict == "no clear change"
    assert Change(Measure(name="m", value=0), Measure(name="m", value=1)).verdict == (
        "no clear change"
    )
    old, new = measure(0.5, 0.1, controller="v1"), measure(0.9, 0.1, controller="v2")
    assert changes([old], [new]) == [Change(old, new)]
    assert changes([old, measure(0.1, 0.1, controller="v0")], [new]) == []


def test_pages_of_examples_are_cut_and_filtered_on_the_server():
    many = [example(n, difference=(-1) ** n * n / 100) for n in range(1, 36)]
    where, page, back, forth, shown = examples.page_of(many, "all", examples.ALL, 99)
    assert (page, back["interactive"], forth["interactive"]) == (4, True, False)
    assert shown.count("<article") == 5
    assert "31 to 35 of 35" in shown
    assert where["choices"] == [("all measurements", ""), "k on t at 1"]
    worst = examples.page_of(many, "regressions", "k on t at 1", 1)[-1]
    assert worst.index("question 35<") < worst.index("question 33<")
    assert "question 34<" not in worst
    assert examples.page_of(many, "longest", "", 1)[-1].index("question 35<") > 0
    assert set(FILTERS) == set(examples.WORDS)


def test_examples_are_text_and_long_ones_are_cut():
    told = examples.page_html([example(1, question=HOSTILE, base=HOSTILE, reason=HOSTILE,
                                       controlled="y" * 9000)], 0, 1)  # fmt: skip
    assert "<img" not in told
    assert told.count("&lt;img") == 3
    assert len(told) < 3000
    for found, sentence in ((None, "shipped"), ([], "none"), ([example(1)], "filtered")):
        assert examples.TEXT[sentence] in examples.page_of(found, "wins", "", 1)[-1]


def test_a_comparison_names_tests_figures_and_answers_as_text():
    tests = {"regressions": [{"test": HOSTILE, "controller": "c", "target": "t"}], "fixed": [],
             "compared": 2}  # fmt: skip
    one = Measure(name="m", value=0.9, low=0.8, high=1.0, n=9, target="t")
    two = Measure(name="m", value=0.5, low=0.4, high=0.6, n=9, target="t")
    worse = [(example(1), example(1, -0.5, controlled=HOSTILE))]
    told = compare.compared_html(Compared([Change(one, two)], tests, worse, []), "before")
    assert "<img" not in told
    assert "fails now" in told
    assert "−0.400" in told
    assert '<td class="bad">worse</td>' in told
    assert "<b>1</b> answers have a lower score" in told
    nothing = compare.compared_html(Compared([], None, [], []), "before")
    assert compare.TEXT["nothing"] in nothing


def test_files_hold_the_table_the_report_and_the_examples():
    written = files.Files().written
    table, whole, comparator = map(Path, written("my run", TRANSFER, [example(3, 0.5)]))
    rows = list(csv.DictReader(table.open()))
    assert [each["target"] for each in rows] == ["lab:byte", "'=lab:x"]
    assert json.loads(whole.read_text()) == TRANSFER
    made = json.loads(comparator.read_text())
    assert made["metadata"] == {"source_path": "my run", "custom_fields_schema": []}
    assert made["models"] == [{"name": "controlled"}, {"name": "base"}]
    assert made["examples"][0]["score"] == 0.5
    assert {"input_text", "tags", "output_text_a", "output_text_b", "individual_rater_scores",
            "custom_fields"} <= set(made["examples"][0])  # fmt: skip
    assert written("../../etc", TRANSFER, [])[2] is None


def test_pages_that_look_at_a_report_at_once_all_get_whole_files(monkeypatch):
    write = files._json
    monkeypatch.setattr(files, "_json", lambda content: time.sleep(0.05) or write(content))
    made = files.Files()

    def look(_: int) -> dict:
        return json.loads(Path(made.written("run", TRANSFER, [])[1]).read_text())

    with ThreadPoolExecutor(4) as pages:
        assert list(pages.map(look, range(4))) == [TRANSFER] * 4


def test_the_origin_shows_short_hashes_with_the_whole_beside():
    told = provenance.provenance_html(SWEEP)
    assert f'title="{"ab" * 32}">abababababababab…' in told
    assert told.index("request") < told.index("models") < told.index("seed")


def test_a_run_tells_how_far_it_is_and_how_long_it_takes(tmp_path):
    from cmc.runs import Run

    folder = tmp_path / "a run"
    folder.mkdir()
    write_json(folder / "settings.json", {"kind": "sweep", "request": {"targets": [HOSTILE]}})
    told = {"state": "stopped", "step": 2, "steps": 8, "seconds": 10, "message": HOSTILE}
    write_json(folder / "status.json", told)
    line = run_list.progress_html(Run(folder))
    assert "■ stopped · 2 of 8 measured" in line
    assert 'aria-valuenow="25"' in line
    assert "<img" not in line
    assert run_list.seconds_left(told, Run(folder)) == pytest.approx(30, abs=5)
    assert run_list.seconds_left(told | {"step": 0}, Run(folder)) is None
    rows = run_list.run_rows([Run(folder)], lambda value: value, has_shipped=True)
    assert list(rows["evaluation"]) == ["a run", "(shipped with the lab)"]
    assert list(rows["done"]) == ["2/8", ""]
    found = {"run": "first", "same": False, "differences": [HOSTILE], "changed": []}
    assert "other numbers than <b>first</b>" in run_list.progress_html(Run(folder), found)
    assert "<img" not in run_list.progress_html(Run(folder), found)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    demo: gr.Blocks = build_app(Workspace(home=home))
    demo.queue().launch(prevent_thread_lock=True, quiet=True, **launch_arguments())
    yield Client(demo.local_url, verbose=False)
    demo.close()


@has_lab
def test_programs_start_follow_and_stop_evaluations(client, monkeypatch):
    monkeypatch.setattr("cmc.runs.start.start_process", lambda *_, **__: None)
    asked = {"targets": ["lab:byte"], "strengths": [1], "limit": 5}
    begun = client.predict(kind="sweep", request=asked, api_name="/evaluate")
    told = client.predict(run=begun["run"], api_name="/evaluation")
    assert told["state"] == "interrupted"  # nobody works on it
    assert told["report"]["provenance"]["request"]["strengths"] == [0.0, 1.0]
    with pytest.raises(Exception, match="nothing to stop"):
        client.predict(run=begun["run"], api_name="/stop_evaluation")


@has_lab
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"kind": "magic"}, "There are transfer, sweep"),
        ({"request": {"strenght": 1}}, "has no setting strenght"),
        ({"request": {"strengths": [99]}}, "from -10 to 10"),
        ({"request": [1]}, "is no object"),
        ({"request": {"controllers": []}}, "No controller is named"),
        ({"name": "../x"}, "is no name for a run"),
    ],
)
def test_programs_that_ask_wrongly_are_told_what_to_do(client, wrong, sentence):
    asked = {"kind": "sweep", "request": {}} | wrong
    with pytest.raises(Exception, match=r"\w") as caught:
        client.predict(**asked, api_name="/evaluate")
    assert sentence in str(caught.value)
    assert "Traceback" not in str(caught.value)
