"""One served app and one browser for all tests of the tabs."""

import pytest

from browser.serving import ANSWER_MS, CHROMIUM, served
from cmc.settings import lab_folder

collect_ignore = ["take_screenshots.py"]  # a command, run by hand


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    if not (lab_folder() / "models").is_dir():
        pytest.skip("the starter lab is not built")
    with served(tmp_path_factory.mktemp("home")) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium (set CMC_CHROMIUM)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(ANSWER_MS)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("dialog", lambda dialog: failures.append(dialog.message))
    yield page
    page.close()
    assert not failures
