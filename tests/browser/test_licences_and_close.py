"""The pages Licences and Close in a real browser, on the demo organization."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import find_axe_violations, save_screenshot
from tests.browser.months import month_before
from tests.server_process import ServerProcess

PAGES = {"/licences": "Licences", "/close": "Close"}


def open_page(page: Page, service: ServerProcess, address: str) -> None:
    page.goto(f"{service.url}{address}")
    expect(page.get_by_role("status").or_(page.locator(".checks li")).first).to_be_visible()


def test_licences_are_grouped_by_use_and_searched(page: Page, service: ServerProcess) -> None:
    open_page(page, service, "/licences?idle=30")
    page.get_by_role("link", name=re.compile("^In use")).click()
    expect(page.get_by_role("heading", name="In use", level=2)).to_have_count(2)
    rows = page.locator(".data-table tbody tr")
    expect(rows.first).to_be_visible()
    days = [int(each) for each in page.locator("tbody td:nth-child(4)").all_inner_texts()]
    assert days == sorted(days, reverse=True)
    assert max(days) < 30
    save_screenshot(page, "licences")

    page.get_by_role("searchbox").fill("ada.admin")
    expect(rows).to_have_count(1)
    assert "group=active&q=ada.admin" in page.url


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("address", PAGES)
def test_axe_has_no_findings(
    page: Page, service: ServerProcess, address: str, width: int, theme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    open_page(page, service, address)

    assert find_axe_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_close_is_confirmed_and_appears_in_the_history(
    page: Page, service: ServerProcess
) -> None:
    # The last test of this module: it closes the only open month.
    open_page(page, service, "/close")
    # The demo is closed up to the month before; what came late for that one is booked in this one.
    first = page.get_by_label("Month to close").locator("option").last.get_attribute("value")
    page.get_by_label("Month to close").select_option(first)
    expect(page.get_by_role("listitem").filter(has_text="Corrections")).to_contain_text(
        f"figures of {month_before():%B %Y} are booked in this month"
    )
    history = page.locator("tbody tr")
    expect(history.first).to_be_visible()
    closes = history.count()
    save_screenshot(page, "close", full_page=True)
    page.get_by_role("button", name=re.compile("^Close .* …$")).click()
    expect(page.get_by_role("group", name="Confirm")).to_contain_text("will never change again")
    page.get_by_role("button", name="Close it for good").click()

    expect(history).to_have_count(closes + 1)
    row = history.first
    expect(row).to_contain_text("ada.admin")
    row.get_by_role("rowheader").get_by_role("link").click()
    expect(page.locator(".badge.closed")).to_contain_text("Closed")
