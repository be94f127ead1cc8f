"""The Helm chart passes Helm's linter, and its manifests match the Kubernetes schemas."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from app import __version__
from app.settings import Settings
from tests.documents.pages import blocks
from tests.server_process import ServerProcess, clean_environment

CHART = Path(__file__).parents[2] / "deploy/helm/chargeback"
VERSIONS = [f"1.{minor}" for minor in range(27, 38)]
"""Kubernetes versions, from the chart's oldest to the newest that has schemas."""
EXTERNAL = {"database": {"existingSecret": "reports-db"}}

pytestmark = pytest.mark.deploy

SETTINGS: dict[str, Any] = {
    "DATABASE_POOL_SIZE": 20,
    "DATABASE_SHARED_SNAPSHOTS": False,
    "DATABASE_PREPARED_STATEMENTS": False,
    "MONTH_CLOSE_AFTER_DAYS": 5,
    "EVENT_RETENTION_DAYS": 800,
    "FEED_MAX_BODY_BYTES": 67_108_864,
    "GRAPHQL_MAX_BODY_BYTES": 2_000_000,
    "GRAPHQL_MAX_TOKENS": 5_000,
    "GRAPHQL_MAX_DEPTH": 14,
    "GRAPHQL_MAX_ALIASES": 60,
    "GRAPHQL_MAX_DIRECTIVES": 200,
    "GRAPHQL_MAX_COST": 60_000_000,
    "GRAPHQL_TIMEOUT_SECONDS": 9,
    "MAX_CONCURRENT_QUERIES_PER_KEY": 40,
    "GRAPHIQL_ENABLED": False,
    "GRAPHQL_INTROSPECTION_ENABLED": False,
    "TRUSTED_PROXIES": "10.0.0.0/8,127.0.0.1/32",
    "BODY_TIMEOUT_SECONDS": 30,
    "SESSION_LIFETIME_HOURS": 8,
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "warning",
    "REQUEST_ID_HEADER": "X-Trace-Id",
    "SLOW_QUERY_SECONDS": 0.25,
    "TRACES_ENDPOINT": "http://collector:4318/v1/traces",
    "SOURCES_FILE": "/etc/chargeback/sources.toml",
}
"""Every setting without a chart value of its own, set to something other than its default."""

COMBINATIONS: dict[str, dict[str, Any]] = {
    "the defaults": {},
    "the documented values": {
        "backend": {"chargebackUsageReportEnabled": False, "adminUserList": ["ada", "b@x.example"]}
    },
    "an existing claim": {"persistence": {"existingClaim": "reports"}},
    "a database by secret": EXTERNAL,
    "a database by URL": {"database": {"url": "postgresql://u:p@db:5432/reports"}},
    "a PostgreSQL for trials": {
        "postgresql": {"enabled": True, "storageClassName": "fast"},
        "networkPolicy": {"enabled": True, "egress": [{"to": [{"podSelector": {}}]}]},
    },
    "without migration": {**EXTERNAL, "migration": {"enabled": False}},
    "several replicas": {
        **EXTERNAL,
        "backend": {"replicas": 3},
        "podDisruptionBudget": {"minAvailable": "50%"},
    },
    "everything": {
        **EXTERNAL,
        "backend": {
            "settings": SETTINGS,
            "extraVolumes": [{"name": "sources", "secret": {"secretName": "reports-sources"}}],
            "extraVolumeMounts": [{"name": "sources", "mountPath": "/etc/chargeback"}],
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "podAnnotations": {"team": "ml"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "ml", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
        },
        "image": {"repository": "registry.example/chargeback", "digest": "sha256:" + 64 * "a"},
        "imagePullSecrets": [{"name": "registry"}],
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "annotations": {"a": "b"},
            "hosts": [{"host": "reports.example"}],
            "tls": [{"secretName": "tls", "hosts": ["reports.example"]}],
        },
        "autoscaling": {"enabled": True},
        "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {}}]},
        "monthClose": {
            "enabled": True,
            "organizations": ["default", "Research_Labs", "research-labs", "Données & Modèles"],
        },
        "connectors": [
            {
                "name": "mlflow-of-the-whole-company",
                "schedule": "15 * * * *",
                "args": ["import-mlflow", "--help"],
                "extraEnv": [
                    {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
                ],
            }
        ],
        "metrics": {
            "tokenSecret": "metrics",
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        },
    },
}


CONNECTOR = {"name": "a", "schedule": "@daily", "args": ["sources", "run"]}


def render(values: dict[str, Any], *, name: str = "reports") -> list[dict[str, Any]]:
    """Return the manifests that the chart renders for these values."""
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        texts = chart.render(values, name=name, namespace="ml")
    return [
        document
        for path, text in texts.items()
        if not path.endswith(".txt")
        for document in yaml.safe_load_all(text)
        if document
    ]


def find_manifest(
    documents: list[dict[str, Any]], kind: str, component: str = ""
) -> dict[str, Any]:
    """Return the only manifest of a kind whose name contains the component."""
    (manifest,) = (
        document
        for document in documents
        if document["kind"] == kind and component in document["metadata"]["name"]
    )
    return manifest


def environment_of(container: dict[str, Any]) -> dict[str, Any]:
    return {
        entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]
    }


def backend_container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    pod = find_manifest(documents, "Deployment")["spec"]["template"]["spec"]
    container: dict[str, Any]
    (container,) = pod["containers"]
    return container


@pytest.mark.parametrize("name", COMBINATIONS)
def test_the_chart_passes_helm_lint(name: str) -> None:
    report = helm.lint(CHART, COMBINATIONS[name], strict=True)

    # Severity 1 is advice: Helm recommends an icon, and the chart has none.
    findings = [entry["error"] for entry in report["messages"] if entry["severity"] > 1]
    assert (findings, report["errors"]) == ([], [])


@pytest.mark.parametrize("name", COMBINATIONS)
def test_manifests_match_the_schemas_of_all_kubernetes_versions(name: str) -> None:
    documents = render(COMBINATIONS[name])

    for document in documents:
        if document["apiVersion"].startswith("monitoring.coreos.com/"):
            continue  # A custom resource of Prometheus; Kubernetes has no schema for it.
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_no_pod_is_root_or_writes_outside_its_volumes(name: str) -> None:
    for document in render(COMBINATIONS[name]):
        for pod in pods_of(document):
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
            for container in pod["containers"]:
                assert container["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }


def pods_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = document.get("spec", {})
    if document["kind"] == "Pod":
        return [spec]
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return [spec["template"]["spec"]] if "template" in spec else []


def test_the_documented_values_reach_the_service() -> None:
    environment = environment_of(backend_container(render(COMBINATIONS["the documented values"])))

    assert environment == {
        "CHARGEBACK_USAGE_REPORT_ENABLED": "false",
        "ADMIN_USER_LIST": "ada,b@x.example",
    }


def test_settings_and_secrets_reach_the_service() -> None:
    environment = environment_of(backend_container(render(COMBINATIONS["everything"])))

    mounts = backend_container(render(COMBINATIONS["everything"]))["volumeMounts"]
    assert {"name": "sources", "mountPath": "/etc/chargeback"} in mounts
    assert environment["HTTPS_PROXY"] == "http://proxy:3128"
    assert environment["DATABASE_URL"] == {
        "secretKeyRef": {"name": "reports-db", "key": "DATABASE_URL"}
    }
    assert environment["METRICS_TOKEN"] == {"secretKeyRef": {"name": "metrics", "key": "token"}}


def test_every_setting_reaches_the_service_unchanged() -> None:
    values = {**COMBINATIONS["everything"], "backend": {"settings": SETTINGS}}
    values["metrics"] = {"tokenSecret": "metrics"}
    environment = environment_of(backend_container(render(values)))
    parsed = Settings(
        **{name.lower(): value for name, value in environment.items() if name in SETTINGS}
        | {"sources_file": None}
    ).model_dump(mode="json")

    assert set(environment) == {name.upper() for name in Settings.model_fields}
    expected = {name.lower(): value for name, value in SETTINGS.items()}
    expected |= {"sources_file": None, "trusted_proxies": ["10.0.0.0/8", "127.0.0.1/32"]}
    assert {name: parsed[name] for name in expected} == expected
    assert environment["SOURCES_FILE"] == SETTINGS["SOURCES_FILE"]


@pytest.mark.parametrize(
    "name", ["a", 53 * "r", "reports-of-the-whole-company-in-europe-and-africa"]
)
def test_names_are_unique_and_not_too_long_for_kubernetes(name: str) -> None:
    documents = render({**COMBINATIONS["everything"], "postgresql": {}}, name=name)
    documents += render(COMBINATIONS["a PostgreSQL for trials"], name=name)

    max_lengths = {"CronJob": 52, "StatefulSet": 52}
    for document in documents:
        full_name = document["metadata"]["name"]
        assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", full_name)
        assert len(full_name) <= max_lengths.get(document["kind"], 63)
    jobs = [each["metadata"]["name"] for each in documents if each["kind"] == "CronJob"]
    assert len(jobs) == len(set(jobs)) == 5


def test_changing_the_database_url_replaces_the_pods() -> None:
    one_url, another = (
        find_manifest(
            render({"database": {"url": f"postgresql://u:p@{host}/reports"}}), "Deployment"
        )
        for host in ("db", "other")
    )

    assert one_url["spec"]["template"]["metadata"] != another["spec"]["template"]["metadata"]


def test_the_embedded_store_is_on_a_volume_that_only_one_pod_uses() -> None:
    documents = render({})
    spec = find_manifest(documents, "Deployment")["spec"]

    assert spec["strategy"] == {"type": "Recreate"}
    (data,) = (
        volume for volume in spec["template"]["spec"]["volumes"] if volume["name"] == "data"
    )
    assert data["persistentVolumeClaim"] == {"claimName": "reports-chargeback"}
    annotations = find_manifest(documents, "PersistentVolumeClaim")["metadata"]["annotations"]
    assert annotations == {"helm.sh/resource-policy": "keep"}


def test_the_schema_is_migrated_before_the_pods_are_replaced() -> None:
    job = find_manifest(render(EXTERNAL), "Job")

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["db", "upgrade", "--lock-timeout", "30"]
    assert not [document for document in render({}) if document["kind"] == "Job"]


def test_months_are_closed_per_organization_and_connectors_run_on_schedule() -> None:
    documents = render(COMBINATIONS["everything"])
    close = find_manifest(documents, "CronJob", "close-default")["spec"]
    connector = find_manifest(documents, "CronJob", "mlflow")["spec"]

    (container,) = close["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert close["schedule"] == "0 6 5 * *"
    assert container["command"][-1] == "default"
    assert connector["concurrencyPolicy"] == "Forbid"
    (container,) = connector["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["import-mlflow", "--help"]


def test_only_several_replicas_get_a_disruption_budget() -> None:
    kinds = [document["kind"] for document in render(EXTERNAL)]

    assert "PodDisruptionBudget" not in kinds
    budget = find_manifest(render(COMBINATIONS["several replicas"]), "PodDisruptionBudget")
    assert budget["spec"]["minAvailable"] == "50%"


def test_prometheus_scrapes_the_metrics_with_the_token() -> None:
    monitor = find_manifest(render(COMBINATIONS["everything"]), "ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]

    assert endpoint["authorization"] == {"credentials": {"name": "metrics", "key": "token"}}


def test_helm_test_requests_the_service_by_its_dns_name() -> None:
    pod = find_manifest(render({}), "Pod")

    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["command"][-1] == "http://reports-chargeback:80"


def test_helm_test_passes_only_if_the_service_runs(tmp_path: Path) -> None:
    """The pod's command runs here without a cluster."""
    words = find_manifest(render({}), "Pod")["spec"]["containers"][0]["command"]
    with ServerProcess(tmp_path, arguments=()) as server:
        running = subprocess.run((*words[:-1], server.url), capture_output=True, check=True)
    stopped = subprocess.run((*words[:-1], server.url), capture_output=True, check=False)

    assert running.stdout.decode().splitlines()[0] == "/readyz 200 {'status': 'ready'}"
    assert stopped.returncode == 1


def test_the_month_close_job_closes_the_previous_month(tmp_path: Path) -> None:
    """The pod's command runs here without a cluster."""
    job = find_manifest(render(COMBINATIONS["everything"]), "CronJob", "close-default")["spec"]
    (container,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    programs = f"{Path(sys.executable).parent}:{os.defpath}"
    env = clean_environment(CHARGEBACK_DATA_DIR=str(tmp_path), PATH=programs)
    demo = (
        "chargeback generate --months 3 --users 5 --until $(date -u +%Y-%m) | chargeback import -"
    )
    subprocess.run(("sh", "-ec", demo), env=env, check=True, capture_output=True)

    closed = subprocess.run(container["command"], env=env, check=True, capture_output=True)

    first = datetime.now(UTC).replace(day=1)
    assert closed.stdout.decode().strip().endswith(f"{first - timedelta(days=1):%Y-%m}")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backend": {"chargebackUsageReportEnabled": "yes"}}, "got string, want boolean"),
        ({"backend": {"adminUserList": "ada,bob"}}, "got string, want array"),
        ({"backend": {"chargebackUsageReport": True}}, "chargebackUsageReport"),
        ({"backend": {"replicas": 0}}, "minimum: got 0, want 1"),
        ({"backend": {"settings": {"session_lifetime_hours": 8}}}, "session_lifetime_hours"),
        ({"backend": {"settings": {"SESION_HOURS": 8}}}, "'SESION_HOURS' not allowed"),
        ({"backend": {"settings": {"SESSION_LIFETIME_HOURS": 0}}}, "minimum: got 0, want 1"),
        ({"backend": {"settings": {"SESSION_LIFETIME_HOURS": "8"}}}, "got string, want integer"),
        ({"backend": {"settings": {"LOG_LEVEL": "loud"}}}, "value must be one of 'debug'"),
        ({"backend": {"extraVolumes": [{"name": "data"}]}}, "extraVolumes/0/name"),
        ({"backend": {"settings": {"DATABASE_URL": "postgresql://x"}}}, "DATABASE_URL"),
        ({"database": {"url": "mysql://x"}}, "does not match pattern"),
        ({"image": {"digest": "latest"}}, "does not match pattern"),
        ({"service": {"port": 70000}}, "maximum: got 70,000, want 65,535"),
        ({"ingress": {"enabled": True}}, "minItems: got 0, want 1"),
        ({"monthClose": {"schedule": "monthly"}}, "does not match pattern"),
        ({"connectors": [{"name": "a", "schedule": "@daily"}]}, "missing property 'args'"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_an_invalid_value_is_rejected_with_its_path_and_the_reason(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(helm.HelmValuesError) as error:
        render(values)

    assert message in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"backend": {"replicas": 2}}, "Several replicas need a shared PostgreSQL"),
        ({"autoscaling": {"enabled": True}}, "Several replicas need a shared PostgreSQL"),
        ({"monthClose": {"enabled": True}}, "CronJobs need a PostgreSQL"),
        ({**EXTERNAL, "postgresql": {"enabled": True}}, "Choose one PostgreSQL"),
        ({"metrics": {"serviceMonitor": {"enabled": True}}}, "set metrics.tokenSecret"),
        ({**EXTERNAL, "connectors": 2 * [CONNECTOR]}, "Two connectors have the same name."),
    ],
)
def test_conflicting_values_are_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(helm.HelmRenderError) as error:
        render(values)

    assert message in str(error.value)


def test_the_chart_has_the_version_of_the_package() -> None:
    with helm.Chart.load(CHART) as chart:
        assert chart.metadata["appVersion"] == chart.version == __version__


def test_the_documented_values_render() -> None:
    for page in ("docs/install/kubernetes.md", "docs/sources.md"):
        for block in blocks(page):
            if block.language == "yaml":
                assert render({**EXTERNAL, **yaml.safe_load(block.text)})
