"""The Vocabulary tab in a real browser."""

import json
import logging
import os
import re
from statistics import median

from conftest import shared

from browser.pages import expect, open_tab

HOSTILE = '<img src=x onerror="alert(1)">'
# A person waits no longer than this for anything but the first build of a pair.
ANSWER_WITHIN = 1.0  # seconds, the median of several
FIRST_BUILD_MS = 120_000
SEARCH = "#map-search input, #map-search textarea"
# Tells, in the page itself, how long it takes until an element has changed for the last time.
WATCH = """selector => {
  const started = performance.now();
  window.answered = new Promise(done => {
    let last = null, waiting = null;
    const watcher = new MutationObserver(() => {
      last = performance.now();
      clearTimeout(waiting);
      waiting = setTimeout(() => { watcher.disconnect(); done((last - started) / 1000); }, 250);
    });
    watcher.observe(document.querySelector(selector),
                    {childList: true, subtree: true, characterData: true});
  });
}"""


def opened(page, address: str, transfer: str = "pm-mined") -> None:
    """Open the tab with the map of one transfer."""
    open_tab(page, address, "vocabulary")
    expect(page.locator("#map-measured")).to_contain_text("grade")
    chosen(page, "map-transfer", transfer)
    expect(page.locator("#map-health .missing")).to_contain_text(transfer)


def chosen(page, name: str, value: str) -> None:
    """Choose a value in a list; one that is not in it is typed."""
    box = page.locator(f"#{name} input")
    box.click()
    box.fill(value)
    box.press("Enter")


def part(page, name: str) -> None:
    page.locator("#map-parts").get_by_role("tab", name=name).click()


def uploaded(page, path) -> None:
    """Import a file as a person does."""
    with page.expect_file_chooser() as chooser:
        page.click("#map-import")
    chooser.value.set_files(path)


def seconds(page, selector: str, act) -> float:
    """Return how long it takes until what `act` asks for is there."""
    page.evaluate(WATCH, selector)
    act()
    return page.evaluate("window.answered")


def test_one_sentence_tiles_and_a_text_both_ways(page, address):
    opened(page, address)
    expect(page.locator("#map-health .grade")).to_contain_text(re.compile(r"grade [A-D]"))
    expect(page.locator("#map-health .tile")).to_have_count(6)
    page.fill("#map-text textarea", f"{HOSTILE} a  b")
    expect(page.locator("#map-aligned")).to_contain_text("<")
    expect(page.locator("#map-aligned .apart")).not_to_have_count(0)
    expect(page.locator("#map-measured")).to_contain_text("on these 35 characters")
    page.locator("#map-aligned button[data-token]").first.click()
    expect(page.locator("#map-why .explained")).to_be_visible()
    assert page.locator("img[src=x]").count() == 0


def test_entries_are_searched_sorted_turned_and_explained(page, address):
    opened(page, address)
    part(page, "Entries")
    rows = page.locator("#map-table tbody tr")
    expect(rows).to_have_count(50)
    page.click("#map-table [aria-label='next page']")
    expect(page.locator("#map-page input")).to_have_value("2")
    expect(rows.first).to_have_attribute("data-token", "50")
    page.click("#map-table [data-sort='bytes']")
    expect(page.locator("#map-table [aria-sort='descending']")).to_have_text("bytes▾")
    expect(page.locator("#map-page input")).to_have_value("1")
    page.fill(SEARCH, "an")
    expect(page.locator("#map-table .pager")).to_contain_text(re.compile(r"^\d+ entries"))
    expect(rows.first.locator(".token code").first).to_contain_text(re.compile("an", re.IGNORECASE))
    button = rows.nth(1).locator("button.id")
    button.focus()
    button.press("Enter")
    expect(page.locator("#map-why")).to_contain_text("In this map")
    expect(page.locator("#map-why")).to_contain_text("candidate")
    expect(page.locator("#map-why")).to_contain_text("What cover sums")


def test_an_override_makes_a_version_that_is_shown_compared_and_gone_back_from(page, address):
    opened(page, address)
    part(page, "Files")
    page.fill("#map-label input, #map-label textarea", "good")
    page.click("#map-save")
    expect(page.locator("#map-versions")).to_contain_text(re.compile(r"instruct to byte@\d+good"))
    part(page, "Entries")
    page.fill(SEARCH, "#300")
    expect(page.locator("#map-table tbody tr")).to_have_count(1)
    page.locator("#map-table tbody tr").click()
    page.click("#map-override > button")
    expect(page.locator("#map-override-save")).to_be_visible()
    chosen(page, "map-instead", "#7")
    page.fill("#map-reason textarea, #map-reason input", HOSTILE)
    page.click("#map-override-save")
    expect(page.locator("#map-health .missing")).to_contain_text(
        re.compile(r"instruct to byte@\d+ \(pm-mined\)")
    )
    expect(page.locator("#map-why")).to_contain_text("Not what the rules below would take")
    part(page, "Compare")
    page.click("#map-compare")
    expect(page.locator("#compare-counts")).to_contain_text("changed1")
    expect(page.locator("#compare-table tbody tr")).to_have_attribute("data-token", "300")
    part(page, "Files")
    versions = page.locator("#map-versions")
    expect(versions).to_contain_text(HOSTILE)
    page.click("#map-set-label")
    expect(versions.locator("tbody tr").first).to_contain_text("good")
    page.click("#map-rollback")
    expect(versions.locator("tbody tr").last).to_contain_text("good")
    assert page.locator("img[src=x]").count() == 0


def test_a_map_is_exported(page, address):
    opened(page, address)
    part(page, "Files")
    for file_format in ("safetensors", "csv"):  # JSON is exported to be imported below
        with page.expect_download() as download:
            page.click(f"#map-export-{file_format}")
        assert download.value.suggested_filename == f"instruct to byte.{file_format}"
        assert download.value.path().stat().st_size > 1000


def test_the_published_format_is_imported_and_what_is_no_map_is_told(page, address, tmp_path):
    opened(page, address)
    part(page, "Files")
    with page.expect_download() as download:
        page.click("#map-export-json")
    entries = json.loads(download.value.path().read_text("utf-8"))["entries"]
    ids = [each["controller_id"] for each in entries]
    ids[5] = ids[6]
    published = tmp_path / "one2one.json"
    published.write_text(json.dumps(ids))
    (tmp_path / "short.json").write_text(json.dumps(ids[:-1]))
    uploaded(page, tmp_path / "short.json")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("hort.json is no map of this pair (399 entries")
    uploaded(page, published)
    expect(page.locator("#map-versions")).to_contain_text("imported from one2one.json")
    expect(page.locator("#map-saved input")).to_have_value(re.compile("one2one"))


def test_a_pair_that_cannot_be_read_is_told_and_the_map_before_stays(page, address):
    opened(page, address)
    before = page.locator("#map-aligned .aligned").inner_text()
    chosen(page, "map-target", HOSTILE)
    expect(page.get_by_test_id("toast-body")).to_contain_text("is not a Hub id")
    expect(page.locator("#map-health")).to_contain_text("was not inspected")
    assert page.locator("#map-aligned .aligned").inner_text() == before
    assert page.locator("img[src=x]").count() == 0


def test_a_large_pair_answers_at_once_after_its_first_build(page, address):
    llama, qwen = (str(shared("tokenizers", name)) for name in ("llama2", "qwen2_5"))
    opened(page, address, "cover")
    chosen(page, "map-controller", llama)
    chosen(page, "map-target", qwen)
    head = page.locator("#map-health")
    expect(head).to_contain_text("151,665 target tokens", timeout=FIRST_BUILD_MS)
    took = {"text": seconds(page, "#map-aligned", lambda: page.fill("#map-text textarea", "naïve"))}
    chosen(page, "map-transfer", "pm-mined")
    expect(head).to_contain_text("pm-mined · 151,665", timeout=FIRST_BUILD_MS)
    took["back to cover"] = seconds(
        page, "#map-health", lambda: chosen(page, "map-transfer", "cover")
    )
    part(page, "Entries")
    expect(page.locator("#map-table tbody tr")).to_have_count(50)
    for wanted in ("hello", "an", " th"):
        took[f"search {wanted}"] = seconds(page, "#map-table", lambda: page.fill(SEARCH, wanted))  # noqa: B023
    for column in ("bytes", "distance", "fan-in", "token"):
        head = f"#map-table [data-sort='{column}']"
        took[f"sort {column}"] = seconds(page, "#map-table", lambda: page.click(head))  # noqa: B023
    for way in ("next page", "last page"):
        took[way] = seconds(
            page,
            "#map-table",
            lambda: page.click(f"#map-table [aria-label='{way}']"),  # noqa: B023
        )
    for row in (2, 5):
        took[f"row {row}"] = seconds(
            page,
            "#map-why",
            lambda: page.locator("#map-table tbody tr").nth(row).click(),  # noqa: B023
        )
    part(page, "Compare")
    took["compare"] = seconds(page, "#compare-table", lambda: page.click("#map-compare"))
    took["compare page"] = seconds(
        page, "#compare-table", lambda: page.click("#compare-table [aria-label='next page']")
    )
    assert page.locator("#compare-table tbody tr").count() == 50
    told = ", ".join(f"{name} {each:.2f} s" for name, each in took.items())
    # Where more wants to run than there are processors, everything waits for its turn that much.
    waiting = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    logging.getLogger(__name__).info("median %.2f s: %s", median(took.values()), told)
    assert median(took.values()) < ANSWER_WITHIN * waiting, told
