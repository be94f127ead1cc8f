"""Source configuration: workspace rules, the sources file, and rejected options."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.clock import system_clock
from app.connectors.mlflow.mapping import WorkspaceRule
from app.connectors.mlflow.options import MlflowOptions
from app.connectors.mlflow.records import MlflowExperiment
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument, SourceUnavailable
from app.services.mlflow import import_mlflow
from app.services.organizations import find_organization
from app.services.source_config import find_due_sources, read_source_configs
from app.services.sources import list_source_runs, open_source_run
from tests.conftest import NOW, FixedClock


def experiment(name: str, workspace: str = "default", **tags: str) -> MlflowExperiment:
    return MlflowExperiment("1", name, workspace, None, None, "", tags)


@pytest.mark.parametrize(
    ("rule", "mlflow_experiment", "project"),
    [
        ("workspace", experiment("a", "vision"), ("vision", "a")),
        ("tag:team", experiment("a", team="speech"), ("speech", "a")),
        ("tag:team", experiment("a"), ("rest", "a")),
        ("prefix", experiment("vision/seg/a"), ("vision", "seg/a")),
        ("prefix:--", experiment("vision--seg"), ("vision", "seg")),
        ("prefix", experiment("seg"), ("rest", "seg")),
        ("prefix", experiment("/seg"), ("rest", "/seg")),
        ("prefix", experiment("vision/"), ("rest", "vision/")),
    ],
)
def test_a_rule_finds_the_workspace(
    rule: str, mlflow_experiment: MlflowExperiment, project: tuple[str, str]
) -> None:
    assert WorkspaceRule.parse(rule, "rest").resolve_project(mlflow_experiment) == project


def test_the_first_pattern_of_a_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "workspaces.toml"
    file.write_text('[workspaces]\n"seg-*" = "vision"\n"*-asr" = "speech"\n')
    rule = WorkspaceRule.parse(f"file:{file}", "rest")

    found = [
        rule.resolve_project(experiment(name)).workspace for name in ("seg-asr", "my-asr", "asr")
    ]

    assert found == ["vision", "speech", "rest"]


@pytest.mark.parametrize("rule", ["", "tag", "tag:", "workspace:x", "file:", "file:/none", "x"])
def test_an_invalid_rule_is_rejected(rule: str) -> None:
    with pytest.raises(InvalidArgument, match="workspace-from"):
        WorkspaceRule.parse(rule)


def test_a_sources_file_is_read_with_its_options(tmp_path: Path) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(
        '[tracking]\nkind = "mlflow"\nevery = "6h"\nstore = "sqlite:////x.db"\nparallel = 4\n'
        '[other]\nkind = "mlflow"\norganization = "lab"\ntracking-url = "http://x"\n'
    )

    tracking, other = read_source_configs(file)

    assert (tracking.name, tracking.organization) == ("tracking", "default")
    assert tracking.every == timedelta(hours=6)
    assert tracking.options == MlflowOptions(store="sqlite:////x.db", parallel=4)
    assert (other.organization, other.every) == ("lab", None)
    assert other.options.tracking_url == "http://x"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "cannot be read"),
        ("source = 1", "must be a table"),
        ("[a]", "kind must be 'mlflow'; got None"),
        ('[a]\nkind = "csv"', "kind must be 'mlflow'; got 'csv'"),
        ('[a]\nkind = "mlflow"\nevery = "soon"', "every must be like 30m, 6h or 1d; got 'soon'"),
        ('[a]\nkind = "mlflow"\nevery = 5', "every must be like"),
        ('[a]\nkind = "mlflow"\nstorre = "x"', "must not have the field `storre`"),
        ('[a]\nkind = "mlflow"\nparallel = 0', "parallel"),
    ],
)
def test_an_invalid_sources_file_is_rejected(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "sources.toml"
    file.write_text(line)

    with pytest.raises(InvalidArgument, match=message) as rejected:
        read_source_configs(file)

    assert str(file) in str(rejected.value)


async def test_a_source_is_due_once_its_interval_has_passed(
    database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "sources.toml"
    file.write_text('[a]\nkind = "mlflow"\nevery = "1h"\n[b]\nkind = "mlflow"\n')
    configs = read_source_configs(file)
    organization = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id

    async def due(minutes: int) -> list[str]:
        now = NOW + timedelta(minutes=minutes)
        return [each.name for each in await find_due_sources(database, configs, now)]

    assert await due(0) == ["a"]
    async with open_source_run(database, organization, "a", kind="mlflow", clock=FixedClock(NOW)):
        pass
    assert (await due(59), await due(60)) == ([], ["a"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--store URL, or --tracking-url URL"),
        ({"store": "oracle://x"}, "must be PostgreSQL, MySQL or SQLite"),
        ({"store": "nonsense"}, "The database must be a URL such as"),
        ({"store": "sqlite:////no/such.db"}, "no such file"),
        ({"tracking_url": "ftp://x"}, "must be an address such as"),
        ({"tracking_url": "http://127.0.0.1:1"}, "cannot be read"),
        ({"store": "postgresql://u:secret@127.0.0.1:1/x"}, "cannot be read"),
    ],
)
async def test_an_unreadable_source_fails_with_the_reason_and_without_the_password(
    database: Database, options: dict[str, Any], message: str
) -> None:
    organization = (await find_organization(database, DEFAULT_ORGANIZATION)).organization_id
    with pytest.raises((InvalidArgument, SourceUnavailable), match=message):
        await import_mlflow(
            database,
            organization,
            "tracking",
            MlflowOptions(**options),
            clock=system_clock,
            progress=lambda *_: None,
        )

    (run,) = await list_source_runs(database, organization, "tracking")
    assert run.outcome == "FAILED"
    assert run.error is not None
    assert message in run.error
    assert "secret" not in run.error
