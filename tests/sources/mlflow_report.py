"""Helpers that import from MLflow and read the resulting report."""

from datetime import UTC, datetime
from typing import Any

from app.clock import system_clock
from app.connectors.mlflow.options import MlflowOptions
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.months import Month
from app.services.mlflow import import_mlflow
from app.services.organizations import find_organization
from app.services.sources import ActiveSourceRun, SourceRunState, list_source_runs
from tests.conftest import FixedClock, GraphQLClient

MIB = 1024 * 1024
REPORT = """
query ($month: Month!, $organization: String) {
  chargebackReport(month: $month, organization: $organization) {
    numberOfExperiments unmeasuredExperiments totalSizeBytes
    workspaces {
      name numberOfExperiments totalSizeBytes
      members { userName email numberOfExperiments totalSizeBytes }
      formerMembers { userName numberOfExperiments totalSizeBytes }
      projects { name numberOfExperiments totalSizeBytes }
    }
    users { licensedUsers { username email deletedAt uiUsageCount sdkUsageCount } }
  }
}
"""


async def run_import(
    database: Database,
    organization: str = DEFAULT_ORGANIZATION,
    name: str = "mlflow",
    **options: Any,
) -> ActiveSourceRun:
    """Run the source once and return the run."""
    found = await find_organization(database, organization)
    return await import_mlflow(
        database,
        found.organization_id,
        name,
        MlflowOptions(**options),
        clock=system_clock,
        progress=lambda *_: None,
    )


async def read_last_run(database: Database, name: str = "mlflow") -> SourceRunState:
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    return (await list_source_runs(database, found.organization_id, name))[0]


async def read_report(
    graphql: GraphQLClient, clock: FixedClock, organization: str = DEFAULT_ORGANIZATION
) -> Any:
    """Return this month's report at the real time, because MLflow's clock cannot be set."""
    clock.now = datetime.now(UTC)
    month = str(Month.containing(clock.now))
    return (await graphql(REPORT, month=month, organization=organization))["chargebackReport"]


def sizes_by_workspace(report: Any) -> dict[str, Any]:
    """Return the number of experiments and MiB of each project and member, by workspace."""
    return {
        workspace["name"]: {
            kind: {
                each[key]: (each["numberOfExperiments"], each["totalSizeBytes"] / MIB)
                for each in workspace[kind]
            }
            for kind, key in (
                ("projects", "name"),
                ("members", "userName"),
                ("formerMembers", "userName"),
            )
        }
        for workspace in report["workspaces"]
    }


def uses_by_user(report: Any) -> dict[str, tuple[int | None, int | None]]:
    """Return the UI and SDK uses, by user."""
    return {
        user["username"]: (user["uiUsageCount"], user["sdkUsageCount"])
        for user in report["users"]["licensedUsers"]
    }
