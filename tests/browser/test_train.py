"""The Train tab in a real browser."""

import re

from browser.pages import expect, open_tab


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
