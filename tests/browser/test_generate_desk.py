"""The mixing desk, kept maps and narrow pages of the Generate tab, in a real browser."""

import json
import re
import shutil

import pytest

from browser.pages import expect, open_link, open_tab
from browser.serving import ANSWER_MS
from cmc.settings import lab_folder

PLACE_OF_THUMB = """() => {
    const slider = document.querySelector('#strength-slider input[type=range]');
    const box = slider.getBoundingClientRect(), thumb = 16;
    const share = (slider.value - slider.min) / (slider.max - slider.min);
    return box.left + thumb / 2 + share * (box.width - thumb);
}"""
PLACES_OF_TICKS = """() => Object.fromEntries([...document.querySelectorAll('.ticks span')]
    .filter(tick => tick.checkVisibility())
    .map(tick => [tick.textContent, tick.getBoundingClientRect()])
    .map(([name, box]) => [name, box.left + box.width / 2]))"""
STOPS_AFTER_SOME_WORDS = """() => {
    const texts = [...document.querySelectorAll('#compare-grid td')].map(each => each.textContent);
    const is_there = texts.length > 1 && texts.every(each => each.length > 20);
    if (is_there) document.querySelector('#compare-stop').click();
    return is_there;
}"""
# What is wider than the page and no part that scrolls by itself.
WIDER = "() => document.documentElement.scrollWidth - innerWidth"


def generated(page) -> None:
    page.click("#generate")
    expect(page.locator("#identity")).to_contain_text(
        re.compile("identical|same as|agree|differ"), timeout=ANSWER_MS
    )


def chosen(page, part: str, option: str) -> None:
    page.locator(f"#{part} input").click()
    page.get_by_role("option", name=re.compile(option)).click()


@pytest.fixture
def gentle(tmp_path):
    """Return a controller that recommends little of itself."""
    folder = tmp_path / "gentle"
    shutil.copytree(lab_folder() / "controllers" / "instruct", folder)
    about = json.loads((folder / "controller.json").read_text(encoding="utf-8"))
    about |= {"recommended_strength": 0.5, "strength_range": [-0.25, 0.75]}
    (folder / "controller.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def test_ticks_stand_where_the_thumb_is_at_0_and_at_1(page, address):
    for strength, name in ((0, "0 base"), (1, "1 as trained")):
        open_link(page, address, f"&strength={strength}")
        expect(page.locator("#strength-slider input[type=range]")).to_have_value(str(strength))
        places = page.evaluate(PLACES_OF_TICKS)
        assert abs(places[name] - page.evaluate(PLACE_OF_THUMB)) < 2


def test_a_controller_brings_its_range_and_reset_goes_back_to_what_it_recommends(
    page, address, gentle
):
    open_link(page, address, "&target=lab:twin")
    box = page.locator("#controller input")
    box.fill(str(gentle))
    box.press("Enter")
    slider = page.locator("#strength-slider input[type=range]")
    expect(slider).to_have_attribute("max", "0.75")
    expect(slider).to_have_attribute("min", "-0.25")
    expect(slider).to_have_value("0.5")
    expect(page.locator("#strength-slider")).to_contain_text("0.5 recommended")
    slider.press("Home")
    expect(page.locator("#strength input")).to_have_value("-0.25")
    page.locator("#muted input").check()
    page.click("#desk-reset")
    expect(page.locator("#strength input")).to_have_value("0.5")
    expect(slider).to_have_value("0.5")
    expect(page.locator("#muted input")).not_to_be_checked()


def test_a_muted_controller_says_nothing_and_comes_back_at_its_strength(page, address):
    open_link(page, address, "&target=lab:twin&strength=1.5&max_new_tokens=12")
    muted = page.locator("#muted input")
    muted.check()
    expect(page.locator("#identity")).to_contain_text("identical to the base ✓", timeout=ANSWER_MS)
    expect(page.locator("#provenance")).to_contain_text("lab:instruct at 0 ")
    muted.uncheck()
    expect(page.locator("#provenance")).to_contain_text("lab:instruct at 1.5 ", timeout=ANSWER_MS)


def test_every_listed_controller_is_added_once(page, address):
    open_link(page, address)
    for channel in ("second", "third"):
        page.click("#desk-add")
        expect(page.locator(f"#{channel}-controller input")).to_have_value(re.compile("^lab:"))
    names = [f"#{each}controller input" for each in ("", "second-", "third-")]
    assert len({page.locator(each).input_value() for each in names}) == 3
    page.click("#desk-add")
    expect(page.get_by_test_id("toast-body")).to_contain_text("Every controller listed here")
    expect(page.locator("#fourth-controller input")).to_have_value("")
    generated(page)  # an empty channel is none
    assert page.locator("#provenance").inner_text().count("lab:") == 4  # the target and three


def test_a_kept_map_is_chosen_linked_and_refused_for_another_pair(page, address):
    open_tab(page, address, "vocabulary")
    chosen(page, "map-transfer", "pm-mined")
    page.click("#inspect")
    page.locator("#map-parts").get_by_role("tab", name="Files").click()
    page.click("#map-save")
    expect(page.locator("#map-versions")).to_contain_text(re.compile(r"instruct to byte@\d+"))
    page.get_by_role("tab", name="Generate").click()
    page.click("#details > button")
    expect(page.locator("#vocab-map")).not_to_be_visible()
    chosen(page, "transfer", "pm-mined")
    chosen(page, "vocab-map", "built by pm-mined")
    generated(page)
    used = re.search(r"\(pm-mined, (instruct to byte@\d+)\)", page.inner_text("#provenance"))
    with page.expect_download() as download:
        page.click("#export")
    data = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert data["maps"] == [used[1]]
    page.click("#copy-link")
    link = page.locator("#link textarea, #link input")
    expect(link).to_have_value(re.compile("^http"))
    page.goto(link.input_value())
    page.click("#details > button")
    expect(page.locator("#vocab-map input")).to_have_value(re.compile("^" + used[1]))
    generated(page)
    expect(page.locator("#provenance")).to_contain_text(used[1])
    chosen(page, "target", "lab:unigram")
    page.click("#generate")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("was built for lab:instruct and lab:byte, not for this pair")
    chosen(page, "transfer", "auto")
    expect(page.locator("#vocab-map")).not_to_be_visible()
    generated(page)
    expect(page.locator("#provenance")).to_contain_text("(cover)")


def test_several_targets_stand_side_by_side(page, address):
    open_link(page, address, "&max_new_tokens=12")
    page.click("#compare-part > button")
    page.locator("#compare-targets input").click()
    for target in ("lab:byte", "lab:twin"):
        page.get_by_role("option", name=re.compile(target)).click()
    page.keyboard.press("Escape")
    page.fill("#compare-strengths textarea, #compare-strengths input", "0, 1")
    page.click("#compare")
    rows = page.locator("#compare-grid tr")
    expect(rows).to_have_count(3)
    for row, target in ((1, "lab:byte"), (2, "lab:twin")):
        expect(rows.nth(row)).to_contain_text(target)
        expect(rows.nth(row).locator("td").nth(1)).to_contain_text("Olga Holm", timeout=ANSWER_MS)


def test_a_comparison_that_is_stopped_keeps_what_has_been_said(page, address):
    story = "&prompt=Tell+me+a+story.&max_new_tokens=400&temperature=2&seed=12"
    open_link(page, address, story)
    page.click("#compare-part > button")
    page.fill("#compare-strengths textarea, #compare-strengths input", "0, 0.1")
    page.click("#compare")
    page.wait_for_function(STOPS_AFTER_SOME_WORDS, timeout=ANSWER_MS)
    page.wait_for_timeout(1000)
    grid = page.locator("#compare-grid")
    kept = grid.inner_text()
    assert 20 < int(re.search(r"(\d+) tokens", kept)[1]) < 800
    page.wait_for_timeout(1500)
    assert grid.inner_text() == kept
    page.fill("#prompt textarea", "Where does Olga Holm live?")
    page.click("#compare")  # and the next one begins
    expect(grid).not_to_have_text(kept)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_wider_than_a_narrow_page(page, address, theme):
    page.set_viewport_size({"width": 400, "height": 800})
    open_link(page, address, f"&__theme={theme}")
    generated(page)
    page.locator("#heat button").first.click()
    for part in ("details", "compare-part", "visit"):
        page.click(f"#{part} > button")
    page.click("#copy-link")
    page.click("#compare")
    expect(page.locator("#compare-grid td")).to_have_count(5, timeout=ANSWER_MS)
    assert page.evaluate(WIDER) <= 0
    tops = [page.locator(f"#{each}").bounding_box()["y"] for each in ("copy-link", "export")]
    assert abs(tops[0] - tops[1]) < 5
