"""The Vocabulary tab in a real browser."""

import re

from browser.pages import expect, open_tab


def test_vocabulary_counts_aligns_and_searches(page, address):
    open_tab(page, address, "vocabulary")
    expect(page.locator("#map-health")).to_contain_text("grade")
    page.fill("#map-text textarea", '<img src=x onerror="alert(1)"> a b')
    expect(page.locator("#map-aligned")).to_contain_text("<")
    assert page.locator("#map-aligned img").count() == 0
    page.fill("#map-search input, #map-search textarea", "an")
    expect(page.locator("#map-count")).to_contain_text(re.compile(r"^\s*\d+ entries"))
