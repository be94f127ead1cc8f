"""The Month page in a real browser, on the demo organization."""

import csv
import re
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import find_axe_violations
from tests.browser.months import latest_month, month_before
from tests.server_process import ServerProcess, run_command, start_keyed_server

WIDTHS = (390, 768, 1440)
NONE = "\N{EN DASH}"


def open_page(page: Page, service: ServerProcess) -> None:
    """Open the month by workspace and wait for its figures."""
    page.goto(f"{service.url}{month_path(by='workspace')}")
    expect(page.locator(".chart .legend")).to_be_visible(timeout=30_000)
    expect(page.locator(".data-table tbody tr").first).to_be_visible(timeout=30_000)
    expect(page.locator("[aria-busy]")).to_have_count(0)


def month_path(**parameters: str) -> str:
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return f"/months/{latest_month():%Y-%m}" + (f"?{query}" if query else "")


def read_column(page: Page, heading: str) -> list[str]:
    """Return a column of the table, without the total."""
    headings = page.locator(".data-table thead th").all_inner_texts()
    index = next(i for i, each in enumerate(headings) if each.startswith(heading)) + 1
    rows = ".data-table tbody tr:not(.aside)"
    cells = page.locator(f"{rows} > :nth-child({index})").all_inner_texts()
    return [each.split("\n")[0] for each in cells]


def press(page: Page, button: str) -> None:
    """Press a button of the table from the keyboard and wait for the rows it reads."""
    page.get_by_role("button", name=button).focus()
    with page.expect_response("**/graphql"):
        page.keyboard.press("Enter")
    expect(page.locator(".loading")).to_have_count(0)


def to_number(text: str) -> float:
    return float(text.replace(",", "").replace("\N{MINUS SIGN}", "-"))


def test_a_link_leads_through_the_sign_in_form_back_to_itself(
    browser: Browser, service: ServerProcess
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{service.url}{month_path(by='project')}")
    page.get_by_label("API key").fill(service.key)
    page.get_by_role("button", name="Sign in").click()

    expect(page).to_have_url(f"{service.url}{month_path(by='project')}")
    expect(page.get_by_role("heading", name=f"Projects in {latest_month():%B %Y}")).to_be_visible()
    context.close()


def test_the_start_page_opens_the_latest_month_that_is_over(
    page: Page, service: ServerProcess
) -> None:
    page.goto(service.url)

    expect(page).to_have_url(f"{service.url}{month_path()}")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{latest_month():%B %Y}")
    expect(page.locator(".badge").first).to_have_text("Open: figures may still change")


def test_totals_equal_the_exported_csv(page: Page, service: ServerProcess) -> None:
    open_page(page, service)
    exported = run_command(
        "report", f"{latest_month():%Y-%m}", "--format", "csv", data_dir=service.data_dir
    ).stdout
    lines = list(csv.DictReader(StringIO(exported)))
    expected = next(each for each in lines if each["Type"] == "total")
    sizes = [float(expected[each]) / 1024 for each in ("Size in MB", "Average in MB")]
    charges = f"/api/admin/chargeback/charges?reportMonth={latest_month():%Y-%m}&format=json"
    booked = page.context.request.get(f"{service.url}{charges}").json()

    # Members, experiments, GB at the end, the month before, the average, its changes, the amount.
    total = page.locator("tfoot td").all_inner_texts()
    assert to_number(total[1]) == int(expected["Experiments"])
    assert [to_number(total[2]), to_number(total[4])] == pytest.approx(sizes, abs=0.06)
    assert total[7] == f"€{Decimal(booked['total']):,.2f}"
    workspaces = [each["Workspace"] for each in lines if each["Type"] == "workspace"]
    assert sorted(read_column(page, "Workspace")) == sorted(workspaces)
    notes = page.locator("tr.note th").all_inner_texts()
    assert notes == ["Charged besides", "Corrections of closed months"]


def test_long_lists_are_read_page_by_page(page: Page, service: ServerProcess) -> None:
    page.goto(f"{service.url}{month_path(by='user')}")
    expect(page.get_by_text(re.compile("^50 of 1.. users$"))).to_be_visible()
    expect(page.locator("[aria-busy]")).to_have_count(0)
    first = read_column(page, "User")
    assert len(first) == 50

    press(page, "Show 50 more")
    expect(page.get_by_text(re.compile("^100 of 1.. users$"))).to_be_visible()
    both = read_column(page, "User")
    assert (both[:50], len(set(both))) == (first, 100)


def test_what_no_cost_centre_pays_needs_attention(page: Page, service: ServerProcess) -> None:
    page.goto(f"{service.url}{month_path()}")
    unassigned = page.get_by_role("row").filter(has_text="no cost centre pays")
    amount = unassigned.get_by_role("cell").nth(1).inner_text()
    page.get_by_role("link", name=f"{amount} without a cost centre").click()

    expect(page.locator(".lead")).to_contain_text(f"No cost centre pays {amount}")


def test_the_table_is_searched_sorted_and_drilled_by_the_address(
    page: Page, service: ServerProcess
) -> None:
    open_page(page, service)
    page.get_by_role("searchbox", name="Search workspaces").fill("speech")
    expect(page.get_by_text("1 workspace matching “speech”")).to_be_visible()
    assert page.url.endswith(month_path(by="workspace", q="speech"))

    page.get_by_role("rowheader").get_by_role("link", name="speech").click()
    expect(page.get_by_role("heading", name="All workspaces / speech")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Project")).to_be_visible()
    page.get_by_role("link", name="Members").click()
    expect(page.get_by_role("columnheader", name="Member")).to_be_visible()
    press(page, "Δ GB")
    expect(page.get_by_role("columnheader", name="Δ GB")).to_have_attribute(
        "aria-sort", "descending"
    )
    changes = [to_number(each) for each in read_column(page, "Δ GB") if each != NONE]
    assert changes == sorted(changes, reverse=True)

    page.go_back()
    page.go_back()
    expect(page.get_by_text("1 workspace matching “speech”")).to_be_visible()
    assert read_column(page, "Workspace") == ["speech"]


def test_a_bar_opens_its_month_and_a_segment_its_statement(
    page: Page, service: ServerProcess
) -> None:
    open_page(page, service)
    bar = page.get_by_role("link", name=re.compile(f"^{month_before():%b %Y}: "))
    bar.locator(".short").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{month_before():%B %Y}")

    expect(page.locator(".legend h3")).to_contain_text(f"{month_before():%B %Y}")
    page.wait_for_load_state("networkidle")
    page.locator("li.selected .series-1").click()
    expect(page.locator(".lead")).to_contain_text(f" for {month_before():%B %Y}")


def test_the_page_works_from_the_keyboard(page: Page, service: ServerProcess) -> None:
    open_page(page, service)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()

    page.get_by_role("link", name=re.compile(f"^{month_before():%b %Y}: ")).focus()
    expect(page.locator(".legend h3")).to_contain_text(f"{month_before():%B %Y}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{month_before():%B %Y}")

    press(page, "Experiments")
    counts = [to_number(each) for each in read_column(page, "Experiments")]
    assert counts == sorted(counts, reverse=True)


def test_each_figure_shows_its_query(page: Page, service: ServerProcess) -> None:
    open_page(page, service)
    links = page.locator(".show-query")
    # Four cards, the attention strip, the chart and the table.
    assert links.count() == 7

    with page.expect_popup() as opened:
        links.last.click()
    graphiql = opened.value
    expect(graphiql.locator(".graphiql-query-editor")).to_contain_text("query Workspaces")
    graphiql.get_by_role("button", name=re.compile("Execute")).click()
    expect(graphiql.locator(".graphiql-response")).to_contain_text("averageSizeInMb")


def test_the_chart_has_its_figures_in_a_table(page: Page, service: ServerProcess) -> None:
    open_page(page, service)
    page.get_by_text("Show these 13 months as a table").click()
    table = page.get_by_role("region", name="The chart as a table")

    assert table.locator("tbody tr").count() == 13
    total = table.locator("tbody tr").nth(11).locator("td").last.inner_text()
    assert total == page.locator(".card .figure").first.inner_text()


def test_an_error_is_shown_with_a_button_to_retry(page: Page, service: ServerProcess) -> None:
    refused: dict[str, Any] = {"errors": [{"message": "The query took longer than 30 s."}]}
    page.route("**/graphql", lambda route: route.fulfill(json=refused))
    page.goto(f"{service.url}/")
    expect(page.get_by_role("alert")).to_contain_text("The query took longer than 30 s.")

    page.unroute("**/graphql")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{latest_month():%B %Y}")


def test_an_unknown_month_shows_the_range_of_reports(page: Page, service: ServerProcess) -> None:
    page.goto(f"{service.url}/months/1999-01")

    expect(page.get_by_role("alert")).to_contain_text("There is no report for 1999-01")


def test_an_empty_store_says_what_to_do_next(
    browser: Browser, tmp_path: Path, service: ServerProcess
) -> None:
    with start_keyed_server(tmp_path) as empty:
        context = browser.new_context()
        page = context.new_page()
        signed_in = context.request.post(
            f"{empty.url}/signin", form={"key": empty.key}, max_redirects=0
        )
        assert signed_in.status == 303
        page.goto(empty.url)
        expect(page.get_by_role("heading", name="No data yet")).to_be_visible()
        context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_has_no_findings(page: Page, service: ServerProcess, width: int, theme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    open_page(page, service)

    assert find_axe_violations(page) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_no_element_exceeds_the_width_of_the_window(
    page: Page, service: ServerProcess, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_page(page, service)

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_month_downloads_as_files(page: Page, service: ServerProcess) -> None:
    open_page(page, service)
    page.get_by_text("Download").click()
    names = ("Report, XLSX", "Report, CSV", "Report, JSON")
    addresses = [page.get_by_role("link", name=name).get_attribute("href") for name in names]

    statuses = [page.context.request.get(f"{service.url}{each}").status for each in addresses]
    assert statuses == [200, 200, 200]
