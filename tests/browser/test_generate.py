"""The Generate tab in a real browser, and what only a browser can show."""

import json
import re
from urllib.parse import quote

from browser.pages import expect, open_link, open_tab
from browser.serving import ANSWER_MS

STOPS_AFTER_SOME_WORDS = """() => {
    const is_there = ["base", "controlled"].every(pane =>
        document.querySelector(`#${pane}-text textarea`).value.trim().length > 20);
    if (is_there) document.querySelector("#generate-stop").click();
    return is_there;
}"""
HOSTILE = '<img src=x onerror="alert(1)">'


def generated(page) -> str:
    """Wait until a generation is complete and return the controlled text."""
    expect(page.locator("#identity")).to_contain_text(
        re.compile("identical|same as|agree|differ"), timeout=ANSWER_MS
    )
    return page.locator("#controlled-text textarea").input_value()


def text(page, pane: str) -> str:
    return page.locator(f"#{pane}-text textarea").input_value()


def test_generate_answers_at_first_sight(page, address):
    open_tab(page, address, "generate")
    page.click("#generate")
    assert generated(page)
    expect(page.locator("#base-speed")).to_contain_text("tokens/s")
    expect(page.locator("#controlled-speed")).to_contain_text("tokens/s")


def test_an_example_fills_the_prompt_and_enter_generates(page, address):
    open_tab(page, address, "generate")
    page.locator("#examples .gallery-item").nth(1).click()
    prompt = page.locator("#prompt textarea")
    expect(prompt).to_have_value("Tell me which colour Zeno Garland wears.")
    prompt.press("Enter")
    assert generated(page)
    page.click("#visit > button")
    expect(page.locator("#history")).to_contain_text("Tell me which colour Zeno Garland wears.")


def test_the_slider_works_by_keyboard_and_strength_zero_is_the_base(page, address):
    open_link(page, address, "&strength=1")
    page.click("#generate")
    trained = generated(page)
    slider = page.locator("#strength-slider input[type=range]")
    slider.focus()
    slider.press("Home")
    expect(page.locator("#strength input")).to_have_value("-1")
    expect(page.locator("#provenance")).to_contain_text("at -1", timeout=ANSWER_MS)
    assert generated(page) != trained
    for _ in range(20):
        slider.press("ArrowRight")
    expect(page.locator("#identity")).to_contain_text(
        "strength 0: identical to the base ✓", timeout=ANSWER_MS
    )
    assert text(page, "controlled") == text(page, "base")


def test_a_drag_of_twenty_steps_ends_on_its_last_value(page, address):
    open_link(page, address, "&strength=-1&max_new_tokens=24")
    slider = page.locator("#strength-slider input[type=range]")
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 9, middle)
    page.mouse.down()
    for step in range(1, 21):
        page.mouse.move(box["x"] + 9 + step * (box["width"] - 18) / 20, middle)
        page.wait_for_timeout(30)
    page.mouse.up()
    expect(page.locator("#strength input")).to_have_value("2")
    expect(page.locator("#provenance")).to_contain_text("lab:instruct at 2", timeout=ANSWER_MS)
    last = generated(page)
    page.wait_for_timeout(1500)  # nothing older may come after it
    expect(page.locator("#provenance")).to_contain_text("lab:instruct at 2")
    assert text(page, "controlled") == last
    open_link(page, address, "&strength=2&max_new_tokens=24")
    page.click("#generate")
    assert generated(page) == last


def test_stop_keeps_the_text_and_what_is_known_of_its_tokens(page, address):
    open_link(
        page,
        address,
        "&strength=0&prompt=Tell+me+a+story.&max_new_tokens=400&temperature=2&seed=12",
    )
    page.click("#generate")
    # In the page itself: a busy machine would be done before a second look from outside.
    page.wait_for_function(STOPS_AFTER_SOME_WORDS, timeout=ANSWER_MS)
    expect(page.locator("#identity")).to_contain_text("the text stays")
    kept = text(page, "base"), text(page, "controlled")
    assert all(len(each.strip()) > 20 for each in kept)
    told = re.search(r"Stopped after (\d+) tokens", page.inner_text("#identity"))
    assert 0 < int(told[1]) < 400
    page.wait_for_timeout(1000)
    assert (text(page, "base"), text(page, "controlled")) == kept
    for pane in ("base", "controlled"):
        expect(page.locator(f"#{pane}-speed")).to_contain_text("tokens/s")
    with page.expect_download() as download:
        page.click("#export")
    data = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert (data["base"]["text"], data["controlled"]["text"]) == kept
    assert data["controlled"]["tokens"] == int(told[1])
    assert page.locator("#heat button").count() >= 1
    page.click("#visit > button")
    expect(page.locator("#history button")).to_have_count(1)


def test_bad_input_is_a_toast_and_nothing_is_lost(page, address):
    open_link(page, address)
    page.fill("#prompt textarea", "What is this?")
    page.fill("#strength input", "99")
    page.click("#generate")
    toast = page.get_by_test_id("toast-body")
    expect(toast).to_contain_text("Give a number from -10 to 10.")
    assert "Traceback" not in toast.inner_text()
    expect(page.locator("#identity")).not_to_contain_text("Waiting")
    expect(page.locator("#prompt textarea")).to_have_value("What is this?")


def test_the_desk_adds_mutes_removes_and_resets(page, address):
    open_link(page, address, "&target=lab:twin")  # no sweep has recommended another strength there
    page.click("#desk-add")
    expect(page.locator("#second-controller input")).not_to_have_value("")
    page.fill("#strength input", "0.5")
    page.locator("#second-muted input").check()
    expect(page.locator("#provenance")).to_contain_text("at 0 (", timeout=ANSWER_MS)
    page.click("#second-remove")
    expect(page.locator("#second-controller")).to_have_count(0)
    page.click("#desk-reset")
    expect(page.locator("#strength input")).to_have_value("1")
    page.click("#generate")
    expect(page.locator("#provenance")).to_have_text(
        re.compile(r"^\s*lab:twin · lab:instruct at 1 \(same\) · greedy\s*$"), timeout=ANSWER_MS
    )


def test_the_copied_link_restores_the_view(page, address):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    wanted = (
        "&prompt=Who+is+there%3F&target=lab:twin&controller=lab:style:-0.5"
        "&controller=lab:instruct:3:muted&transfer=cover&temperature=0.7&seed=5"
    )
    open_link(page, address, wanted)
    expect(page.locator("#prompt textarea")).to_have_value("Who is there?")
    page.click("#copy-link")
    expect(page.locator("#link textarea, #link input")).to_have_value(re.compile("^http"))
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.locator("#link textarea, #link input").input_value()
    assert len(link) < 250
    page.goto(link)
    expect(page.locator("#prompt textarea")).to_have_value("Who is there?")
    expect(page.locator("#target input")).to_have_value(re.compile("^lab:twin"))
    expect(page.locator("#controller input")).to_have_value("lab:style")
    expect(page.locator("#strength-slider input[type=range]")).to_have_value("-0.5")
    expect(page.locator("#second-controller input")).to_have_value("lab:instruct")
    expect(page.locator("#second-strength input")).to_have_value("3")
    expect(page.locator("#second-muted input")).to_be_checked()
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
    page.click("#details > button")
    expect(page.locator("#temperature input[type=number]")).to_have_value("0.7")
    expect(page.locator("#seed input")).to_have_value("5")
    expect(page.locator("#transfer input")).to_have_value("cover")


def test_bad_parts_of_a_link_are_told_and_the_rest_is_kept(page, address):
    open_link(page, address, f"&prompt=Hi&seed=x&target=lab:gone&controller={quote(HOSTILE)}:1")
    toast = page.get_by_test_id("toast-body")
    for part in ("Left out of the link", "Seed is", "lab:gone", "is no name of a model"):
        expect(toast).to_contain_text(part)
    assert toast.locator("img").count() == 0
    expect(page.locator("#prompt textarea")).to_have_value("Hi")
    expect(page.locator("#controller input")).to_have_value("lab:instruct")


def test_hostile_text_stays_text_wherever_it_is_shown(page, address):
    open_link(page, address, f"&prompt={quote(HOSTILE)}&temperature=2&max_new_tokens=12")
    page.click("#generate")
    generated(page)
    page.click("#visit > button")
    expect(page.locator("#history")).to_contain_text(HOSTILE)
    page.locator("#target input").fill(HOSTILE)
    page.locator("#target input").press("Enter")
    page.keyboard.press("Escape")
    page.click("#generate")
    expect(page.get_by_test_id("toast-body")).to_contain_text(HOSTILE)
    assert page.locator("img[src=x]").count() == 0


def test_a_token_tells_what_stood_first_before_and_after(page, address):
    open_link(page, address)
    page.click("#generate")
    generated(page)
    expect(page.locator("#identity")).to_contain_text("The base would have said otherwise at")
    tokens, told = page.locator("#heat button"), page.inner_text("#identity")
    changed = page.locator("#heat .other").count()
    assert changed > 0
    assert f"{changed} of {tokens.count()} tokens" in told
    token = tokens.first
    token.focus()
    token.press("Enter")
    expect(page.locator("#top tr")).to_have_count(11)
    expect(page.locator("#top .said")).not_to_have_count(0)
    assert token.inner_text().startswith("·")
    # What is said in the table: ten tokens of each side, and a signed change beside each.
    changes = page.locator("#top .change").all_inner_texts()
    assert len(changes) == 10
    assert all(re.fullmatch(r"[+−](\d+\.\d|∞)", each) for each in changes)
    assert page.locator("#top .top-head").inner_text().startswith(token.inner_text())
    tokens.nth(3).click()
    expect(page.locator("#top .top-head")).to_contain_text(tokens.nth(3).inner_text())
    expect(page.locator("#heat [aria-pressed]")).to_have_count(1)


def test_strengths_and_targets_stand_side_by_side(page, address):
    open_link(page, address, "&max_new_tokens=12")
    page.click("#compare-part > button")
    page.click("#compare")
    row = page.locator("#compare-grid tr").nth(1)
    expect(row.locator("td")).to_have_count(5, timeout=ANSWER_MS)
    expect(page.locator("#compare-grid")).to_contain_text("0 · base")
    expect(row.locator("td").nth(2)).to_contain_text("Olga Holm lives in", timeout=ANSWER_MS)


def test_a_result_is_exported_and_comes_back_from_the_history(page, address):
    open_link(page, address, "&strength=0.5")
    page.click("#visit > button")
    page.click("#generate")
    first = generated(page)
    with page.expect_download() as download:
        page.click("#export")
    data = json.loads(download.value.path().read_text(encoding="utf-8"))
    assert data["controlled"]["text"] == first
    assert data["request"]["controllers"] == {"lab:instruct": 0.5}
    page.fill("#prompt textarea", "Name three animals.")
    page.click("#generate")
    expect(page.locator("#history button")).to_have_count(2, timeout=ANSWER_MS)
    page.locator("#history button").nth(1).click()
    expect(page.locator("#prompt textarea")).to_have_value("Where does Olga Holm live?")
    expect(page.locator("#controlled-text textarea")).to_have_value(first)
