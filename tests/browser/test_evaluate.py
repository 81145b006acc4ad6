"""The Evaluate tab in a real browser."""

from browser.pages import expect, open_tab


def test_evaluate_measures_and_offers_the_report(page, address):
    open_tab(page, address, "evaluate")
    page.get_by_label("lab:byte").check()
    page.locator("#evaluate-transfers").get_by_label("cover").check()
    page.locator("#evaluate-questions input[type=number]").fill("10")
    page.click("#evaluate")
    expect(page.locator("#evaluate-progress")).to_contain_text("Done", timeout=90_000)
    expect(page.locator("#evaluate-table")).to_contain_text("lab:byte")
    expect(page.locator("#as-json")).to_be_enabled()
