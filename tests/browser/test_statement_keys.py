"""A department head signs in with a key that reads the statements of one cost centre."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import find_axe_violations
from tests.server_process import ServerProcess, run_command

OWN = "4100"


@pytest.fixture
def head(browser: Browser, service: ServerProcess) -> Iterator[Page]:
    """A page of a browser that is signed in with such a key."""
    created = run_command(
        *("keys", "create", "--user", "grace"),
        *("--scope", "statement:read", "--cost-centre", OWN),
        data_dir=service.data_dir,
    )
    key = created.stdout.partition("API key: ")[2].strip()
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    signed_in = context.request.post(f"{service.url}/signin", form={"key": key}, max_redirects=0)
    assert (created.stderr, signed_in.status) == ("", 303)
    yield page
    context.close()


def test_the_statements_page_shows_the_own_cost_centre_only(
    head: Page, service: ServerProcess
) -> None:
    head.goto(f"{service.url}/statements?centre=4200")

    expect(head.locator(".lead")).to_contain_text(f"{OWN} Perception is charged")
    expect(head.locator(".data-table tbody tr").first).to_be_visible()
    centres = head.get_by_label("Cost centre").locator("option").all_inner_texts()
    months = head.get_by_label("Month").locator("option").count()
    download = head.get_by_role("link", name="XLSX").get_attribute("href")
    assert (centres, months) == ([OWN], 13)
    expect(head.locator(".columns > li")).to_have_count(12)
    assert head.request.get(f"{service.url}{download}").status == 200
    assert head.request.get(f"{service.url}{download}".replace(OWN, "4200")).status == 403
    assert find_axe_violations(head) == []


@pytest.mark.parametrize("path", ["/", "/licences", "/close", "/months/2026-10"])
def test_other_pages_say_which_scope_they_need(
    head: Page, service: ServerProcess, path: str
) -> None:
    head.goto(f"{service.url}{path}")

    notice = head.locator(".notice")
    expect(notice).to_contain_text("This page needs a key with the scope report:read.")
    notice.get_by_role("link").click()
    expect(head.locator(".lead")).to_contain_text("is charged")
