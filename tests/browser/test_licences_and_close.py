"""The pages Licences and Close in a real browser, on the demo organization."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import find_axe_violations, save_screenshot
from tests.browser.months import latest_month, month_before
from tests.conftest import event
from tests.server_process import ServerProcess, start_keyed_server

PAGES = {"/licences": "Licences", "/close": "Close"}


def open_page(page: Page, service: ServerProcess, address: str) -> None:
    page.goto(f"{service.url}{address}")
    expect(page.get_by_role("status").or_(page.locator(".checks li")).first).to_be_visible()
    expect(page.locator("[aria-busy]")).to_have_count(0)


def test_licences_are_grouped_by_use_and_searched(page: Page, service: ServerProcess) -> None:
    open_page(page, service, "/licences?idle=30")
    page.get_by_role("link", name=re.compile("^In use")).click()
    expect(page.get_by_role("heading", name="In use", level=2)).to_have_count(2)
    rows = page.locator(".data-table tbody tr")
    expect(rows.first).to_be_visible()
    expect(page.locator("[aria-busy]")).to_have_count(0)
    times = page.locator("tbody time").evaluate_all("each => each.map((time) => time.dateTime)")
    assert times == sorted(times)
    assert datetime.fromisoformat(times[0]) > datetime.now(UTC) - timedelta(days=31)
    save_screenshot(page, "licences")

    page.get_by_role("searchbox").fill("ada.admin")
    expect(rows).to_have_count(1)
    assert "group=active&q=ada.admin" in page.url


def test_idle_seats_add_up_to_what_could_be_saved(page: Page, service: ServerProcess) -> None:
    open_page(page, service, f"/licences?month={latest_month():%Y-%m}")
    expect(page.locator("tbody tr").first).to_be_visible()
    charged = [
        Decimal(each[1:]) for each in page.locator("tbody td:nth-child(7)").all_inner_texts()
    ]

    card = page.locator(".card").first
    expect(card.locator(".figure")).to_have_text(str(len(charged)))
    expect(card).to_contain_text(f"€{sum(charged)} could be saved")


def test_what_is_not_measured_is_not_idle_and_what_nobody_pays_is_shown(
    browser: Browser, tmp_path: Path
) -> None:
    with start_keyed_server(tmp_path) as server:
        headers = {"Authorization": server.key, "Content-Type": "application/cloudevents+json"}
        context = browser.new_context()
        page = context.new_page()
        context.request.post(f"{server.url}/signin", form={"key": server.key}, max_redirects=0)
        context.request.post(
            f"{server.url}/api/events",
            headers=headers,
            data=event("user.upserted", "2026-01-01T00:00:00Z", username="ann"),
        )
        page.goto(f"{server.url}/licences")
        unmeasured = "not known: no source measures the use of the platform"
        expect(page.locator(".card").first).to_contain_text(unmeasured)
        page.get_by_role("link", name=re.compile("^Not known 1")).click()
        expect(page.get_by_role("row").filter(has_text="ann")).to_contain_text("not measured")

        used = event("usage.recorded", "2026-02-01T00:00:00Z", username="Ann", channel="ui")
        context.request.post(f"{server.url}/api/events", headers=headers, data=used)
        page.goto(f"{server.url}/months/2026-02")
        nobody = page.get_by_role("link", name="1 user without a licence (Ann, probably ann)")
        expect(nobody).to_be_visible()
        context.close()


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
