"""What the tests of the explorer share: its pages, and a browser that shows them."""

import pytest
from browser import CHROMIUM, chromium
from explorer_pages import READY, write_pages


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """URLs of the explorer's pages, and the table of the large one."""
    return write_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        page.look(1280, 800, "light")
        yield page


@pytest.fixture
def show(browser, pages):
    """Opens a page at an address, ready to be used; what goes wrong there fails the test."""

    def opened(name="full", address=""):
        browser.open(pages[name] + address)
        browser.wait_for(READY)
        return browser

    browser.problems.clear()
    browser.requests.clear()
    yield opened
    browser.look(1280, 800, "light")
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith(("file:", "blob:"))] == []


@pytest.fixture
def page(show):
    """The page of 11,221 classes."""
    return show()
