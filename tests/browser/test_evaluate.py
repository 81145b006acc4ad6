"""The Evaluate tab in a real browser."""

import csv
import json
import re
from pathlib import Path

import psutil
import pytest

from browser.pages import expect, open_tab
from browser.serving import ANSWER_MS

LONG = 120_000  # ms; the process of a run loads its libraries first
QUESTIONS = 24  # so that a cell takes long enough to be caught at work
STRENGTHS = "0, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2"


def worker(folder: Path) -> psutil.Process:
    """Return the process that works on the only run below `folder`."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "resume" in line and Path(line[-1]).is_relative_to(folder):
            return process
    raise AssertionError("no process works on a run")


def begin(page, kind: str, **values: str) -> None:
    """Choose a kind, fill in what is given, and start."""
    if kind != "Strengths":
        page.click("#evaluate-kind input")
        page.get_by_role("option", name=kind, exact=True).click()
        expect(page.locator("#evaluate-metric")).to_have_count(0)
    for name, value in values.items():
        page.fill(f"#evaluate-{name} input, #evaluate-{name} textarea", value)
    page.click("#evaluate-start")


def downloaded(page, button: str) -> str:
    with page.expect_download() as download:
        page.click(button)
    return download.value.path().read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def runs_below(tmp_path_factory) -> Path:
    return tmp_path_factory.getbasetemp()


def test_a_sweep_goes_on_through_reload_kill_and_stop_and_measures_nothing_twice(
    page, address, runs_below
):
    open_tab(page, address, "evaluate")
    begin(page, "Strengths", strengths=STRENGTHS, limit=str(QUESTIONS))
    status = page.locator("#evaluate-status")
    expect(status).to_contain_text(re.compile(r"running.* [1-8] of 8 measured"), timeout=LONG)
    expect(status).to_contain_text("Measuring lab:instruct on lab:byte at")
    page.reload()
    expect(status).to_contain_text(re.compile(r"running.* \d of 8 measured"))
    process = worker(runs_below)
    folder = Path(process.cmdline()[-1])
    process.kill()
    expect(status).to_contain_text("interrupted")
    kept = [json.loads(line)["key"] for line in (folder / "records.jsonl").open()]
    assert 1 <= len(kept) < 8
    page.click("#evaluate-resume")
    more = rf"running.* [{len(kept) + 1}-8] of 8 measured"
    expect(status).to_contain_text(re.compile(more), timeout=LONG)
    page.click("#evaluate-stop")
    expect(status).to_contain_text("Resume goes on from there")
    page.click("#evaluate-resume")
    expect(status).to_contain_text("finished", timeout=LONG)

    keys = [json.loads(line)["key"] for line in (folder / "records.jsonl").open()]
    assert keys[: len(kept)] == kept
    assert len(set(keys)) == len(keys) == 8
    log = (folder / "log.txt").read_text()
    assert [log.count(f"{key} is measured.") for key in keys] == [1] * 8


def test_its_report_examples_and_files_are_there_for_every_visitor(page, address):
    open_tab(page, address, "evaluate")
    expect(page.locator("#evaluate-headline")).to_contain_text("lab:instruct on lab:byte")
    lines = page.locator("#evaluate-chart .scatterlayer .trace")
    expect(lines).not_to_have_count(0, timeout=ANSWER_MS)  # the page loads its drawing part first
    expect(page.locator("#evaluate-table tbody tr")).to_have_count(8)
    expect(page.locator("#evaluate-table")).to_contain_text("★ recommended")
    rows = list(csv.DictReader(downloaded(page, "#as-csv").splitlines()))
    assert [float(row["strength"]) for row in rows] == [0, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2]
    report = json.loads(downloaded(page, "#as-json"))
    assert report["provenance"]["controllers"]["lab:instruct"]["weights"]
    made = json.loads(downloaded(page, "#as-comparator"))
    assert len(made["examples"]) == 7 * QUESTIONS

    page.get_by_role("tab", name="Examples").click()
    shown = page.locator("#examples-page article")
    expect(shown).to_have_count(10)
    page.click("#examples-forth")
    expect(page.locator("#examples-page")).to_contain_text(f"11 to 20 of {7 * QUESTIONS}")
    page.locator("#examples-filter").get_by_label("Better than the base").check()
    expect(page.locator("#examples-page")).to_contain_text(re.compile(r"1 to \d+ of"))
    expect(shown.first).to_have_class("example win")
    page.get_by_role("tab", name="Provenance").click()
    expect(page.locator("#evaluate-provenance")).to_contain_text("transformers")


def test_a_check_tells_its_verdict_repeats_and_is_compared(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(ANSWER_MS)
    page.on("dialog", lambda dialog: dialog.accept())
    open_tab(page, address, "evaluate")
    begin(page, "Transfer check", limit="4")
    status = page.locator("#evaluate-status")
    expect(status).to_contain_text("check · ✓ finished", timeout=LONG)
    expect(page.locator("#evaluate-headline")).to_contain_text("of its effect on the template")
    page.click("#evaluate-repeat")
    expect(status).to_contain_text("the same numbers and texts as check ✓", timeout=LONG)
    page.get_by_role("tab", name="Compare").click()
    page.click("#compare-earlier input")
    page.get_by_role("option", name="check", exact=True).click()
    expect(page.locator("#compare-found")).to_contain_text("no clear change")
    page.click("#evaluate-delete")
    expect(page.locator("#evaluate-runs")).not_to_contain_text("check again")
    page.close()


def test_a_mistake_is_a_toast_and_starts_nothing(page, address):
    open_tab(page, address, "evaluate")
    before = page.locator("#evaluate-runs tbody tr").count()
    begin(page, "Strengths", strengths="0, one")
    expect(page.get_by_test_id("toast-body")).to_contain_text('"one", which is no number')
    assert page.locator("#evaluate-runs tbody tr").count() == before
