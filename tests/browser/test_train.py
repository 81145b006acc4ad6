"""The Train tab in a real browser."""

import re

import pytest

from browser.pages import expect, open_tab

START_MS = 60_000
STEPS = "() => document.querySelector('#train-curve .js-plotly-plot')?.data[0]?.x ?? []"


@pytest.fixture
def status(page, address):
    open_tab(page, address, "train")
    return page.locator("#train-status")


def started(page, effort: str, name: str) -> None:
    page.locator("#train-effort").get_by_text(effort).click()
    page.get_by_role("button", name="Details").click()
    page.fill("#train-name input, #train-name textarea", name)
    expect(page.locator("#train-steps input")).not_to_have_value("400")
    page.click("#train-start")
    expect(page.locator("#train-runs")).to_contain_text(name)


def steps_drawn(page) -> list[int]:
    """Wait for a curve of a few steps, and return its steps."""
    page.wait_for_function(f"({STEPS})().length > 2", timeout=START_MS)
    return page.evaluate(STEPS)


def deleted(page, name: str) -> None:
    page.click("#train-delete")
    expect(page.locator("#train-really")).to_be_visible()
    page.click("#train-really")
    expect(page.locator("#train-runs")).not_to_contain_text(name)


def test_a_run_goes_on_through_reload_and_closing_stops_resumes_and_is_deleted(
    browser, page, address, status
):
    started(page, "thorough", "mine")
    expect(status).to_contain_text(re.compile(r"step [1-9]\d*/1200"), timeout=START_MS)
    page.reload()
    expect(status).to_contain_text(re.compile(r"running.*step \d+/1200.*ETA"))
    page.goto("about:blank")  # closed: nobody looks any more
    other = browser.new_page()
    open_tab(other, address, "train")
    told = other.locator("#train-status")
    expect(told).to_contain_text(re.compile(r"mine.*running.*step \d+/1200"))
    before = steps_drawn(other)
    expect(other.locator("#train-probes")).to_contain_text("step 1")
    expect(other.locator("#train-delete")).to_be_disabled()
    other.click("#train-stop")
    expect(told).to_contain_text("controller saved, usable now", timeout=START_MS)
    expect(told).to_contain_text("Press Resume to go on with the same curve.")
    stopped_at = int(re.search(r"stopped at step (\d+)", told.inner_text())[1])
    assert stopped_at >= max(before)

    other.click("#train-resume")
    expect(told).to_contain_text(re.compile("running.*it/s"), timeout=START_MS)
    other.wait_for_function(f"Math.max(...({STEPS})()) > {stopped_at + 1}", timeout=START_MS)
    drawn = other.evaluate(STEPS)
    assert drawn == list(range(1, len(drawn) + 1))  # the same curve, no step missing or twice
    other.click("#train-stop")
    expect(told).to_contain_text("controller saved, usable now", timeout=START_MS)
    other.close()

    open_tab(page, address, "train")
    expect(status).to_contain_text("run:mine")
    page.click("#train-use")
    expect(page.locator("#controller input")).to_have_value("run:mine")
    page.get_by_role("tab", name="Train").click()
    page.click("#train-delete")
    page.click("#train-keep")
    expect(page.locator("#train-really")).to_be_hidden()
    expect(page.locator("#train-runs")).to_contain_text("mine")
    deleted(page, "mine")


def test_a_second_run_waits_in_the_queue_where_everybody_sees_it(page, status):
    started(page, "thorough", "first")
    page.fill("#train-name input, #train-name textarea", "second")
    page.click("#train-start")
    expect(page.locator("#train-queue")).to_contain_text("In progress: first · waiting: 1. second")
    expect(status).to_contain_text('Waits for "first"; it starts by itself.')
    expect(page.locator("#train-stop")).to_have_text("Leave the queue")
    page.click("#train-stop")
    expect(page.locator("#train-runs")).to_contain_text(re.compile("second.*(stopped|interrupted)"))
    deleted(page, "second")
    expect(status).to_contain_text(re.compile("first.*running"), timeout=START_MS)
    page.click("#train-stop")
    expect(page.locator("#train-runs")).to_contain_text(
        re.compile("first.*(stopped|interrupted)"), timeout=START_MS
    )
    deleted(page, "first")


@pytest.mark.usefixtures("status")
def test_the_data_are_seen_before_training_and_the_prompt_is_edited(page):
    page.get_by_role("tab", name="Data and prompt").click()
    summary, rows = page.locator("#data-summary"), page.locator("#data-rows")
    expect(summary).to_contain_text("lab:instruct: 3,120 records", timeout=START_MS)
    expect(page.locator("#data-warnings")).to_contain_text("repeated to the letter")
    expect(page.locator("#data-lengths .bars path").first).to_be_attached()
    page.fill("#train-prompt textarea", "Ask: {instruction}\nSay: {output}")
    page.click("#data-look")
    expect(rows).to_contain_text("Ask: What is the home of Fabio Jansen?")
    page.get_by_role("button", name="The same as a command").click()
    expect(page.locator("#train-command textarea")).to_have_value(re.compile("Ask: {instruction}"))
    page.fill("#train-prompt textarea", "Ask: {question}")
    page.click("#data-look")
    expect(page.get_by_text("The prompt has a field {question}")).to_be_visible()
    page.locator("#train-objective input").click()
    page.get_by_role("option", name=re.compile(r"\(npo\)")).click()
    expect(page.locator("#train-retain input")).to_have_value("lab:retain")
    page.locator("#train-format input").click()
    page.get_by_role("option", name="plain", exact=True).click()
    page.click("#data-look")
    expect(summary).to_contain_text("40 train · 540 retain · 60 held out")
    expect(page.locator("#data-warnings")).to_contain_text("No repeats and no leaks")


def test_what_is_meant_for_other_targets_trains_and_is_followed(page, status):
    page.get_by_role("button", name="For other targets").click()
    page.fill("#train-low input", "1.5")
    page.locator("#train-low input").blur()
    page.fill("#train-high input", "0.5")
    page.locator("#train-high input").blur()
    page.click("#train-start")
    toast = page.get_by_text(re.compile("strength low 1.5 is above strength high 0.5", re.I))
    expect(toast.first).to_be_visible()

    page.fill("#train-low input", "0.5")
    page.fill("#train-high input", "1.5")
    for field, name in (("watch", "lab:byte"), ("second", "lab:twin")):
        page.click(f"#train-{field} input")
        page.get_by_role("option", name=name, exact=True).click()
    page.get_by_role("button", name="The same as a command").click()
    command = page.locator("#train-command textarea")
    for part in ("--watch=lab:byte", "--second-template=lab:twin", "--strength-low=0.5"):
        expect(command).to_have_value(re.compile(re.escape(part)))
    page.get_by_role("button", name="Details").click()
    page.get_by_label("number input for Held-out share").fill("0.01")  # few to be measured on
    page.get_by_role("button", name="Details").click()
    started(page, "quick", "far")
    expect(status).to_contain_text(re.compile("finished", re.I), timeout=4 * START_MS)
    names = "() => document.querySelector('#train-curve .js-plotly-plot').data.map(d => d.name)"
    assert "held out, target that is watched" in page.evaluate(names)
    deleted(page, "far")
