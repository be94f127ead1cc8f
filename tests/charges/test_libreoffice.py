"""LibreOffice opens the workbooks, and reads the same totals from them."""

import asyncio
import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.charges.conftest import Finance
from tests.charges.test_amounts_in_exports import EXPORT, vision

__all__ = ["vision"]

SOFFICE = shutil.which("soffice") or shutil.which("libreoffice")
ALL_SHEETS_AS_CSV = "csv:Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,false,false,false,-1"
"""Comma, quote, UTF-8, from the first line; every sheet to a file of its own."""

pytestmark = [
    pytest.mark.skipif(
        SOFFICE is None and "CI" not in os.environ, reason="LibreOffice Calc is not installed"
    ),
    pytest.mark.timeout(300),
]


async def open_book(
    finance: Finance, folder: Path, route: str, **parameters: str
) -> dict[str, list[list[str]]]:
    """Return the cells of each sheet as LibreOffice reads them."""
    graphql = finance.graphql
    response = await graphql.client.get(
        route, params={"format": "xlsx", **parameters}, headers={"Authorization": graphql.key}
    )
    assert response.status_code == 200, response.text
    (folder / "book.xlsx").write_bytes(response.content)
    return await asyncio.to_thread(convert, folder)


def convert(folder: Path) -> dict[str, list[list[str]]]:
    """Convert the sheets to CSV, in a profile of its own."""
    command = (
        *(str(SOFFICE), f"-env:UserInstallation=file://{folder}/profile", "--headless"),
        *("--convert-to", ALL_SHEETS_AS_CSV, "--outdir", str(folder), str(folder / "book.xlsx")),
    )
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    return {
        file.stem.removeprefix("book-"): list(csv.reader(file.read_text("utf-8").splitlines()))
        for file in folder.glob("book-*.csv")
    }


async def test_libreoffice_reads_the_totals_of_a_report(vision: Finance, tmp_path: Path) -> None:
    book = await open_book(vision, tmp_path, EXPORT, reportMonth="2026-10")

    assert set(book) == {"Summary", "Workspaces", "Projects", "Members", "Users", "Corrections"}
    summary = {line[0]: line[1] for line in book["Summary"]}
    # 130 GB are 133,120 MB, all month long.
    assert float(summary["Size in MB"]) == float(summary["Average in MB"]) == 133_120
    for sheet in ("Workspaces", "Projects", "Members"):
        headings, *lines = book[sheet]
        totals = {line[0]: dict(zip(headings, line, strict=True)) for line in lines}
        # 130 GB x 0.20; September's 15 GB-months x 0.20 are 3.00.
        assert float(totals["total"]["Average in MB"]) == 133_120
        assert float(totals["total"]["Amount"]) == 26
        assert float(totals["total with corrections"]["Amount"]) == 29
        assert lines[-1][0] == "status"
        assert lines[-1][3].startswith("OPEN, as of ")


async def test_libreoffice_reads_the_total_of_the_charges(vision: Finance, tmp_path: Path) -> None:
    route = "/api/admin/chargeback/charges"
    book = await open_book(vision, tmp_path, route, reportMonth="2026-10")

    headings, *lines = book["Charges"]
    [total] = [dict(zip(headings, line, strict=True)) for line in lines if line[0] == "total"]
    # 26.00 for storage, 10.00 for bob's seat, 3.00 for the correction.
    assert (float(total["Amount"]), total["Currency"]) == (39, "EUR")
    assert sum(float(line[headings.index("Amount")]) for line in lines[:-2]) == 39
