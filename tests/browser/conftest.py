"""The demo organization in a signed-in browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import PageMonitor, launch_chromium
from tests.server_process import ServerProcess


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("demo")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Playwright keeps an event loop running, which asynchronous tests of the process cannot share.
    with launch_chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, service: ServerProcess) -> Iterator[Page]:
    """A page of a signed-in browser; the test fails on foreign requests and policy violations."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    monitor = PageMonitor()
    monitor.watch(page, service.url)
    signed_in = context.request.post(
        f"{service.url}/signin", form={"key": service.key}, max_redirects=0
    )
    assert signed_in.status == 303
    yield page
    context.close()
    assert (monitor.foreign, monitor.violations) == ([], [])
