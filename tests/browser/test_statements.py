"""Charges on the pages, in a real browser, on the demo organization."""

from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import find_axe_violations, save_screenshot
from tests.browser.months import latest_month
from tests.server_process import ServerProcess


def to_amount(text: str) -> Decimal:
    return Decimal(text.translate({ord("€"): "", ord(","): "", ord("\N{MINUS SIGN}"): "-"}))


def open_page(page: Page, service: ServerProcess, address: str = "/") -> None:
    page.goto(f"{service.url}{address}")
    expect(page.locator(".columns")).to_be_visible()
    expect(page.locator(".data-table tbody tr").first).to_be_visible()
    expect(page.locator("[aria-busy]")).to_have_count(0)


def test_the_month_shows_what_each_cost_centre_pays(page: Page, service: ServerProcess) -> None:
    open_page(page, service)
    rows = page.locator(".data-table tbody tr:not(.aside)")
    assert any(each.startswith("Unassigned") for each in rows.locator("th").all_inner_texts())
    amounts = [to_amount(each) for each in rows.locator("td:nth-child(3)").all_inner_texts()]
    total = to_amount(page.locator("tfoot td").nth(1).inner_text())

    assert sum(amounts) == total
    assert to_amount(page.locator(".card .figure").first.inner_text()) == total
    expect(page.locator(".legend h3")).to_contain_text(f"€{total:,}")
    save_screenshot(page, "month", full_page=True)


def test_a_cost_centre_leads_to_its_statement(page: Page, service: ServerProcess) -> None:
    open_page(page, service)
    row = page.locator(".data-table tbody tr").first
    name, charged = row.locator("th").inner_text(), row.locator("td:nth-child(3)").inner_text()
    row.get_by_role("link").click()

    expect(page.locator(".lead")).to_contain_text(f"{name} is charged {charged} for")
    centre = name.split()[0]
    expect(page).to_have_url(
        f"{service.url}/statements?month={latest_month():%Y-%m}&centre={centre}"
    )
    for button in page.get_by_role("button", name="Show more").all():
        button.click()
    shown = page.locator("tbody td:nth-child(6)").all_inner_texts()
    lines = [to_amount(each) for each in shown if each != "\N{EN DASH}"]
    assert sum(lines) == to_amount(charged)
    prices = set(page.locator("tbody td:nth-child(4)").all_inner_texts())
    assert {"€24.99", "€0.002"} <= prices
    assert to_amount(page.locator("tfoot td").nth(4).inner_text()) == to_amount(charged)
    steps = page.locator(".waterfall .number").all_inner_texts()
    before, *changes, now = [to_amount(each) for each in steps]
    assert (before + sum(changes), now) == (now, to_amount(charged))
    year = page.locator(".columns > li")
    expect(year).to_have_count(12)
    expect(year.last).to_contain_text(charged)
    expect(year.nth(10)).to_contain_text(f"€{before:,}")
    page.evaluate("scrollTo(0, 0)")
    save_screenshot(page, "statement")
    page.get_by_role("button", name="why?").first.click()
    explanation = page.locator(".explanation")
    expect(explanation).to_contain_text("This line:")
    booked = explanation.locator("li").last.inner_text().rpartition("booked ")[2]
    assert booked in shown
    assert find_axe_violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1440])
@pytest.mark.parametrize("address", ["/", "/statements"])
def test_axe_has_no_findings(
    page: Page, service: ServerProcess, address: str, width: int, theme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    open_page(page, service, address)

    assert find_axe_violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("address", ["/", "/statements"])
def test_a_tablet_shows_all_columns_without_scrolling(
    page: Page, service: ServerProcess, address: str
) -> None:
    page.set_viewport_size({"width": 768, "height": 1024})
    open_page(page, service, address)

    excess = "each => each.scrollWidth - each.clientWidth"
    assert page.locator(".scroll").last.evaluate(excess) == 0
