"""Build reports as another service would write them, and import them."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from app.connectors.reports.document import read_report
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.services.imported_reports import ImportedMonth, import_reports
from app.services.organizations import find_organization
from tests.conftest import FixedClock

CREATED = 1_500_000_000_000
"""14 July 2017, in milliseconds: before any report here."""
Json = dict[str, Any]


def stocks(experiments: int = 0, size: float = 0.0) -> Json:
    return {"numberOfExperiments": experiments, "totalSizeInMb": size}


def member(name: str, experiments: int = 0, size: float = 0.0, email: str | None = None) -> Json:
    return {"userName": name, "email": email or f"{name}@x.test", **stocks(experiments, size)}


def project(name: str, experiments: int = 0, size: float = 0.0) -> Json:
    return {"name": name, **stocks(experiments, size)}


def workspace(
    name: str,
    members: Sequence[Json] = (),
    projects: Sequence[Json] = (),
    experiments: int = 0,
    size: float = 0.0,
) -> Json:
    return {
        "name": name,
        "numberOfMembers": len(members),
        "totalSizeInMb": size,
        "numberOfExperiments": experiments,
        "members": list(members),
        "projects": list(projects),
    }


def user(name: str, **stated: Any) -> Json:
    return {
        "username": name,
        "email": f"{name}@x.test",
        "created_at": CREATED,
        "uiUsageCount": 0,
        "uiUsageUpdateTs": 0,
        "sdkUsageCount": 0,
        "sdkUsageUpdateTs": 0,
        "suspended": False,
        **stated,
    }


def document(month: str, workspaces: Sequence[Json] = (), users: Sequence[Json] = ()) -> Json:
    return {
        "reportDate": month,
        "workspaces": list(workspaces),
        "users": {
            "licensedUsers": list(users),
            "numberOfUsers": len(users),
            "createdAt": 1_700_000_000_123,
        },
    }


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    """Return an instant in UTC in milliseconds."""
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp() * 1000)


def compact(content: Json) -> bytes:
    """Return the document's bytes as the service writes them."""
    return orjson.dumps(content)


ImportReports = Callable[..., Awaitable[Sequence[ImportedMonth]]]


@pytest.fixture
def import_(database: Database, clock: FixedClock) -> ImportReports:
    """A function that imports documents, by default into the default organization."""

    async def run(
        *documents: Json, organization: str = DEFAULT_ORGANIZATION
    ) -> Sequence[ImportedMonth]:
        found = await find_organization(database, organization)
        reports = [
            read_report(orjson.dumps(each), f"{each['reportDate']}.json") for each in documents
        ]
        return await import_reports(database, found.organization_id, reports, clock=clock)

    return run
