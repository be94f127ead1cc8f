"""Reports of large organizations come back whole, in time and memory that their size allows."""

import resource
import sys
import time
from collections.abc import Sequence

import pytest

from app.domain.months import Month
from app.server.process_tuning import tune_gc
from tests.conftest import RestClient
from tests.imports.companies import Company
from tests.imports.conftest import ImportReports, Json

FIRST = Month(2025, 1)
NEWER_KEYS = {"experimentCount", "dataLoggedMb"}


async def import_and_read_back(
    company: Company, months: int, import_: ImportReports, rest: RestClient
) -> Sequence[float]:
    """Import the reports of some months one by one; each must come back as it was.

    Returns:
        The seconds that each import took.
    """
    seconds = []
    for report in company.reports(FIRST, months):
        started_at = time.monotonic()
        await import_(report)
        seconds.append(time.monotonic() - started_at)
        assert await rest(report["reportDate"]) == without_newer_keys(report)
    return seconds


def without_newer_keys(report: Json) -> Json:
    """Return a newer document as the service writes it for a `reportMonth`."""
    listed = [
        {key: value for key, value in each.items() if key not in NEWER_KEYS}
        for each in report["users"]["licensedUsers"]
    ]
    return {**report, "users": {**report["users"], "licensedUsers": listed}}


@pytest.mark.parametrize("newer", [False, True])
async def test_two_months_of_twenty_workspaces_come_back(
    import_: ImportReports, rest: RestClient, newer: bool
) -> None:
    await import_and_read_back(Company(20, 400, newer=newer), 2, import_, rest)


@pytest.mark.long
@pytest.mark.timeout(1_800)
async def test_a_year_of_a_large_organization_comes_back(
    import_: ImportReports, rest: RestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make import-large`: prints the figures of docs/import-report.md."""
    tune_gc()  # Like every command.
    seconds = await import_and_read_back(Company(1_000, 20_000), 12, import_, rest)

    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with capsys.disabled():
        sys.stdout.write(
            f"\nmonth {min(seconds):.1f} to {max(seconds):.1f} s, year {sum(seconds):.0f} s; "
            f"{megabytes:.0f} MB at most\n"
        )
    # Months are independent: the last one takes no longer than the others.
    assert seconds[-1] < 2 * max(seconds[:6])
