"""GraphiQL in a real browser, without access to other hosts."""

import re
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import PageMonitor, launch_chromium, save_screenshot
from tests.server_process import ServerProcess

STATIC = Path(__file__).parents[2] / "app/web/static"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("browser")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch_chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, service: ServerProcess) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    monitor = PageMonitor()
    monitor.watch(page, service.url)
    yield page
    context.close()
    assert (monitor.foreign, monitor.violations) == ([], [])


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
    expect(answer).to_contain_text("@northwind.example")
    expect(answer).not_to_contain_text("errors")
    save_screenshot(page, "graphiql")


def test_the_examples_of_the_documents_are_in_tabs(page: Page, service: ServerProcess) -> None:
    sign_in(page, service)
    tabs = page.locator(".graphiql-tab-button")

    examples = orjson.loads((STATIC / "examples.json").read_bytes())
    names = [re.findall(r"query (\w+)", example)[0] for example in examples]
    assert names[:2] == ["WhoAmI", "AMonthAtAGlance"]
    expect(tabs).to_have_text(["Report", *names])
    tabs.filter(has_text="TheLargest").click()
    page.get_by_role("button", name=re.compile("Execute")).click()
    expect(page.locator(".graphiql-response")).to_contain_text("totalSizeInMb")
    expect(page.locator(".graphiql-response")).not_to_contain_text("errors")


def test_the_name_of_an_operation_is_not_sent_with_another_document(
    page: Page, service: ServerProcess
) -> None:
    sign_in(page, service)
    # As somebody who clicks before GraphiQL has read the document of the tab.
    page.evaluate(
        "() => { document.querySelectorAll('.graphiql-tab-button')[1].click();"
        " document.querySelector('.graphiql-execute-button').click(); }"
    )
    response = page.locator(".graphiql-response")
    expect(response).to_contain_text('"data"')
    expect(response).not_to_contain_text("errors")


def test_a_narrow_window_stacks_the_editor_and_the_response(
    page: Page, service: ServerProcess
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    sign_in(page, service)
    hint = page.locator(".graphiql-response").bounding_box()
    assert hint is not None
    assert hint["height"] < 80  # There is no response yet.

    page.get_by_role("button", name=re.compile("Execute")).click()
    expect(page.locator(".graphiql-response")).to_contain_text("reportDate")
    editors = page.locator(".graphiql-editors").bounding_box()
    response = page.locator(".graphiql-response").bounding_box()
    assert editors is not None
    assert response is not None
    assert response["y"] >= editors["y"] + editors["height"]
    assert min(editors["width"], response["width"]) > 330
    assert min(editors["height"], response["height"]) > 150


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
