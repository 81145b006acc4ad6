"""One look at every tab in a real browser, and what only a browser can show."""

import re

import pytest
from serving import CHROMIUM, served

from cmc.settings import lab_folder

sync_api = pytest.importorskip("playwright.sync_api")

expect = sync_api.expect
ANSWER_MS = 30_000

pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium (set CMC_CHROMIUM)"),
    pytest.mark.skipif(
        not (lab_folder() / "models").is_dir(), reason="the starter lab is not built"
    ),
]


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    with served(tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(ANSWER_MS)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: failures.append(dialog.message))
    yield page
    page.close()
    assert not failures


def open_tab(page, address: str, tab: str, **query: str) -> None:
    rest = "".join(f"&{name}={value}" for name, value in query.items())
    page.goto(f"{address}/?tab={tab}{rest}")
    expect(page.get_by_role("tab", name=tab.capitalize())).to_have_attribute(
        "aria-selected", "true"
    )


def generated(page) -> str:
    """Wait until a generation is complete and return the controlled text."""
    expect(page.locator("#identity")).to_contain_text(
        re.compile("identical|same as|agree|differ"), timeout=ANSWER_MS
    )
    return page.locator("#controlled-text textarea").input_value()


def test_generate_answers_at_first_sight(page, address):
    open_tab(page, address, "generate")
    page.click("#generate")
    assert generated(page)
    expect(page.locator("#base-speed")).to_contain_text("tokens/s")
    expect(page.locator("#controlled-speed")).to_contain_text("tokens/s")


def test_train_runs_on_through_a_reload_for_every_visitor(browser, page, address):
    open_tab(page, address, "train")
    page.fill("#train-steps input", "300")
    page.click("#train-start")
    status = page.locator("#train-status")
    expect(status).to_contain_text(re.compile(r"step [1-9]\d*/300"), timeout=60_000)
    page.reload()
    expect(status).to_contain_text(re.compile(r"running.*step \d+/300.*ETA"))
    other = browser.new_page()
    open_tab(other, address, "train")
    expect(other.locator("#train-status")).to_contain_text("running")
    other.click("#train-stop")
    expect(status).to_contain_text("run:controller", timeout=60_000)
    expect(page.locator("#train-runs")).to_contain_text("stopped")
    other.close()
    page.click("#train-use")
    expect(page.locator("#controller input")).to_have_value("run:controller")


def test_vocabulary_counts_aligns_and_searches(page, address):
    open_tab(page, address, "vocabulary")
    expect(page.locator("#map-health")).to_contain_text("grade")
    page.fill("#map-text textarea", '<img src=x onerror="alert(1)"> a b')
    expect(page.locator("#map-aligned")).to_contain_text("<")
    assert page.locator("#map-aligned img").count() == 0
    page.fill("#map-search input, #map-search textarea", "an")
    expect(page.locator("#map-count")).to_contain_text(re.compile(r"^\s*\d+ entries"))


def test_evaluate_measures_and_offers_the_report(page, address):
    open_tab(page, address, "evaluate")
    page.get_by_label("lab:byte").check()
    page.locator("#evaluate-transfers").get_by_label("cover").check()
    page.locator("#evaluate-questions input[type=number]").fill("10")
    page.click("#evaluate")
    expect(page.locator("#evaluate-progress")).to_contain_text("Done", timeout=90_000)
    expect(page.locator("#evaluate-table")).to_contain_text("lab:byte")
    expect(page.locator("#as-json")).to_be_enabled()


def test_guide_says_what_is_not_shown(page, address):
    open_tab(page, address, "guide")
    expect(page.locator("#guide")).to_contain_text("Suppression is not erasure")
    expect(page.locator("#guide")).to_contain_text("It is no evidence")
