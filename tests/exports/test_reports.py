"""Exports of a report: their content, equal in all formats and unchanging for a closed month."""

import csv
import io
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import openpyxl
import orjson
import pytest
from pyarrow import parquet

from app.cli.report import Format, ReportRequest, print_report
from app.db.engine import Database
from app.domain.audit import OPERATOR
from app.domain.ids import organization_id
from app.domain.months import Month
from app.domain.sections import Section, SectionOrder
from app.services.months import close_month
from app.settings import Settings
from tests.conftest import Feed, FixedClock, GraphQLClient, event

OWN: UUID = organization_id("default")
SEPTEMBER, OCTOBER = Month(2026, 9), Month(2026, 10)
MB = 1_048_576

BEFORE = (
    event("user.upserted", "2026-09-01T00:00:00Z", username="ann", email="ann@x.test"),
    event("user.upserted", "2026-09-01T00:00:00Z", username="bob"),
    event("member.added", "2026-09-01T00:00:00Z", workspace="vision", username="ann"),
    event("experiment.created", "2026-09-16T00:00:00Z", experiment="e1", workspace="vision",
          project="seg", username="ann", sizeBytes=300 * MB),
    # 3,100 MB for 10 of October's 31 days: 1,000.00 MB on average.
    event("experiment.created", "2026-10-01T00:00:00Z", experiment="e2", workspace="=pilot",
          project="p", username="bob", sizeBytes=3_100 * MB),
    event("workspace.deleted", "2026-10-11T00:00:00Z", name="=pilot"),
    # 31 MB for 10 days: 10.00 MB. Bob is no member of vision.
    event("experiment.created", "2026-10-01T00:00:00Z", experiment="e3", workspace="vision",
          project="old", username="bob", sizeBytes=31 * MB),
    event("project.deleted", "2026-10-11T00:00:00Z", workspace="vision", name="old"),
    event("usage.recorded", "2026-10-05T00:00:00Z", username="ann", channel="sdk", count=7),
    # No event announces eve, so her uses count in the month, but she is not licensed.
    event("usage.recorded", "2026-10-05T00:00:00Z", username="eve", channel="sdk", count=2),
)  # fmt: skip
LATE = (
    # 30 MB for 15 of September's 30 days: 15.00 MB-months. In October 30.00 MB.
    event("experiment.created", "2026-09-16T00:00:00Z", experiment="e4", workspace="vision",
          project="seg", username="ann", sizeBytes=30 * MB),
)  # fmt: skip


@pytest.fixture
async def october(database: Database, feed: Feed, clock: FixedClock) -> None:
    """October, with a deleted workspace and project, a former member and a late fact."""
    await feed(*BEFORE)
    await close_month(database, OWN, SEPTEMBER, by=OPERATOR, now=clock.now)
    await feed(*LATE)


class Exports:
    """Fetches exports over REST."""

    def __init__(self, graphql: GraphQLClient) -> None:
        self._graphql = graphql

    async def response(self, **parameters: str) -> httpx.Response:
        return await self._graphql.client.get(
            "/api/admin/chargeback/export",
            params=parameters,
            headers={"Authorization": self._graphql.key},
        )

    async def __call__(self, form: str = "csv", month: str = "2026-10", **others: str) -> bytes:
        response = await self.response(reportMonth=month, format=form, **others)
        assert response.status_code == 200, response.text
        return response.content

    async def lines(self, **parameters: str) -> list[list[str]]:
        return list(csv.reader(io.StringIO((await self(**parameters)).decode())))


@pytest.fixture
def exports(graphql: GraphQLClient) -> Exports:
    return Exports(graphql)


@pytest.mark.usefixtures("october")
async def test_csv_of_workspaces_has_deleted_ones_corrections_totals_and_status(
    exports: Exports,
) -> None:
    lines = await exports.lines()

    # Rows: type, month, origin; name, members, projects, experiments, of unknown size, created;
    # bytes, MB, average. vision holds e1 and e4: 330 MB; on average 300 + 30 + 10 (old) MB.
    assert lines == [
        ["Type", "Month", "Origin month", "Workspace", "Members", "Projects", "Experiments",
         "Unknown size", "Created", "Size in bytes", "Size in MB", "Average in MB"],
        ["workspace", "2026-10", "", "vision", "1", "1", "2", "0", "1", "346030080", "330.00",
         "340.00"],
        ["deleted workspace", "2026-10", "", "'=pilot", "0", "0", "0", "0", "1", "0", "0.00",
         "1000.00"],
        ["total", "2026-10", "", "", "1", "1", "2", "0", "2", "346030080", "330.00", "1340.00"],
        ["correction", "2026-10", "2026-09", "vision", "", "", "", "", "1", "", "", "15.00"],
        ["total with corrections", "2026-10", "", "", "", "", "", "", "3", "", "", "1355.00"],
        ["status", "2026-10", "", "OPEN, as of 2026-11-24T12:00:00Z", *[""] * 8],
    ]  # fmt: skip


@pytest.mark.usefixtures("october")
async def test_projects_members_and_users_add_up_to_the_same_totals(exports: Exports) -> None:
    projects = await exports.lines(by="project")
    members = await exports.lines(by="member")
    users = await exports.lines(by="user")

    assert select(projects, "Type", "Workspace", "Project", "Created", "Average in MB") == [
        ["deleted project", "'=pilot", "p", "1", "1000.00"],
        ["deleted project", "vision", "old", "1", "10.00"],
        ["project", "vision", "seg", "0", "330.00"],
        ["total", "", "", "2", "1340.00"],
        ["correction", "vision", "seg", "1", "15.00"],
        ["total with corrections", "", "", "3", "1355.00"],
    ]
    assert select(members, "Type", "Workspace", "User", "Email", "Average in MB") == [
        ["former member", "'=pilot", "bob", "", "1000.00"],
        ["member", "vision", "ann", "ann@x.test", "330.00"],
        ["former member", "vision", "bob", "", "10.00"],
        ["total", "", "", "", "1340.00"],
        ["correction", "vision", "ann", "", "15.00"],
        ["total with corrections", "", "", "", "1355.00"],
    ]
    assert select(
        users, "Type", "User", "Licences", "SDK uses", "Size in MB", "Average in MB"
    ) == [
        ["user", "ann", "1", "7", "330.00", "330.00"],
        ["user", "bob", "1", "0", "0.00", "1010.00"],
        ["unlicensed user", "eve", "0", "2", "0.00", "0.00"],
        ["total", "", "2", "9", "330.00", "1340.00"],
        ["correction", "ann", "0", "0", "", "15.00"],
        ["total with corrections", "", "2", "9", "", "1355.00"],
    ]


def select(lines: Sequence[Sequence[str]], *headings: str) -> list[list[str]]:
    positions = [lines[0].index(heading) for heading in headings]
    return [
        [line[position] for position in positions] for line in lines[1:] if line[0] != "status"
    ]


@pytest.mark.usefixtures("october")
async def test_the_section_of_corrections_has_all_figures(exports: Exports) -> None:
    lines = await exports.lines(by="correction")

    (row,) = (dict(zip(lines[0], line, strict=True)) for line in lines[1:-1])
    # 31,457,280 bytes for 15 days of 86,400,000,000 microseconds.
    assert {name: value for name, value in row.items() if value not in {"", "0"}} == {
        "Type": "correction", "Month": "2026-10", "Origin month": "2026-09", "Workspace": "vision",
        "Project": "seg", "User": "ann", "Experiments": "1", "Created": "1",
        "Size in bytes": "31457280", "Size in MB": "30.00", "Average in MB": "15.00",
        "Byte-microseconds": "40768634880000000000",
    }  # fmt: skip


@pytest.mark.usefixtures("october")
async def test_all_formats_have_the_same_rows(exports: Exports) -> None:
    for by in Section:
        lines = await exports.lines(by=by)
        document = orjson.loads(await exports("json", by=by))
        book = openpyxl.load_workbook(io.BytesIO(await exports("xlsx", by=by)))
        table = parquet.read_table(io.BytesIO(await exports("parquet", by=by)))

        expected = [[as_number(cell) for cell in line] for line in lines[1:-1]]
        (rows,) = (value for key, value in document.items() if key not in {"months", "status"})
        sheet = list(book[book.sheetnames[-1]].iter_rows(values_only=True))
        assert [list(map(as_number, row.values())) for row in rows] == expected
        assert [list(map(as_number, row.values())) for row in table.to_pylist()] == expected
        assert [list(map(as_number, row)) for row in sheet[1:-1]] == expected
        assert list(sheet[0]) == lines[0]
        assert sheet[-1][3] == lines[-1][3] == document["status"]["2026-10"]
        assert table.schema.metadata[b"status 2026-10"].decode() == lines[-1][3]


def as_number(value: Any) -> Any:
    """Return a cell's value in the same form for all formats; an empty cell is "".

    Parquet has instants to the microsecond, other formats to the second.
    """
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC, microsecond=0).isoformat().replace("+00:00", "Z")
    text = str(value)
    try:
        return float(text)
    except ValueError:
        return text.removeprefix("'=").removeprefix("=")


@pytest.mark.usefixtures("october")
async def test_totals_equal_graphql_s(exports: Exports, graphql: GraphQLClient) -> None:
    answer = await graphql(
        """{ chargebackReport(month: "2026-10") {
            numberOfExperiments totalSizeBytes unmeasuredExperiments
            workspaces { experimentsCreated averageSizeInMb }
            formerWorkspaces { experimentsCreated averageSizeInMb } } }"""
    )
    document = orjson.loads(await exports("json"))

    report = answer["chargebackReport"]
    (month,) = document["months"]
    of_workspaces = [*report.pop("workspaces"), *report.pop("formerWorkspaces")]
    assert {name: str(month[name]) for name in report} == {
        name: str(value) for name, value in report.items()
    }
    for name in ("experimentsCreated", "averageSizeInMb"):
        assert sum(row[name] for row in of_workspaces) == month[name]
    for section in ("workspaces", "projects", "members", "users"):
        (total,) = (row for row in document[section] if row["type"] == "total")
        for name in ("numberOfExperiments", "totalSizeBytes", "averageSizeInMb"):
            assert total[name] == month[name], section


@pytest.mark.usefixtures("october")
async def test_a_closed_month_is_exported_with_its_hash_and_always_the_same_bytes(
    database: Database, exports: Exports, graphql: GraphQLClient, clock: FixedClock, feed: Feed
) -> None:
    await close_month(database, OWN, OCTOBER, by=OPERATOR, now=clock.now)
    forms = ("csv", "json", "xlsx", "parquet")
    before = [await exports(form) for form in forms]
    clock.now = datetime(2026, 12, 1, tzinfo=UTC)
    await feed(event("usage.recorded", "2026-10-05T00:00:00Z", username="ann", channel="sdk"))

    after = [await exports(form) for form in forms]
    months = await graphql("{ months { month rowsHash } }")

    assert after == before
    (rows_hash,) = (each["rowsHash"] for each in months["months"] if each["month"] == "2026-10")
    last_line = before[0].decode().splitlines()[-1]
    assert last_line == f'status,2026-10,,"CLOSED, sha256 {rows_hash}",,,,,,,,'


@pytest.mark.usefixtures("october")
async def test_xlsx_has_a_sheet_for_each_section_with_frozen_headings_formats_and_filters(
    exports: Exports,
) -> None:
    book = openpyxl.load_workbook(io.BytesIO(await exports("xlsx")))

    assert book.sheetnames == ["Summary", "Workspaces", "Projects", "Members", "Users",
                               "Corrections"]  # fmt: skip
    summary: Any = dict(cast("Any", book["Summary"].iter_rows(values_only=True)))
    assert summary == {
        "Organization": "default", "Month": "2026-10",
        "Status": "OPEN, as of 2026-11-24T12:00:00Z", "Imported from": None, "Workspaces": 1,
        "Licensed users": 2, "Experiments": 2, "Experiments of unknown size": 0,
        "Experiments created": 2, "Size in bytes": 346030080, "Size in MB": 330,
        "Average in MB": 1340,
    }  # fmt: skip
    sheet = book["Workspaces"]
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:L6"
    name, average = sheet["D3"], sheet["L3"]
    assert (name.value, name.data_type) == ("=pilot", "s")  # Text, no formula.
    assert (average.value, average.number_format) == (1000, "#,##0.00")


@pytest.mark.usefixtures("october")
async def test_top_order_and_workspace_choose_rows_and_totals_cover_all(exports: Exports) -> None:
    largest = await exports.lines(by="member", top="1")
    by_name = await exports.lines(by="member", top="1", order="name")
    of_vision = await exports.lines(by="member", workspace="vision")

    assert select(largest, "Workspace", "User", "Average in MB")[:2] == [
        ["'=pilot", "bob", "1000.00"],
        ["", "", "1340.00"],
    ]
    # Corrections are not listed, but the last total includes them.
    types = [["former member"], ["total"], ["total with corrections"]]
    assert select(largest, "Type") == types
    assert select(by_name, "User")[0] == ["bob"]
    assert select(of_vision, "Type", "User", "Average in MB")[:3] == [
        ["member", "ann", "330.00"],
        ["former member", "bob", "10.00"],
        ["total", "", "340.00"],
    ]


@pytest.mark.usefixtures("october")
async def test_what_is_idle_has_no_corrections(exports: Exports) -> None:
    everything = select(await exports.lines(by="user"), "Type")
    idle = select(await exports.lines(by="user", idleDays="1"), "Type")

    assert ["correction"] in everything
    assert [each for each in idle if each not in (["user"], ["total"])] == []


@pytest.mark.usefixtures("october")
async def test_several_months_follow_each_other_each_with_its_total(exports: Exports) -> None:
    response = await exports.response(**{"from": "2026-09", "to": "2026-10", "by": "workspace"})

    lines = list(csv.reader(io.StringIO(response.text)))
    assert [(line[0], line[1], line[11]) for line in lines[1:8]] == [
        ("workspace", "2026-09", "150.00"),
        ("total", "2026-09", "150.00"),
        ("workspace", "2026-10", "340.00"),
        ("deleted workspace", "2026-10", "1000.00"),
        ("total", "2026-10", "1340.00"),
        ("correction", "2026-10", "15.00"),
        ("total with corrections", "2026-10", "1355.00"),
    ]
    assert [line[3].split(",")[0] for line in lines[8:]] == ["CLOSED", "OPEN"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"month": "2026-10"}, "There is no parameter 'month'; did you mean 'reportMonth'?"),
        ({"reportmonth": "2026-10"},
         "There is no parameter 'reportmonth'; did you mean 'reportMonth'?"),
        ({"wrkspace": "x"}, "There is no parameter 'wrkspace'; did you mean 'workspace'?"),
        ({"zzz": "x"}, ("There is no parameter 'zzz'; known are by, compare, direction, format, "
         "from, idleDays, order, organization, reportMonth, skip, sum, to, top, workspace.")),
        ({"format": "pdf"}, "format: must be one of csv, json, xlsx, parquet; got 'pdf'."),
        ({"by": "team"},
         ("by: must be one of workspace, project, member, user, correction, cost-centre; "
          "got 'team'.")),
        ({"top": "0"}, "top: must be at least 1; got 0."),
        ({"top": "-1"}, "top: must be a whole number from 1 on; got '-1'."),
        ({"from": "2026-09"}, "reportMonth: give it alone, or from and to together."),
        ({"workspace": "nowhere"}, "workspace: there is no workspace 'nowhere'."),
        ({"workspace": "vision", "by": "user"}, ("workspace: users are listed for the "
         "organization; list the workspace's members.")),
        ({"workspace": "a\0b"}, "workspace: must not contain the character U+0000."),
    ],
)  # fmt: skip
async def test_a_bad_parameter_is_named(
    exports: Exports, parameters: dict[str, str], message: str
) -> None:
    response = await exports.response(**parameters)

    assert (response.status_code, response.json()["msg"]) == (400, message)


async def test_before_the_first_event_an_export_is_empty(exports: Exports) -> None:
    lines = await exports.lines(month="2020-01")

    assert [line[0] for line in lines] == ["Type", "total", "status"]
    assert lines[1][4:] == ["0", "0", "0", "0", "0", "0", "0.00", "0.00"]
    for form in ("json", "xlsx", "parquet"):
        await exports(form, month="2020-01")


async def print_request(database: Database, request: ReportRequest) -> str:
    printed = io.StringIO()
    with redirect_stdout(printed):
        await print_report(database, Settings.load(), "default", request)
    return printed.getvalue()


@pytest.mark.usefixtures("october")
async def test_the_table_marks_what_is_deleted_and_shows_corrections(database: Database) -> None:
    shown = await print_request(database, ReportRequest(OCTOBER, OCTOBER))

    cells = [re.split(r"\s*[│┃]\s*", line.strip())[1:-1] for line in shown.splitlines()]
    assert [row for row in cells if row] == [
        ["Workspace", "Members", "Projects", "Experiments", "Created", "Size in MB",
         "Average in MB"],
        ["vision", "1", "1", "2", "1", "330.00", "340.00"],
        ["=pilot (deleted)", "0", "0", "0", "1", "0.00", "1,000.00"],
        ["Total", "1", "1", "2", "2", "330.00", "1,340.00"],
        ["vision (correction of 2026-09)", "", "", "", "1", "", "15.00"],
        ["Total with corrections", "", "", "", "3", "", "1,355.00"],
    ]  # fmt: skip
    last = shown.splitlines()[-2:]
    assert last[0] == "1 workspaces, 2 experiments, 330.00 MB, 2 licensed users"
    assert last[1].startswith("OPEN, as of 20")


@pytest.mark.usefixtures("october")
async def test_each_section_can_be_printed(database: Database) -> None:
    for by in Section:
        request = ReportRequest(SEPTEMBER, OCTOBER, by=by, order=SectionOrder.SIZE)
        shown = await print_request(database, request)
        assert "2026-09: CLOSED, sha256 " in shown


@pytest.mark.usefixtures("october")
async def test_a_file_is_written_for_each_workspace(database: Database, tmp_path: Path) -> None:
    request = ReportRequest(
        OCTOBER, OCTOBER, Format.CSV, by=Section.PROJECT, out=tmp_path / "split"
    )

    assert await print_request(database, request) == f"wrote 2 files into {tmp_path / 'split'}\n"

    names = sorted(path.name for path in (tmp_path / "split").iterdir())
    assert names == ["2026-10-pilot.csv", "2026-10-vision.csv"]
    vision = (tmp_path / "split" / "2026-10-vision.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in vision] == [
        "Type", "deleted project", "project", "total", "correction", "total with corrections",
        "status",
    ]  # fmt: skip
