"""Take the pictures of the README: `python tests/browser/take_screenshots.py [TAB …]`."""

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright
from serving import CHROMIUM, ROOT, served

FOLDER = ROOT / "assets" / "screenshots"


def main(wanted: list[str]) -> None:
    """Open each tab, let it show something real, and save what is seen; all if none is named."""
    with (
        tempfile.TemporaryDirectory() as home,
        served(Path(home)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(180_000)
        expect.set_options(timeout=180_000)
        for picture, theme, show in (
            ("generate", "light", _generate),
            ("train", "dark", _train),
            ("vocabulary", "light", _vocabulary),
            ("vocabulary-charts", "dark", _vocabulary_charts),
            ("evaluate", "dark", _evaluate),
        ):
            tab = picture.partition("-")[0]
            if wanted and not {tab, picture} & set(wanted):
                continue
            page.goto(f"{address}/?tab={tab}&__theme={theme}")
            page.wait_for_timeout(1500)
            show(page)
            page.mouse.move(5, 795)  # no button under the pointer
            page.wait_for_timeout(1500)
            page.screenshot(path=FOLDER / f"{picture}.png")
        browser.close()


def _generate(page: Page) -> None:
    for _ in range(2):  # the first one loads the models
        page.click("#generate")
        expect(page.locator("#identity")).to_contain_text(re.compile("differ|agree|same"))
        page.wait_for_timeout(4000)
    page.locator("#heat button").first.click()
    expect(page.locator("#top tr")).to_have_count(11)


def _train(page: Page) -> None:
    page.locator("#train-effort").get_by_text("quick").click()
    page.click("#train-start")
    expect(page.locator("#train-status")).to_contain_text("finished")


def _vocabulary(page: Page) -> None:
    _pm_mined(page)
    page.get_by_role("tab", name="Entries").click()
    page.fill("#map-search input, #map-search textarea", "li")
    page.click("#map-table [data-sort='fan-in']")
    page.locator("#map-table tbody tr").nth(2).click()
    expect(page.locator("#map-why")).to_contain_text("candidate")


def _vocabulary_charts(page: Page) -> None:
    _pm_mined(page)
    page.get_by_role("tab", name="Charts").click()
    expect(page.locator("#map-languages .plotly")).to_be_visible()


def _pm_mined(page: Page) -> None:
    """Show a map with entries of every kind."""
    expect(page.locator("#map-measured")).to_contain_text("grade")
    for name, value in (("map-target", "lab:unigram"), ("map-transfer", "pm-mined")):
        page.fill(f"#{name} input", value)
        page.press(f"#{name} input", "Enter")
    expect(page.locator("#map-health .missing")).to_contain_text("pm-mined")


def _evaluate(page: Page) -> None:
    page.click("#evaluate-start")
    expect(page.locator("#evaluate-status")).to_contain_text("finished")
    expect(page.locator("#evaluate-chart .scatterlayer .trace")).not_to_have_count(0)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    main(sys.argv[1:])
