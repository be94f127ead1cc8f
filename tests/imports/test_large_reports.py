"""Reports of large organizations come back whole, and in a time that grows with them."""

import resource
import sys
import time
from collections.abc import Sequence

import pytest

from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.months import Month
from app.server.process_tuning import tune_gc
from app.services.month_verification import verify_month
from app.services.organizations import find_organization
from tests.conftest import RestClient
from tests.imports.companies import Company
from tests.imports.conftest import ImportReports, Json

FIRST = Month(2025, 1)


async def imported(
    company: Company, months: int, import_: ImportReports, rest: RestClient
) -> tuple[Sequence[float], Sequence[float]]:
    """Import so many months of a company, each by itself.

    Each month's answer is the document that was imported.

    Returns:
        The seconds that each took, and those that this process computed meanwhile.
    """
    seconds, computed = [], []
    for told in company.reports(FIRST, months):
        begun, begun_to_compute = time.monotonic(), time.process_time()
        await import_(told)
        seconds.append(time.monotonic() - begun)
        computed.append(time.process_time() - begun_to_compute)
        assert await rest(told["reportDate"]) == documented(told)
    return seconds, computed


def documented(told: Json) -> Json:
    """A newer document as it is answered to `reportMonth`: as an older one."""
    listed = [
        {key: said for key, said in each.items() if key not in {"experimentCount", "dataLoggedMb"}}
        for each in told["users"]["licensedUsers"]
    ]
    return {**told, "users": {**told["users"], "licensedUsers": listed}}


@pytest.mark.parametrize("newer", [False, True])
async def test_two_months_of_some_workspaces_come_back_and_verify(
    database: Database, import_: ImportReports, rest: RestClient, newer: bool
) -> None:
    await imported(Company(20, 400, newer=newer), 2, import_, rest)

    organization_id = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
    assert (await verify_month(database, organization_id, FIRST.plus(1))).differences == []


@pytest.mark.long
@pytest.mark.timeout(1_800)
async def test_a_year_of_a_large_organization(
    import_: ImportReports, rest: RestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures in docs/import-report.md: `make import-large` prints them."""
    tune_gc()  # As every command does.
    seconds, computed = await imported(Company(1_000, 20_000), 12, import_, rest)

    first, *later = seconds
    with capsys.disabled():
        sys.stdout.write(
            f"\nfirst month {first:.0f} s, others {min(later):.0f} to {max(later):.0f} s, "
            f"all {sum(seconds):.0f} s; {_most_megabytes():.0f} MB at most\n"
        )
    # A month takes what it brings, and a little more for each month before it.
    assert max(computed[1:]) < 2 * computed[0]


def _most_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
