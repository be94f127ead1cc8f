"""Older MLflows: no workspaces, no roles, no logged models in MLflow 2. `make mlflow-versions`."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.db.engine import Database
from tests.conftest import FixedClock, GraphQLClient
from tests.sources.mlflow_install import (
    PASSWORD,
    collect_garbage,
    installed,
    log,
    mlflow_server,
)
from tests.sources.mlflow_report import last_run, read, report, sizes, uses

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

# In MiB: ann's runs hold 1 + 0.5 and 0.25, bob's 2; and 1 in speech, by a model that he logged.
# carl logged nothing, and may read speech/asr.
FIRST_SIZES = {
    "default": {"projects": {"Default": (0, 0)}, "members": {}, "formerMembers": {}},
    "speech": {
        "projects": {"asr": (1, 1)},
        "members": {"bob": (1, 1), "carl": (0, 0)},
        "formerMembers": {},
    },
    "vision": {
        "projects": {"segmentation": (3, 3.75)},
        "members": {"ann": (2, 1.75), "bob": (1, 2)},
        "formerMembers": {},
    },
}
# bob logged two runs. His three traces say nothing of him in MLflow 2.
BOB_USES = {"mlflow-2.22": 2, "mlflow-3.1": 5}
SKIPPED = {"mlflow-2.22": ["3 traces of experiment asr"], "mlflow-3.1": []}
# b is gone with its 0.25, a in the bin with its bytes; e holds 0.5. carl may read no more.
NEXT_SIZES = {
    "default": FIRST_SIZES["default"],
    "speech": {"projects": {"asr2": (1, 1)}, "members": {"bob": (1, 1)}, "formerMembers": {}},
    "vision": {
        "projects": {"segmentation": (3, 4)},
        "members": {"ann": (2, 2), "bob": (1, 2)},
        "formerMembers": {},
    },
}


def over_rest(found: dict[str, Any]) -> dict[str, Any]:
    """The same as REST tells it: older servers list no users, so that carl is not known."""
    return {
        name: {
            **workspace,
            "members": {k: v for k, v in workspace["members"].items() if k != "carl"},
        }
        for name, workspace in found.items()
    }


@pytest.mark.parametrize("version", BOB_USES)
async def test_an_older_mlflow_is_read_by_database_and_over_rest(
    database: Database,
    graphql: GraphQLClient,
    clock: FixedClock,
    other_organization: str,
    tmp_path: Path,
    version: str,
) -> None:
    programs = installed(version)
    rule = {"workspace_from": "prefix"}
    with mlflow_server(programs, tmp_path, workspaces=False) as address:
        ids = log(programs, "older_month", address)
        by_database = rule | {
            "store": f"sqlite:///{tmp_path}/mlflow.db",
            "auth_store": f"sqlite:///{tmp_path}/auth.db",
            "artifacts_destination": str(tmp_path / "artifacts"),
        }
        by_rest = rule | {"tracking_url": address.replace("://", f"://admin:{PASSWORD}@")}

        await read(database, **by_database)

        found = await report(graphql, clock)
        assert sizes(found) == FIRST_SIZES
        users = {"admin": 0, "ann": 2, "bob": BOB_USES[version], "carl": 0}
        assert uses(found) == {name: (None, count) for name, count in users.items()}
        skipped = [each.item for each in (await last_run(database)).skipped]
        assert skipped == SKIPPED[version]
        again = await read(database, **by_database)
        assert (again.total.accepted, again.total.duplicates) == (0, 0)

        rest = await read(database, other_organization, **by_rest)
        found = await report(graphql, clock, other_organization)
        assert sizes(found) == over_rest(FIRST_SIZES)
        assert uses(found) == {name: (None, users[name]) for name in ("ann", "bob")}
        # Whom it does not list is said.
        assert rest.skipped_count == len(skipped) + 1

        ids = log(programs, "older_next_month", address, LOGGED=json.dumps(ids))
        collect_garbage(programs, tmp_path, address, ids["b"])

        await read(database, **by_database)
        await read(database, other_organization, **by_rest)

        assert sizes(await report(graphql, clock)) == NEXT_SIZES
        assert sizes(await report(graphql, clock, other_organization)) == over_rest(NEXT_SIZES)
