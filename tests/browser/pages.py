"""Open a tab of the served app, and wait for what it shows."""

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
