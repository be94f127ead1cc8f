"""The charges of a month as files: REST in every format, the same figures, stable once closed."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import openpyxl
import pytest
from pyarrow import parquet

from tests.charges.conftest import FEE, GB, OCTOBER, SEAT, SEPTEMBER, STORAGE, Finance
from tests.charges.test_worked_examples import experiment, user
from tests.conftest import Feed, FixedClock, GraphQLClient, MakeKey, event

PATH = "/api/admin/chargeback/charges"
FORMATS = ("json", "csv", "xlsx", "parquet", "focus-1.2", "focus-1.4")


class ChargesClient:
    """Downloads the charges of a month with the admin's key unless another is given."""

    def __init__(self, client: httpx.AsyncClient, key: str) -> None:
        self.client, self.key = client, key

    async def get(
        self, key: str | None = None, tag: str | None = None, **parameters: str
    ) -> httpx.Response:
        headers = {"Authorization": key or self.key, "If-None-Match": tag or ""}
        return await self.client.get(PATH, params=parameters, headers=headers)

    async def __call__(self, form: str, month: str = "2026-09", **parameters: str) -> bytes:
        response = await self.get(reportMonth=month, format=form, **parameters)
        assert response.status_code == 200, response.text
        return response.content


@pytest.fixture
def charges(client: httpx.AsyncClient, admin_key: str) -> ChargesClient:
    return ChargesClient(client, admin_key)


@pytest.fixture
async def september(finance: Finance, feed: Feed) -> Finance:
    """Storage of example 2 at 0.23 for 4711, and a seat of an unassigned user."""
    await feed(
        experiment("e", "2026-09-01T00:00:00Z", 1, owner="=ann"),
        event("experiment.resized", "2026-09-06T00:00:00Z", experiment="e", sizeBytes=3 * GB),
        user("=ann"),
    )
    await finance.charge(STORAGE, "0.23")
    await finance.charge(SEAT, "24.99")
    await finance.assign_workspace("vision", "4711")
    return finance


HEADINGS = [
    "Type",
    "Month",
    "Origin month",
    "Cost centre",
    "Cost centre name",
    "Rate",
    "Rate name",
    "Measure",
    "Workspace",
    "User",
    "Quantity",
    "Unit",
    "Price",
    "Exact amount",
    "Amount",
    "Currency",
    "Id",
]


async def test_csv_has_a_row_per_line_a_total_and_the_status(
    september: Finance, charges: ChargesClient
) -> None:
    await september.close(SEPTEMBER)

    headings, seat, storage, total, status = csv.reader(
        io.StringIO((await charges("csv")).decode())
    )

    # (1 GB x 5 days + 3 GB x 25 days) / 30 days = 2.666666666667 GB-months x 0.23
    assert headings == HEADINGS
    assert {seat.pop()[:8], storage.pop()[:8]} == {"2026-09-"}
    assert ",".join(seat) == (
        "charge,2026-09,,,Unassigned,seat,Seats,SEATS,,'=ann,1,user-month,24.99,24.99,24.99,EUR"
    )
    assert ",".join(storage) == (
        "charge,2026-09,,4711,Research,storage,Storage,STORAGE,vision,,2.666666666667,GB-month,"
        "0.23,0.613333333333,0.61,EUR"
    )
    assert total == ["total", "2026-09", *[""] * 12, "25.60", "EUR", ""]
    assert status[:3] == ["status", "2026-09", ""]
    assert status[3].startswith("CLOSED, sha256 ")
    assert len(status[3]) == len("CLOSED, sha256 ") + 64


async def test_json_spells_its_keys_as_graphql_does(
    september: Finance, charges: ChargesClient
) -> None:
    response = await charges.get(reportMonth="2026-09")

    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert document["organization"] == "default"
    assert (document["currency"], document["total"]) == ("EUR", "25.60")
    assert document["corrections"] == "0.00"
    assert document["status"].startswith("OPEN, as of 2026-")
    assert document["lines"][1].pop("id").startswith("2026-09-")
    assert document["lines"][1] == {
        "type": "charge",
        "month": "2026-09",
        "originMonth": None,
        "costCentre": "4711",
        "costCentreName": "Research",
        "rate": "storage",
        "rateName": "Storage",
        "measure": "STORAGE",
        "workspace": "vision",
        "userName": None,
        "quantity": "2.666666666667",
        "unit": "GB-month",
        "price": "0.23",
        "exactAmount": "0.613333333333",
        "amount": "0.61",
        "currency": "EUR",
    }


async def test_xlsx_keeps_text_as_text_and_numbers_as_numbers(
    september: Finance, charges: ChargesClient
) -> None:
    book = openpyxl.load_workbook(io.BytesIO(await charges("xlsx")))

    rows = [list(row) for row in book["Charges"].iter_rows(values_only=True)]
    assert rows[0] == HEADINGS
    assert rows[1][9] == "=ann"
    assert book["Charges"]["J2"].data_type == "s"
    assert rows[2][10:15] == [2.666666666667, "GB-month", 0.23, 0.613333333333, 0.61]
    assert rows[3][:2] == ["total", "2026-09"]
    assert rows[3][14:16] == [25.6, "EUR"]
    assert str(rows[4][3]).startswith("OPEN, as of ")


async def test_parquet_has_exact_decimals(september: Finance, charges: ChargesClient) -> None:
    table = parquet.read_table(io.BytesIO(await charges("parquet")))

    assert table.column("amount").to_pylist() == [Decimal("24.99"), Decimal("0.61")]
    assert table.column("quantity").to_pylist()[1] == Decimal("2.666666666667")
    assert table.column("userName").to_pylist() == ["=ann", None]
    assert table.schema.metadata[b"total"] == b"25.60"
    assert table.schema.metadata[b"status 2026-09"].startswith(b"OPEN, as of ")


@pytest.mark.parametrize("form", FORMATS)
async def test_two_files_of_a_closed_month_have_the_same_bytes(
    september: Finance, feed: Feed, clock: FixedClock, charges: ChargesClient, form: str
) -> None:
    await september.close(SEPTEMBER)
    first = await charges(form)

    await september.price("storage", OCTOBER, "9.99")
    await september.cost_centre("4711", "Renamed")
    await feed(experiment("late", "2026-09-10T00:00:00Z", 50, owner="=ann"))
    clock.now = datetime(2027, 1, 15, tzinfo=UTC)

    assert await charges(form) == first


async def test_a_correction_is_a_row_with_the_month_that_it_corrects(
    finance: Finance, feed: Feed, charges: ChargesClient
) -> None:
    await finance.charge(STORAGE, "0.20")
    await feed(user("ann"), event("workspace.upserted", "2026-09-01T00:00:00Z", name="vision"))
    await finance.assign_workspace("vision", "4711")
    await finance.close(SEPTEMBER)
    # 30 GB for the last 15 of 30 days: 15 GB-months at 0.20; 30 GB-months in October.
    await feed(experiment("late", "2026-09-16T00:00:00Z", 30))

    rows = list(csv.reader(io.StringIO((await charges("csv", "2026-10")).decode())))

    assert [(row[0], row[2], row[10], row[14]) for row in rows[1:4]] == [
        ("charge", "", "30", "6.00"),
        ("correction", "2026-09", "15", "3.00"),
        ("total", "", "", "9.00"),
    ]


async def test_a_file_of_one_cost_centre_has_its_lines_and_their_total(
    september: Finance, charges: ChargesClient, client: httpx.AsyncClient
) -> None:
    own = (await charges.get(reportMonth="2026-09", costCentre="4711")).json()
    unassigned = (await charges.get(reportMonth="2026-09", costCentre="")).json()

    assert (own["total"], [line["rate"] for line in own["lines"]]) == ("0.61", ["storage"])
    assert (unassigned["total"], [line["rate"] for line in unassigned["lines"]]) == (
        "24.99",
        ["seat"],
    )


async def test_an_unchanged_file_is_not_sent_again(
    september: Finance, charges: ChargesClient
) -> None:
    first = await charges.get(reportMonth="2026-09", format="csv")
    assert first.headers["cache-control"] == "private, no-cache"
    tag = first.headers["etag"]
    unchanged = await charges.get(tag=tag, reportMonth="2026-09", format="csv")
    assert (unchanged.status_code, unchanged.content) == (304, b"")

    await september.price("seat", SEPTEMBER, "25.00")
    changed = await charges.get(tag=tag, reportMonth="2026-09", format="csv")
    assert changed.status_code == 200
    assert (await charges.get(tag=tag, reportMonth="2026-09", format="json")).status_code == 200

    await september.close(SEPTEMBER)
    closed = await charges.get(reportMonth="2026-09", format="csv")
    assert closed.headers["cache-control"] == "private, immutable, max-age=31536000"
    assert closed.headers["content-disposition"] == 'attachment; filename="charges-2026-09.csv"'


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "reportMonth is required: write YYYY-MM, such as 2026-09."),
        ({"reportMonth": "2026-9"}, "'2026-9' is not a month: write YYYY-MM, such as 2026-09."),
        (
            {"reportMonth": "2026-09", "format": "pdf"},
            "format: must be one of json, csv, xlsx, parquet, focus-1.2, focus-1.4; got 'pdf'.",
        ),
        (
            {"report_month": "2026-09"},
            "There is no parameter 'report_month'; did you mean 'reportMonth'?",
        ),
        (
            {"reportMonth": "2026-09", "x": "1"},
            "There is no parameter 'x'; known are costCentre, format, organization, reportMonth.",
        ),
        (
            {"reportMonth": "2026-09", "costCentre": "9999"},
            "costCentre: there is no cost centre '9999'.",
        ),
    ],
)
async def test_an_invalid_parameter_is_rejected_with_the_reason(
    september: Finance, charges: ChargesClient, parameters: dict[str, str], message: str
) -> None:
    response = await charges.get(**parameters)

    assert response.status_code in {400, 404}
    assert response.json()["msg"] == message


async def test_a_repeated_parameter_is_refused(september: Finance, charges: ChargesClient) -> None:
    response = await charges.client.get(
        f"{PATH}?reportMonth=2026-09&format=csv&format=json",
        headers={"Authorization": charges.key},
    )

    assert response.status_code == 400
    assert response.json()["msg"] == "format: must be given once; got 2."


async def test_a_month_without_a_currency_has_no_file(feed: Feed, charges: ChargesClient) -> None:
    await feed(user("ann"))

    response = await charges.get(reportMonth="2026-09")

    assert response.status_code == 404
    assert response.json()["error"] == "NOT_FOUND"
    assert "had no currency" in response.json()["msg"]


async def test_only_an_admin_with_report_read_downloads_charges(
    september: Finance, charges: ChargesClient, make_key: MakeKey
) -> None:
    member = await make_key("=ann")
    refused = await charges.get(member, reportMonth="2026-09")

    assert refused.status_code == 403


async def test_a_download_is_audited_with_its_format(
    september: Finance, charges: ChargesClient, graphql: GraphQLClient, client: httpx.AsyncClient
) -> None:
    await charges("csv")
    await client._transport.aclose()

    found: dict[str, Any] = await graphql(
        "{ auditLog(actions: [REPORT_DOWNLOADED]) { action target detail username } }"
    )

    [entry] = found["auditLog"]
    assert (entry["target"], entry["username"]) == ("2026-09", "root")
    assert entry["detail"] == '{"file":"charges","format":"csv"}'


async def test_every_format_and_graphql_add_up_to_one_total(
    september: Finance, charges: ChargesClient
) -> None:
    await september.charge(FEE, "1000.00")

    graphql = (await september.charges(SEPTEMBER))["total"]

    assert graphql == "1025.60"
    assert (await charges.get(reportMonth="2026-09")).json()["total"] == graphql
    rows = list(csv.reader(io.StringIO((await charges("csv")).decode())))
    assert rows[-2][14] == graphql
    assert sum(Decimal(row[14]) for row in rows[1:-2]) == Decimal(graphql)
    table = parquet.read_table(io.BytesIO(await charges("parquet")))
    assert sum(table.column("amount").to_pylist()) == Decimal(graphql)
    sheet = openpyxl.load_workbook(io.BytesIO(await charges("xlsx")))["Charges"]
    assert [row[14] for row in sheet.iter_rows(values_only=True)][-2] == float(graphql)
