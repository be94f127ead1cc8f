"""The deployment files pass the linter of their format."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from app import __version__

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.deploy


def test_the_dockerfile_has_no_findings() -> None:
    completed = subprocess.run(
        (BIN / "hadolint", ROOT / "Dockerfile"), capture_output=True, text=True, check=False
    )

    assert (completed.returncode, completed.stdout) == (0, "")


@pytest.fixture(scope="module")
def dclint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install dclint, which checks Compose files against the schema of the specification."""
    folder = tmp_path_factory.mktemp("dclint")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / "tests/deploy/compose" / name, folder)
    words = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    subprocess.run(words, cwd=folder, check=True)
    return folder / "node_modules/.bin/dclint"


def test_the_compose_file_has_no_findings(dclint: Path) -> None:
    words = ("--max-warnings", "0", ROOT / "deploy/compose/compose.yaml")
    completed = subprocess.run((dclint, *words), capture_output=True, text=True, check=False)

    assert (completed.returncode, completed.stdout.strip()) == (0, "")


def test_the_compose_linter_reports_an_unknown_key(dclint: Path, tmp_path: Path) -> None:
    compose = (ROOT / "deploy/compose/compose.yaml").read_text()
    (tmp_path / "compose.yaml").write_text(compose.replace("read_only:", "readonly:"))

    words = ("--max-warnings", "0", tmp_path / "compose.yaml")
    completed = subprocess.run((dclint, *words), capture_output=True, text=True, check=False)

    assert completed.returncode == 1
    assert "must NOT have additional properties" in completed.stdout


def test_the_compose_file_mounts_existing_files_and_uses_this_version() -> None:
    folder = ROOT / "deploy/compose"
    compose = yaml.safe_load((folder / "compose.yaml").read_text())

    mounts = [
        mount.split(":")[0]
        for service in compose["services"].values()
        for mount in service.get("volumes", ())
        if mount.startswith(".")
    ]
    assert len(mounts) == 5
    assert [mount for mount in mounts if not (folder / mount).exists()] == []
    assert compose["services"]["chargeback"]["image"].endswith(f":-{__version__}}}")


def test_prometheus_in_compose_differs_from_the_example_only_in_its_target() -> None:
    alone = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())
    composed = yaml.safe_load((ROOT / "deploy/compose/prometheus.yaml").read_text())

    composed["scrape_configs"][0]["static_configs"] = alone["scrape_configs"][0]["static_configs"]
    assert composed == alone
