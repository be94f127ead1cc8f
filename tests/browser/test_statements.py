"""Charges on the pages, in a real browser: the demo organization with prices."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import find_axe_violations, save_screenshot
from tests.server_process import ServerProcess

MONTH = datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
"""A day of the latest month that is over."""
COST_CENTRES = {"4711": "Research", "4712": "Sales", "4713": "Vision"}
WORKSPACES = {"research": "4711", "speech": "4711", "pricing": "4712", "vision": "4713"}
RATES = {"storage": ("STORAGE", "0.23"), "seat": ("SEATS", "24.99"), "fee": ("FEE", "1500.00")}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[ServerProcess]:
    """The demo organization with prices from its first month on."""
    with ServerProcess(tmp_path_factory.mktemp("charges")) as server:
        context = browser.new_context(extra_http_headers={"Authorization": server.key})

        def run(query: str) -> dict[str, object]:
            answer = context.request.post(f"{server.url}/graphql", data={"query": query}).json()
            assert "errors" not in answer, answer
            return dict(answer["data"])

        months = run("{ months { month } }")["months"]
        assert isinstance(months, list)
        enter_prices(run, months[-1]["month"])
        context.close()
        yield server


def enter_prices(run: object, first: str) -> None:
    assert callable(run)
    run('mutation { setCurrency(currency: "EUR") }')
    for code, name in COST_CENTRES.items():
        run(f'mutation {{ setCostCentre(code: "{code}", name: "{name}") {{ code }} }}')
    for code, (measure, price) in RATES.items():
        split = ", split: PROPORTIONAL" if measure == "FEE" else ""
        run(f'mutation {{ setRate(code: "{code}", name: "{code}", measure: {measure}{split}) }}')
        run(f'mutation {{ setPrice(rate: "{code}", from: "{first}", amount: "{price}") }}')
    for workspace, code in WORKSPACES.items():
        arguments = f'kind: WORKSPACE, name: "{workspace}", from: "{first}", costCentre: "{code}"'
        run(f"mutation {{ assign({arguments}) }}")


def to_amount(text: str) -> Decimal:
    return Decimal(text.replace("€", "").replace(",", "").replace("\N{MINUS SIGN}", "-"))


def open_page(page: Page, service: ServerProcess, address: str = "/") -> None:
    page.goto(f"{service.url}{address}")
    expect(page.locator(".data-table tbody tr").first).to_be_visible()


def test_the_month_shows_what_each_cost_centre_pays(page: Page, service: ServerProcess) -> None:
    open_page(page, service)
    rows = page.locator(".data-table tbody tr")
    assert sorted(rows.locator("th").all_inner_texts()) == [
        *(f"{code} {name}" for code, name in COST_CENTRES.items()),
        "Unassigned",
    ]
    amounts = [to_amount(each) for each in rows.locator("td:nth-child(3)").all_inner_texts()]
    total = to_amount(page.locator("tfoot td").nth(1).inner_text())

    assert sum(amounts) == total
    assert to_amount(page.locator(".card .figure").first.inner_text()) == total
    expect(page.locator(".legend h3")).to_contain_text(f"€{total:,}")
    save_screenshot(page, "month", full_page=True)


def test_a_cost_centre_leads_to_its_statement(page: Page, service: ServerProcess) -> None:
    open_page(page, service)
    row = page.get_by_role("row").filter(has_text="4712 Sales")
    charged = row.locator("td:nth-child(3)").inner_text()
    row.get_by_role("link").click()

    expect(page.locator(".lead")).to_contain_text(f"4712 Sales is charged {charged} for")
    expect(page).to_have_url(f"{service.url}/statements?month={MONTH:%Y-%m}&centre=4712")
    shown = page.locator("tbody td:nth-child(6)").all_inner_texts()
    lines = [to_amount(each) for each in shown if each != "\N{EN DASH}"]
    assert sum(lines) == to_amount(charged)
    assert to_amount(page.locator("tfoot td").nth(4).inner_text()) == to_amount(charged)
    save_screenshot(page, "statement")


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
