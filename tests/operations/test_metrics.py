"""Metrics, and their use in the documentation, the dashboard and the alerts."""

import re
from pathlib import Path
from typing import Any

import httpx
import orjson
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from app.db.engine import Database
from app.observability.metrics import Metrics
from app.services.group_commit import GroupCommitIngestor
from tests.conftest import Feed, FixedClock, GraphQLClient, event

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARD = ROOT / "deploy/grafana/dashboard.json"
PREFIX = "chargeback_"


async def samples(client: httpx.AsyncClient, key: str) -> dict[tuple[str, str], float]:
    """Return sample values by metric and labels, written as `name=value,…`."""
    answer = await client.get("/metrics", headers={"Authorization": key})
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_requests_are_counted_by_route_root_field_and_status(
    graphql: GraphQLClient, client: httpx.AsyncClient
) -> None:
    await graphql("query Mine { viewer { username } }")
    await graphql("{ viewer { username } months { month } }")
    await graphql.execute("{ nothing }")
    await client.get("/nowhere/at/all")

    found = await samples(client, graphql.key)

    requests = {
        labels: n for (name, labels), n in found.items() if name == f"{PREFIX}http_requests_total"
    }
    assert requests == {
        "operation=graphql:viewer,status=200": 1,
        "operation=graphql:several,status=200": 1,
        "operation=graphql,status=200": 1,
        "operation=none,status=404": 1,
    }
    assert found[f"{PREFIX}http_request_duration_seconds_count", "operation=graphql:viewer"] == 1
    assert found[f"{PREFIX}errors_total", "code=INVALID_QUERY"] == 1
    assert found[f"{PREFIX}http_requests_in_progress", ""] == 1  # This one.


async def test_statements_and_their_rows_are_counted(
    graphql: GraphQLClient, client: httpx.AsyncClient, feed: Feed
) -> None:
    await feed(*(event("workspace.upserted", "2026-09-01T00:00:00Z", name=name) for name in "abc"))
    await graphql('{ chargebackReport(month: "2026-09") { workspaces { name } } }')

    found = await samples(client, graphql.key)

    # The report's row, and three workspaces.
    report = "operation=graphql:chargebackReport"
    assert found[f"{PREFIX}db_queries_total", report] == 2
    assert found[f"{PREFIX}db_rows_total", report] == 1 + 3
    assert found[f"{PREFIX}db_query_duration_seconds_count", ""] >= 2


async def test_events_and_ingestion_lag_are_measured(
    graphql: GraphQLClient, client: httpx.AsyncClient, clock: FixedClock
) -> None:
    line = event("workspace.upserted", "2026-09-30T23:59:59Z", name="a")
    sent: dict[str, Any] = {
        "content": line,
        "headers": {
            "Authorization": graphql.key,
            "Content-Type": "application/cloudevents+json",
        },
    }
    await client.post("/api/events", **sent)
    await client.post("/api/events", **sent)
    await client.post("/api/events", **{**sent, "content": b"{}"})
    clock.now = clock.now.replace(minute=10)  # Ten minutes later.

    found = await samples(client, graphql.key)

    assert found[f"{PREFIX}ingest_events_total", "outcome=accepted"] == 1
    assert found[f"{PREFIX}ingest_events_total", "outcome=duplicate"] == 1
    assert found[f"{PREFIX}ingest_events_total", "outcome=rejected"] == 1
    assert found[f"{PREFIX}ingest_lag_seconds", "organization=default"] == 600
    # 2026-09-30T23:59:59Z
    assert found[f"{PREFIX}ingest_latest_event_timestamp_seconds", "organization=default"] == (
        1_790_812_799
    )


async def test_month_closes_are_reflected_in_metrics(
    graphql: GraphQLClient, client: httpx.AsyncClient, feed: Feed
) -> None:
    await feed(event("workspace.upserted", "2026-08-01T00:00:00Z", name="a"))
    labels = "organization=default"

    before = await samples(client, graphql.key)
    await graphql(
        'mutation { closeMonth(month: "2026-09", expected: ["2026-08", "2026-09"]) { month } }'
    )
    after = await samples(client, graphql.key)

    # It is November: August, September and October have ended.
    assert before[f"{PREFIX}unclosed_months", labels] == 3
    assert after[f"{PREFIX}unclosed_months", labels] == 1
    assert before[f"{PREFIX}closed_through_timestamp_seconds", labels] == 0
    # 2026-10-01T00:00:00Z
    assert after[f"{PREFIX}closed_through_timestamp_seconds", labels] == 1_790_812_800


SUFFIX = {"counter": "_total", "info": "_info"}


def families() -> dict[str, tuple[str, str]]:
    """Return type and description of each metric by its name in queries."""
    database = Database("postgresql://")
    return {
        each.name + SUFFIX.get(each.type, ""): (each.type, each.documentation)
        for each in Metrics(database, GroupCommitIngestor(database)).registry.collect()
    }


def test_documented_metrics_match_the_registry() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `(chargeback_\w+)(?:\{\w+(?:, \w+)*\})?` \| (\w+) \| (.*) \|$", text, re.MULTILINE
    )

    assert {name: (kind, words) for name, kind, words in rows} == {
        name: described for name, described in families().items() if name.startswith(PREFIX)
    }


def metrics_in_query(query: str) -> set[str]:
    """Return the metrics in a PromQL query, without histogram suffixes."""
    names = re.findall(r"\b(?:chargeback|process)_\w+\b", promql_parser.parse(query).prettify())
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    board = orjson.loads(DASHBOARD.read_bytes())
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_alerts_query_existing_metrics_and_have_a_description(rule: dict[str, Any]) -> None:
    assert metrics_in_query(rule["expr"]) <= set(families())
    assert metrics_in_query(rule["expr"]) or rule["expr"] == 'up{job="chargeback"} == 0'
    assert set(rule["annotations"]) == {"summary", "description"}
    assert rule["labels"]["severity"] in {"critical", "warning"}


def metrics_of_panel(panel: dict[str, Any]) -> set[str]:
    """Return the metrics in a panel's queries, with Grafana's variables replaced."""
    queries = [
        target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".+")
        for target in panel["targets"]
    ]
    return set().union(*map(metrics_in_query, queries))


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_panels_query_existing_metrics(panel: dict[str, Any]) -> None:
    assert panel["description"]
    assert metrics_of_panel(panel)
    assert metrics_of_panel(panel) <= set(families())


def test_the_dashboard_shows_every_metric() -> None:
    ours = {name for name in families() if name.startswith(PREFIX)}

    assert ours <= set().union(*map(metrics_of_panel, panels()))
