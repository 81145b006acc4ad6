"""The Guide tab in a real browser."""

from browser.pages import expect, open_tab


def test_guide_says_what_is_not_shown(page, address):
    open_tab(page, address, "guide")
    expect(page.locator("#guide")).to_contain_text("Suppression is not erasure")
    expect(page.locator("#guide")).to_contain_text("It is no evidence")
