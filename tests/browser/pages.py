"""Open a tab of the served app, and wait for what it shows."""

import re
from urllib.parse import parse_qs

import pytest

from browser.serving import ANSWER_MS

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=ANSWER_MS)  # a busy machine is slow, not wrong


def open_tab(page, address: str, tab: str, **query: str) -> None:
    rest = "".join(f"&{name}={value}" for name, value in query.items())
    page.goto(f"{address}/?tab={tab}{rest}")
    expect(page.get_by_role("tab", name=tab.capitalize())).to_have_attribute(
        "aria-selected", "true"
    )


def open_link(page, address: str, query: str = "") -> None:
    """Open the Generate tab with a link, and wait until what the link names is set."""
    page.goto(f"{address}/?tab=generate{query}")
    expect(page.locator("#strength-slider input[type=range]")).to_be_visible()
    named = parse_qs(query.lstrip("&"))
    if "prompt" in named:
        expect(page.locator("#prompt textarea")).to_have_value(named["prompt"][0])
    if "strength" in named:
        expect(page.locator("#strength input")).to_have_value(named["strength"][0])
    if "target" in named and named["target"][0] != "lab:gone":
        expect(page.locator("#target input")).to_have_value(re.compile("^" + named["target"][0]))
    page.wait_for_timeout(500)  # what stands in a folded part cannot be seen
