"""The unmodified client `cometx` works with the running service."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.server_process import ServerProcess, run_command

LOCK = Path(__file__).parents[2] / "requirements/cometx.lock"
REPORT = """
query ($month: Month!) {
  chargebackReport(month: $month) {
    reportDate
    workspaces {
      name numberOfMembers totalSizeInMb numberOfExperiments
      members { userName email numberOfExperiments totalSizeInMb }
      projects { name numberOfExperiments totalSizeInMb }
    }
    users { numberOfUsers licensedUsers { username email uiUsageCount sdkUsageCount suspended } }
  }
}
"""


@pytest.fixture(scope="module")
def cometx() -> Path:
    """The client, installed in a virtual environment that later runs reuse."""
    folder = Path(tempfile.gettempdir()) / f"chargeback-cometx-{LOCK.stat().st_size}-{os.getuid()}"
    program = folder / "bin/cometx"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        words = ("install", "--quiet", "--require-hashes", "-r", str(LOCK))
        subprocess.run((folder / "bin/pip", *words), check=True, timeout=280)
    return program


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("cometx")) as server:
        yield server


def run_client(
    cometx: Path, folder: Path, *words: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        (cometx, *words),
        cwd=folder,
        env={"HOME": str(folder), "PATH": os.environ["PATH"], "COMET_INTERNAL_SENTRY_DSN": ""}
        | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def fetch_report(service: ServerProcess, month: str) -> dict[str, Any]:
    response = httpx.post(
        f"{service.url}/graphql",
        headers={"Authorization": service.key},
        json={"query": REPORT, "variables": {"month": month}},
    )
    report: dict[str, Any] = response.json()["data"]["chargebackReport"]
    return report


def assert_same_figures(document: dict[str, Any], report: dict[str, Any]) -> None:
    assert document["reportDate"] == report["reportDate"]
    assert document["workspaces"] == report["workspaces"]
    users = report["users"]
    assert document["users"]["numberOfUsers"] == users["numberOfUsers"]
    keys = ("username", "email", "uiUsageCount", "sdkUsageCount", "suspended")
    licensed = [{key: user[key] for key in keys} for user in document["users"]["licensedUsers"]]
    assert licensed == users["licensedUsers"]
    assert licensed != []


def test_the_client_saves_the_report_of_a_month(
    cometx: Path, service: ServerProcess, tmp_path: Path
) -> None:
    client = run_client(
        cometx,
        tmp_path / "home",
        *("admin", "chargeback-report", "2026-09"),
        COMET_API_KEY=service.key,
        COMET_URL_OVERRIDE=f"{service.url}/clientlib/",
    )

    assert client.returncode == 0, client.stdout + client.stderr
    document = json.loads((tmp_path / "home/comet-chargeback-report-2026-09.json").read_text())
    assert_same_figures(document, fetch_report(service, "2026-09"))
    assert "createdAt" not in document["users"]["licensedUsers"][0]


def test_a_report_that_the_client_saved_can_be_imported_elsewhere(
    cometx: Path, service: ServerProcess, tmp_path: Path
) -> None:
    saved = run_client(
        cometx,
        tmp_path / "home",
        *("admin", "chargeback-report", "2026-09"),
        COMET_API_KEY=service.key,
        COMET_URL_OVERRIDE=f"{service.url}/clientlib/",
    )
    assert saved.returncode == 0, saved.stdout + saved.stderr
    file = tmp_path / "home/comet-chargeback-report-2026-09.json"

    imported = run_command("import-report", str(file), data_dir=tmp_path / "moved")

    assert imported.stdout == "2026-09: closed as its report states\n", imported.stderr
    printed = run_command("report", "2026-09", "--format", "json", data_dir=tmp_path / "moved")
    assert json.loads(printed.stdout) == json.loads(file.read_text())


def test_the_client_finds_the_service_from_the_long_form_of_a_key(
    cometx: Path, service: ServerProcess, tmp_path: Path
) -> None:
    created = run_command(
        *("keys", "create", "--user", "ada.admin", "--long-form", service.url),
        data_dir=service.data_dir,
    )
    long_form = created.stdout.split("Long form: ")[1].strip()

    client = run_client(
        cometx,
        tmp_path / "home",
        *("admin", "chargeback-report"),
        COMET_API_KEY=long_form,
    )

    assert client.returncode == 0, client.stdout + client.stderr
    document = json.loads((tmp_path / "home/comet-chargeback-report.json").read_text())
    assert_same_figures(document, fetch_report(service, document["reportDate"]))
    assert {"createdAt", "lastUsedAt", "emLastUsedAt", "experimentCount", "dataLoggedMb"} <= set(
        document["users"]["licensedUsers"][0]
    )


def test_the_client_prints_the_error_message_of_the_service(
    cometx: Path, service: ServerProcess, tmp_path: Path
) -> None:
    client = run_client(
        cometx,
        tmp_path / "home",
        *("admin", "chargeback-report", "2099-01"),
        COMET_API_KEY=service.key,
        COMET_URL_OVERRIDE=f"{service.url}/clientlib/",
    )

    assert client.returncode != 0
    assert "2099-01 is in the future" in client.stdout + client.stderr
