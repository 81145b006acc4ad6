"""Open a tab of the served app, and wait for what it shows."""

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect


def open_tab(page, address: str, tab: str, **query: str) -> None:
    rest = "".join(f"&{name}={value}" for name, value in query.items())
    page.goto(f"{address}/?tab={tab}{rest}")
    expect(page.get_by_role("tab", name=tab.capitalize())).to_have_attribute(
        "aria-selected", "true"
    )
