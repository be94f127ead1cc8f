"""Every format shows the same quantities and one total, for random organizations with prices."""

import csv
import io
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import openpyxl
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from app.cli.charges import PrintFormat
from app.cli.report import ReportRequest, print_report
from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.errors import InvalidMonth, NotFound
from app.domain.event_decoding import decode_lines
from app.domain.months import Month
from app.domain.rates import AssignedKind, CostCentre, Measure, Rate, Split
from app.domain.sections import Section
from app.services.group_commit import GroupCommitIngestor
from app.services.months import close_month
from app.services.rate_card import (
    AssignmentEntry,
    assign,
    set_cost_centre,
    set_currency,
    set_price,
    set_rate,
)
from app.settings import Settings
from tests.app_client import AppClient
from tests.conftest import NOW, ClonedDatabase, FixedClock
from tests.exports.test_reports import as_number
from tests.report.feeds import feeds
from tests.report.test_invariants import PROFILE

pytestmark = pytest.mark.timeout(7_200)

FEW = settings(PROFILE, max_examples=max(1, PROFILE.max_examples // 4))
"""An example reads some sixty files, so there are a quarter of the usual number."""

FIRST = Month(2020, 1)
CLOSED, OPEN = Month(2024, 1), Month(2024, 2)
CENTRES = ("4711", "4712")
SECTIONS = (Section.WORKSPACE, Section.PROJECT, Section.MEMBER, Section.USER, Section.COST_CENTRE)
FILES = (
    *(PrintFormat.JSON, PrintFormat.CSV, PrintFormat.XLSX, PrintFormat.PARQUET),
    *(PrintFormat.FOCUS_1_2, PrintFormat.FOCUS_1_4),
)
RATES = (
    *(Rate(measure.lower(), measure, measure) for measure in Measure if measure != Measure.FEE),
    Rate("platform", "Platform", Measure.FEE, Split.PROPORTIONAL),
    Rate("support", "Support", Measure.FEE, Split.EVEN),
)
PARTIES = [
    *((AssignedKind.WORKSPACE, name) for name in ("beta", "Zürich", "😀")),
    *((AssignedKind.USER, name) for name in ("ann", "Bob", "ü")),
]
_PRICES = st.decimals("0", "30", places=4)


@dataclass
class Scenario:
    """Events, those that arrive after the close, and a rate card."""

    events: Sequence[bytes]
    late: Sequence[bytes]
    currency: str
    prices: Sequence[Decimal | None]
    payers: Sequence[str | None]


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    arriving = draw(feeds().flatmap(st.permutations))
    cut = draw(st.integers(1, len(arriving)))
    return Scenario(
        arriving[:cut],
        arriving[cut:],
        draw(st.sampled_from(("EUR", "JPY"))),
        draw(st.lists(st.none() | _PRICES, min_size=len(RATES), max_size=len(RATES))),
        draw(
            st.lists(
                st.sampled_from((None, *CENTRES)), min_size=len(PARTIES), max_size=len(PARTIES)
            )
        ),
    )


@dataclass(frozen=True)
class FileClient(AppClient):
    """Reads one organization in every format."""

    async def file(self, route: str, organization: str, **parameters: str) -> bytes:
        response = await self.client.get(
            f"/api/admin/chargeback/{route}",
            params={"organization": organization, **parameters},
            headers={"Authorization": self.graphql.key},
        )
        assert response.status_code == 200, response.text
        return response.content

    async def section(self, organization: str, month: Month, by: Section) -> list[dict[str, Any]]:
        """Return a section's rows, after comparing them in all formats."""
        wanted = {"reportMonth": str(month), "by": str(by)}
        files = {
            form: await self.file("export", organization, **wanted, format=form)
            for form in ("json", "csv", "xlsx", "parquet")
        }
        document = orjson.loads(files["json"])
        [rows] = (value for key, value in document.items() if key not in {"months", "status"})
        lines = list(csv.reader(io.StringIO(files["csv"].decode())))[1:-1]
        sheet = openpyxl.load_workbook(io.BytesIO(files["xlsx"])).worksheets[-1]
        table = parquet.read_table(io.BytesIO(files["parquet"])).to_pylist()
        expected = normalize(row.values() for row in rows)
        assert normalize(lines) == expected
        assert normalize(list(sheet.iter_rows(values_only=True))[1:-1]) == expected
        assert normalize(row.values() for row in table) == expected
        printed = io.StringIO()
        with redirect_stdout(printed):
            request = ReportRequest(month, month, by=by)
            await print_report(self.database, Settings.load(), organization, request)
        for row in rows:
            if row["type"].startswith("total") and "amount" in row:
                assert f"{Decimal(row['amount']):,f}" in printed.getvalue()
        found: list[dict[str, Any]] = rows
        return found


def normalize(rows: Iterable[Iterable[Any]]) -> list[list[Any]]:
    return [[as_number(cell) for cell in row] for row in rows]


@pytest.fixture(scope="module")
async def files(postgres: str, template: str) -> AsyncIterator[FileClient]:
    async with (
        ClonedDatabase(postgres, template) as database,
        FileClient.open(database, FixedClock(NOW)) as client,
    ):
        yield client


async def set_up(files: FileClient, scenario: Scenario) -> str:
    """Store the events, enter the rate card, close a month, store the late events."""
    organization, organization_id = await files.create_organization()
    ingestor = GroupCommitIngestor(files.database)
    await ingestor.submit(organization_id, decode_lines(scenario.events, now=NOW), NOW)
    await enter_rate_card(files.database, organization_id, scenario)
    with suppress(InvalidMonth):  # There may be no event yet.
        await close_month(files.database, organization_id, CLOSED, by=OPERATOR, now=NOW)
    if scenario.late:
        await ingestor.submit(organization_id, decode_lines(scenario.late, now=NOW), NOW)
    return organization


async def enter_rate_card(database: Database, organization_id: UUID, scenario: Scenario) -> None:
    entered: Mapping[str, Any] = {"by": OPERATOR, "now": NOW}
    await set_currency(database, organization_id, scenario.currency, **entered)
    for code in CENTRES:
        await set_cost_centre(database, organization_id, CostCentre(code, code), **entered)
    for rate, price in zip(RATES, scenario.prices, strict=True):
        await set_rate(database, organization_id, rate, **entered)
        await set_price(
            database, organization_id, rate.code, FIRST, price, currency=None, **entered
        )
    for (kind, name), payer in zip(PARTIES, scenario.payers, strict=True):
        with suppress(NotFound):  # No event may have named it yet.
            entry = AssignmentEntry(kind, name, payer, FIRST)
            await assign(database, organization_id, [entry], **entered)


QUERY = """
query ($month: Month!, $of: String) {
  chargebackReport(month: $month, organization: $of) {
    averageSizeInMb totalSizeBytes numberOfExperiments experimentsCreated
    charges {
      total corrections
      rates { code amount }
      costCentres { code amount }
      lines { rate costCentre originMonth workspace userName quantity exactAmount amount lineId }
    }
    workspaces { ...workspace }
    formerWorkspaces { ...workspace }
    users { licensedUsers { username amount } }
  }
}
fragment workspace on Workspace {
  name amount
  projects { name amount } formerProjects { name amount }
  members { userName amount } formerMembers { userName amount }
}
"""


@FEW
@given(scenario=scenarios())
async def test_every_format_has_the_same_rows_and_one_total(
    files: FileClient, scenario: Scenario
) -> None:
    organization = await set_up(files, scenario)

    for month in (CLOSED, OPEN):
        data = await files.graphql(QUERY, month=str(month), of=organization)
        report = data["chargebackReport"]
        sections = {by: await files.section(organization, month, by) for by in SECTIONS}
        check_figures(report, sections)
        check_amounts(report, sections)
        check_charge_files(
            report["charges"],
            {
                form: await files.file(
                    "charges", organization, reportMonth=str(month), format=str(form)
                )
                for form in FILES
            },
        )


Sections = Mapping[Section, Sequence[Mapping[str, Any]]]


def check_figures(report: Mapping[str, Any], sections: Sections) -> None:
    """Compare the totals of the sections with GraphQL's."""
    for by in SECTIONS[:4]:
        [total] = (row for row in sections[by] if row["type"] == "total")
        for name in ("numberOfExperiments", "totalSizeBytes", "averageSizeInMb"):
            assert as_number(total[name]) == as_number(report[name]), (by, name)
        assert total["experimentsCreated"] == report["experimentsCreated"]


def check_amounts(report: Mapping[str, Any], sections: Sections) -> None:
    charges = report["charges"]
    total, lines = Decimal(charges["total"]), charges["lines"]
    own = {by: amounts(sections[by], corrections=False) for by in SECTIONS[:4]}
    late = {by: amounts(sections[by], corrections=True) for by in SECTIONS[:4]}
    for by in SECTIONS[:4]:
        totals = {
            row["type"]: Decimal(row["amount"]) for row in sections[by] if "total" in row["type"]
        }
        assert sum(own[by].values()) == totals["total"]
        whole = sum(own[by].values()) + sum(late[by].values())
        assert totals.get("total with corrections", totals["total"]) == whole
    for found in (own, late):
        sums = {sum(found[by].values()) for by in SECTIONS[:3]}
        assert len(sums) == 1
    fees = sum(
        Decimal(line["amount"]) for line in lines if not line["workspace"] and not line["userName"]
    )
    of_sections = sum(
        sum(found[by].values())
        for found in (own, late)
        for by in (Section.WORKSPACE, Section.USER)
    )
    assert of_sections + fees == total
    check_graphql_amounts(report, own)
    centres = amounts(sections[Section.COST_CENTRE], corrections=False)
    assert centres == {
        (each["code"] or "", ""): Decimal(each["amount"]) for each in charges["costCentres"]
    }
    for name in ("rates", "costCentres", "lines"):
        assert sum(Decimal(each["amount"]) for each in charges[name]) == total


def amounts(
    rows: Sequence[Mapping[str, Any]], *, corrections: bool
) -> dict[tuple[str, str], Decimal]:
    """Return the amounts of entities, or the sums of their corrections, by names."""
    found: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        if "total" not in row["type"] and (row["type"] == "correction") == corrections:
            names = [row.get(name) for name in ("costCentre", "workspace", "project", "username")]
            first, second = [*filter(None, names), "", ""][:2]
            found[first, second] += Decimal(row["amount"])
    return dict(found)


def check_graphql_amounts(
    report: Mapping[str, Any], own: Mapping[Section, Mapping[tuple[str, str], Decimal]]
) -> None:
    workspaces = [*report["workspaces"], *report["formerWorkspaces"]]
    parts = {Section.PROJECT: ("projects", "formerProjects"),
             Section.MEMBER: ("members", "formerMembers")}  # fmt: skip
    assert own[Section.WORKSPACE] == {
        (each["name"], ""): Decimal(each["amount"]) for each in workspaces
    }
    for by, lists in parts.items():
        assert own[by] == {
            (each["name"], part.get("name") or part["userName"]): Decimal(part["amount"])
            for each in workspaces
            for name in lists
            for part in each[name]
        }
    for user in report["users"]["licensedUsers"]:
        assert own[Section.USER][user["username"], ""] == Decimal(user["amount"])


def check_charge_files(charges: Mapping[str, Any], files: Mapping[PrintFormat, bytes]) -> None:
    document = orjson.loads(files[PrintFormat.JSON])
    lines = document["lines"]
    assert (document["total"], document["corrections"]) == (
        charges["total"],
        charges["corrections"],
    )
    names = ("rate", "costCentre", "originMonth", "workspace", "userName", "quantity", "amount")
    assert [[line[name] for name in names] for line in lines] == [
        [line[name] for name in names] for line in charges["lines"]
    ]
    expected = normalize(line.values() for line in lines)
    ledger = list(csv.reader(io.StringIO(files[PrintFormat.CSV].decode())))[1:-2]
    book = openpyxl.load_workbook(io.BytesIO(files[PrintFormat.XLSX]))
    table = parquet.read_table(io.BytesIO(files[PrintFormat.PARQUET])).to_pylist()
    assert normalize(ledger) == expected
    assert normalize(list(book["Charges"].iter_rows(values_only=True))[1:-2]) == expected
    assert normalize(row.values() for row in table) == expected
    by_payer: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        by_payer[line["rate"], line["costCentre"] or "Unassigned"] += Decimal(line["amount"])
    for form in (PrintFormat.FOCUS_1_2, PrintFormat.FOCUS_1_4):
        focus: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for row in csv.DictReader(io.StringIO(files[form].decode())):
            focus[row["SkuId"], row["x_CostCentre"]] += Decimal(row["BilledCost"])
        assert focus == by_payer


@FEW
@given(scenario=scenarios())
async def test_two_exports_of_a_closed_month_are_byte_identical(
    files: FileClient, scenario: Scenario
) -> None:
    organization = await set_up(files, scenario)
    data = await files.graphql(
        "query ($month: Month!, $of: String) "
        "{ chargebackReport(month: $month, organization: $of) { status } }",
        month=str(CLOSED),
        of=organization,
    )

    if data["chargebackReport"]["status"] == "CLOSED":
        assert await all_files(files, organization, str(CLOSED)) == await all_files(
            files, organization, str(CLOSED), days_later=3
        )


async def all_files(
    files: FileClient, organization: str, month: str, *, days_later: int = 0
) -> list[bytes]:
    """Return every file of a month, as it is some days later."""
    files.clock.now = NOW + timedelta(days=days_later)
    routes = [("export", form) for form in ("json", "csv", "xlsx", "parquet")]
    routes += [("charges", str(form)) for form in FILES]
    found = [
        await files.file(route, organization, reportMonth=month, format=form)
        for route, form in routes
    ]
    files.clock.now = NOW
    return found
