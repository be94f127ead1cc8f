"""GraphiQL in a real browser, without access to other hosts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.server_process import ServerProcess

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
ARTIFACTS = Path("artifacts")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("browser")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = _launched(playwright)
        yield browser
        browser.close()


def _launched(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)


@dataclass
class PageMonitor:
    """Collects requests to other hosts, errors, and violations of the security policy."""

    foreign: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def watch(self, page: Page, own: str) -> None:
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((own, "data:"))
                else self.foreign.append(request.url)
            ),
        )
        page.on("pageerror", lambda error: self.violations.append(str(error)))
        page.on("console", lambda message: self._note(message.text))

    def _note(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.violations.append(text)


@pytest.fixture
def page(browser: Browser, service: ServerProcess) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    monitor = PageMonitor()
    monitor.watch(page, service.url)
    yield page
    context.close()
    assert (monitor.foreign, monitor.violations) == ([], [])


def save_screenshot(page: Page, name: str) -> None:
    """Save a screenshot for the documentation (`make screenshots`)."""
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png")


def sign_in(page: Page, service: ServerProcess) -> None:
    page.goto(f"{service.url}/graphql")
    save_screenshot(page, "signin")
    page.get_by_label("API key").fill(service.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".graphiql-query-editor")).to_contain_text("query Report")


def test_an_admin_signs_in_and_runs_the_example(page: Page, service: ServerProcess) -> None:
    sign_in(page, service)
    page.get_by_role("button", name=re.compile("Execute")).click()

    answer = page.locator(".graphiql-response")
    expect(answer).to_contain_text("reportDate")
    expect(answer).to_contain_text("andrei.okafor@northwind.example")
    expect(answer).not_to_contain_text("errors")
    save_screenshot(page, "graphiql")


def test_the_explorer_shows_descriptions_and_completes_names(
    page: Page, service: ServerProcess
) -> None:
    sign_in(page, service)
    page.get_by_role("button", name="Show Documentation Explorer").click()
    docs = page.locator(".graphiql-doc-explorer-content")
    docs.get_by_role("link", name="Query", exact=True).click()
    expect(docs).to_contain_text("The report of one month")

    page.evaluate(
        "() => { const editor = document.querySelector('.graphiql-query-editor .CodeMirror');"
        " editor.CodeMirror.setValue('{ chargebackReport(month: \"2026-10\") { work');"
        " editor.CodeMirror.focus(); editor.CodeMirror.setCursor(0, 999); }"
    )
    page.keyboard.press("Control+Space")
    expect(page.locator(".CodeMirror-hints")).to_contain_text("workspaces")
    save_screenshot(page, "completion")


def test_a_wrong_key_shows_an_error_message(page: Page, service: ServerProcess) -> None:
    page.goto(f"{service.url}/signin")
    page.get_by_label("API key").fill("cbk_wrong")
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("alert")).to_contain_text("not a valid API key")


def test_signing_out_ends_the_session(page: Page, service: ServerProcess) -> None:
    sign_in(page, service)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()

    page.goto(f"{service.url}/graphql")
    expect(page.get_by_label("API key")).to_be_visible()


def test_an_expired_session_offers_to_sign_in(page: Page, service: ServerProcess) -> None:
    sign_in(page, service)
    page.context.clear_cookies()
    page.get_by_role("button", name=re.compile("Execute")).click()

    expect(page.get_by_role("alert")).to_contain_text("You are signed out.")
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_label("API key")).to_be_visible()
