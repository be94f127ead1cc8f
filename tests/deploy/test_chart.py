"""The Helm chart: linted and rendered by the real Helm SDK, checked by the Kubernetes schemas."""

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
"""Of Kubernetes: from the chart's oldest to the newest of which there are schemas."""
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
"""Every setting that no other value gives, with what is not its default."""

COMBINATIONS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "the documented values": {
        "backend": {"chargebackUsageReportEnabled": False, "adminUserList": ["ada", "b@x.example"]}
    },
    "a claim of one's own": {"persistence": {"existingClaim": "reports"}},
    "a database by secret": EXTERNAL,
    "a database by URL": {"database": {"url": "postgresql://u:p@db:5432/reports"}},
    "a PostgreSQL for trials": {
        "postgresql": {"enabled": True, "storageClassName": "fast"},
        "networkPolicy": {"enabled": True, "egress": [{"to": [{"podSelector": {}}]}]},
    },
    "without migration": {**EXTERNAL, "migration": {"enabled": False}},
    "several": {
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


def rendered(values: dict[str, Any], *, name: str = "reports") -> list[dict[str, Any]]:
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


def one(documents: list[dict[str, Any]], kind: str, component: str = "") -> dict[str, Any]:
    (found,) = (
        document
        for document in documents
        if document["kind"] == kind and component in document["metadata"]["name"]
    )
    return found


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {
        entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]
    }


def backend(documents: list[dict[str, Any]]) -> dict[str, Any]:
    (container,) = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


@pytest.mark.parametrize("name", COMBINATIONS)
def test_lint_has_no_finding(name: str) -> None:
    report = helm.lint(CHART, COMBINATIONS[name], strict=True)

    # Helm recommends an icon; there is none.
    found = [entry["error"] for entry in report["messages"] if entry["severity"] > 1]
    assert (found, report["errors"]) == ([], [])


@pytest.mark.parametrize("name", COMBINATIONS)
def test_what_is_rendered_fits_the_schemas_of_every_kubernetes(name: str) -> None:
    documents = rendered(COMBINATIONS[name])

    for document in documents:
        if document["apiVersion"].startswith("monitoring.coreos.com/"):
            continue  # Prometheus's own kind, of which Kubernetes has no schema.
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_no_pod_is_root_or_writes_outside_its_volumes(name: str) -> None:
    for document in rendered(COMBINATIONS[name]):
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
    found = environment(backend(rendered(COMBINATIONS["the documented values"])))

    assert found == {
        "CHARGEBACK_USAGE_REPORT_ENABLED": "false",
        "ADMIN_USER_LIST": "ada,b@x.example",
    }


def test_settings_and_secrets_reach_the_service() -> None:
    found = environment(backend(rendered(COMBINATIONS["everything"])))

    mounts = backend(rendered(COMBINATIONS["everything"]))["volumeMounts"]
    assert {"name": "sources", "mountPath": "/etc/chargeback"} in mounts
    assert found["HTTPS_PROXY"] == "http://proxy:3128"
    assert found["DATABASE_URL"] == {"secretKeyRef": {"name": "reports-db", "key": "DATABASE_URL"}}
    assert found["METRICS_TOKEN"] == {"secretKeyRef": {"name": "metrics", "key": "token"}}


def test_every_setting_can_be_set_and_is_read_as_it_was_written() -> None:
    values = {**COMBINATIONS["everything"], "backend": {"settings": SETTINGS}}
    values["metrics"] = {"tokenSecret": "metrics"}
    found = environment(backend(rendered(values)))
    read = Settings(
        **{name.lower(): value for name, value in found.items() if name in SETTINGS}
        | {"sources_file": None}
    ).model_dump(mode="json")

    assert set(found) == {name.upper() for name in Settings.model_fields}
    written = {name.lower(): value for name, value in SETTINGS.items()}
    written |= {"sources_file": None, "trusted_proxies": ["10.0.0.0/8", "127.0.0.1/32"]}
    assert {name: read[name] for name in written} == written
    assert found["SOURCES_FILE"] == SETTINGS["SOURCES_FILE"]


@pytest.mark.parametrize(
    "name", ["a", 53 * "r", "reports-of-the-whole-company-in-europe-and-africa"]
)
def test_names_are_as_long_as_kubernetes_takes_them(name: str) -> None:
    documents = rendered({**COMBINATIONS["everything"], "postgresql": {}}, name=name)
    documents += rendered(COMBINATIONS["a PostgreSQL for trials"], name=name)

    longest = {"CronJob": 52, "StatefulSet": 52}
    for document in documents:
        found = document["metadata"]["name"]
        assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", found)
        assert len(found) <= longest.get(document["kind"], 63)
    jobs = [each["metadata"]["name"] for each in documents if each["kind"] == "CronJob"]
    assert len(jobs) == len(set(jobs)) == 5


def test_another_url_of_the_database_replaces_the_pods() -> None:
    one_url, another = (
        one(rendered({"database": {"url": f"postgresql://u:p@{host}/reports"}}), "Deployment")
        for host in ("db", "other")
    )

    assert one_url["spec"]["template"]["metadata"] != another["spec"]["template"]["metadata"]


def test_its_own_store_is_on_a_volume_that_no_two_pods_share() -> None:
    documents = rendered({})
    spec = one(documents, "Deployment")["spec"]

    assert spec["strategy"] == {"type": "Recreate"}
    (data,) = (
        volume for volume in spec["template"]["spec"]["volumes"] if volume["name"] == "data"
    )
    assert data["persistentVolumeClaim"] == {"claimName": "reports-chargeback"}
    kept = one(documents, "PersistentVolumeClaim")["metadata"]["annotations"]
    assert kept == {"helm.sh/resource-policy": "keep"}


def test_the_schema_is_upgraded_before_the_pods_are_replaced() -> None:
    job = one(rendered(EXTERNAL), "Job")

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["db", "upgrade", "--lock-timeout", "30"]
    assert not [document for document in rendered({}) if document["kind"] == "Job"]


def test_months_are_closed_per_organization_and_connectors_run_on_schedule() -> None:
    documents = rendered(COMBINATIONS["everything"])
    close = one(documents, "CronJob", "close-default")["spec"]
    connector = one(documents, "CronJob", "mlflow")["spec"]

    (container,) = close["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert close["schedule"] == "0 6 5 * *"
    assert container["command"][-1] == "default"
    assert connector["concurrencyPolicy"] == "Forbid"
    (container,) = connector["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["import-mlflow", "--help"]


def test_a_budget_is_made_only_where_there_are_several() -> None:
    kinds = [document["kind"] for document in rendered(EXTERNAL)]

    assert "PodDisruptionBudget" not in kinds
    assert (
        one(rendered(COMBINATIONS["several"]), "PodDisruptionBudget")["spec"]["minAvailable"]
        == "50%"
    )


def test_metrics_are_asked_for_with_the_token() -> None:
    (endpoint,) = one(rendered(COMBINATIONS["everything"]), "ServiceMonitor")["spec"]["endpoints"]

    assert endpoint["authorization"] == {"credentials": {"name": "metrics", "key": "token"}}


def test_helm_test_asks_the_service_by_its_name() -> None:
    pod = one(rendered({}), "Pod")

    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["containers"][0]["command"][-1] == "http://reports-chargeback:80"


def test_helm_test_passes_against_a_service(tmp_path: Path) -> None:
    """Its pod's own command; no cluster is here to run the pod."""
    words = one(rendered({}), "Pod")["spec"]["containers"][0]["command"]
    with ServerProcess(tmp_path, arguments=()) as server:
        asked = subprocess.run((*words[:-1], server.url), capture_output=True, check=True)
    nobody = subprocess.run((*words[:-1], server.url), capture_output=True, check=False)

    assert asked.stdout.decode().splitlines()[0] == "/readyz 200 {'status': 'ready'}"
    assert nobody.returncode == 1


def test_the_job_that_closes_months_closes_the_month_before(tmp_path: Path) -> None:
    """Its pod's own command, too."""
    job = one(rendered(COMBINATIONS["everything"]), "CronJob", "close-default")["spec"]
    (container,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    programs = f"{Path(sys.executable).parent}:{os.defpath}"
    setting = clean_environment(CHARGEBACK_DATA_DIR=str(tmp_path), PATH=programs)
    demo = (
        "chargeback generate --months 3 --users 5 --until $(date -u +%Y-%m) | chargeback import -"
    )
    subprocess.run(("sh", "-ec", demo), env=setting, check=True, capture_output=True)

    closed = subprocess.run(container["command"], env=setting, check=True, capture_output=True)

    first = datetime.now(UTC).replace(day=1)
    assert closed.stdout.decode().strip().endswith(f"{first - timedelta(days=1):%Y-%m}")


@pytest.mark.parametrize(
    ("values", "said"),
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
def test_a_wrong_value_is_refused_with_where_and_why(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm.HelmValuesError) as refused:
        rendered(values)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"backend": {"replicas": 2}}, "Several replicas need a PostgreSQL"),
        ({"autoscaling": {"enabled": True}}, "Several replicas need a PostgreSQL"),
        ({"monthClose": {"enabled": True}}, "CronJobs need a PostgreSQL"),
        ({**EXTERNAL, "postgresql": {"enabled": True}}, "Choose one PostgreSQL"),
        ({"metrics": {"serviceMonitor": {"enabled": True}}}, "set metrics.tokenSecret"),
        ({**EXTERNAL, "connectors": 2 * [CONNECTOR]}, "Two connectors have the same name."),
    ],
)
def test_values_that_do_not_go_together_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(helm.HelmRenderError) as refused:
        rendered(values)

    assert said in str(refused.value)


def test_the_chart_is_of_this_version() -> None:
    with helm.Chart.load(CHART) as chart:
        assert chart.metadata["appVersion"] == chart.version == __version__


def test_the_documents_values_are_values() -> None:
    for page in ("docs/install/kubernetes.md", "docs/sources.md"):
        for block in blocks(page):
            if block.language == "yaml":
                assert rendered({**EXTERNAL, **yaml.safe_load(block.text)})
