"""Older MLflow versions: no workspaces, no roles, no logged models (`make mlflow-versions`)."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.db.engine import Database
from tests.conftest import FixedClock, GraphQLClient
from tests.sources.mlflow_install import (
    PASSWORD,
    collect_garbage,
    install_mlflow,
    mlflow_server,
    run_scene,
)
from tests.sources.mlflow_report import (
    read_last_run,
    read_report,
    run_import,
    sizes_by_workspace,
    uses_by_user,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

# In MiB: ann's runs have 1 + 0.5 and 0.25; bob's have 2, and 1 in speech from a model that he
# logged. carl logged nothing, but may read speech/asr.
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
# bob logged two runs and three traces; in MLflow 2 the traces do not name him.
BOB_USES = {"mlflow-2.22": 2, "mlflow-3.1": 5}
SKIPPED = {"mlflow-2.22": ["3 traces of experiment asr"], "mlflow-3.1": []}
# b was collected with its 0.25; a is deleted but keeps its bytes; e has 0.5. carl lost his
# permission.
NEXT_SIZES = {
    "default": FIRST_SIZES["default"],
    "speech": {"projects": {"asr2": (1, 1)}, "members": {"bob": (1, 1)}, "formerMembers": {}},
    "vision": {
        "projects": {"segmentation": (3, 4)},
        "members": {"ann": (2, 2), "bob": (1, 2)},
        "formerMembers": {},
    },
}


def without_carl(found: dict[str, Any]) -> dict[str, Any]:
    """Return the sizes as read over REST: older servers list no users, so carl is unknown."""
    return {
        name: {
            **workspace,
            "members": {k: v for k, v in workspace["members"].items() if k != "carl"},
        }
        for name, workspace in found.items()
    }


@pytest.mark.parametrize("version", BOB_USES)
async def test_an_older_mlflow_is_imported_from_its_database_and_over_rest(
    database: Database,
    graphql: GraphQLClient,
    clock: FixedClock,
    other_organization: str,
    tmp_path: Path,
    version: str,
) -> None:
    programs = install_mlflow(version)
    rule = {"workspace_from": "prefix"}
    with mlflow_server(programs, tmp_path, workspaces=False) as address:
        ids = run_scene(programs, "older_month", address)
        by_database = rule | {
            "store": f"sqlite:///{tmp_path}/mlflow.db",
            "auth_store": f"sqlite:///{tmp_path}/auth.db",
            "artifacts_destination": str(tmp_path / "artifacts"),
        }
        by_rest = rule | {"tracking_url": address.replace("://", f"://admin:{PASSWORD}@")}

        await run_import(database, **by_database)

        found = await read_report(graphql, clock)
        assert sizes_by_workspace(found) == FIRST_SIZES
        users = {"admin": 0, "ann": 2, "bob": BOB_USES[version], "carl": 0}
        assert uses_by_user(found) == {name: (None, count) for name, count in users.items()}
        skipped = [each.item for each in (await read_last_run(database)).skipped]
        assert skipped == SKIPPED[version]
        again = await run_import(database, **by_database)
        assert (again.total.accepted, again.total.duplicates) == (0, 0)

        rest = await run_import(database, other_organization, **by_rest)
        found = await read_report(graphql, clock, other_organization)
        assert sizes_by_workspace(found) == without_carl(FIRST_SIZES)
        assert uses_by_user(found) == {name: (None, users[name]) for name in ("ann", "bob")}
        # One more item says that users are not listed.
        assert rest.skipped_count == len(skipped) + 1

        ids = run_scene(programs, "older_next_month", address, LOGGED=json.dumps(ids))
        collect_garbage(programs, tmp_path, address, ids["b"])

        await run_import(database, **by_database)
        await run_import(database, other_organization, **by_rest)

        assert sizes_by_workspace(await read_report(graphql, clock)) == NEXT_SIZES
        assert sizes_by_workspace(
            await read_report(graphql, clock, other_organization)
        ) == without_carl(NEXT_SIZES)
