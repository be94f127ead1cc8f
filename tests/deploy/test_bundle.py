"""The offline bundle installs, stores events and reports without any network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app import __version__

ROOT = Path(__file__).parents[2]
NO_NETWORK = ("unshare", "--net")
EVENT = (
    b'{"specversion":"1.0","id":"1","source":"/test","type":"user.upserted",'
    b'"time":"2026-09-01T00:00:00Z","data":{"username":"ann","email":"ann@x.example"}}'
)

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]  # The bundle downloads every wheel.


def run(*words: str | Path, standard_input: bytes = b"") -> str:
    """Run a command without a network and return its output."""
    completed = subprocess.run(
        (*NO_NETWORK, *words), input=standard_input, capture_output=True, check=False
    )
    assert completed.returncode == 0, completed.stderr.decode()
    return completed.stdout.decode().strip()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the bundle with the wheels of this Python version only, and unpack it."""
    folder = tmp_path_factory.mktemp("bundle")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run(
        (sys.executable, ROOT / "tools/bundle.py", "--python", python, "--to", folder),
        check=True,
        capture_output=True,
    )
    (archive,) = folder.iterdir()
    subprocess.run(("tar", "-xzf", archive, "-C", folder), check=True)
    return Path(str(archive).removesuffix(".tar.gz"))


@pytest.fixture(scope="module")
def installed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the bundle into an empty folder, in a network namespace without a network."""
    folder = tmp_path_factory.mktemp("opt") / "chargeback"
    output = run(bundle / "install.sh", folder)
    assert output.startswith(f"Installed chargeback {__version__} into {folder}.")
    return folder


def test_the_bundle_is_complete_and_matches_its_checksums(bundle: Path) -> None:
    check = subprocess.run(
        ("sha256sum", "--check", "--quiet", "SHA256SUMS"), cwd=bundle, capture_output=True
    )

    names = {path.name for path in bundle.iterdir()}
    assert check.returncode == 0, check.stdout
    assert names >= {"wheels", "docs", "deploy", "schema.graphql", "install.sh", "README.md"}


def test_the_service_stores_and_reports_without_a_network(installed: Path, tmp_path: Path) -> None:
    chargeback = installed / "bin/chargeback"
    store = ("--data-dir", tmp_path / "store")

    assert run(chargeback, "--version") == run(installed / "bin/python", "-m", "app", "--version")
    stored = run(chargeback, "import", "-", *store, standard_input=EVENT)
    report = json.loads(run(chargeback, "report", "2026-09", "--format", "json", *store))

    assert stored == "accepted 1, duplicates 0"
    assert [user["username"] for user in report["users"]["licensedUsers"]] == ["ann"]


def test_the_bundled_contract_matches_the_installed_schema(bundle: Path, installed: Path) -> None:
    schema = run(installed / "bin/python", "-m", "schema")

    assert schema == (bundle / "schema.graphql").read_text().strip()


def test_installing_again_upgrades_in_place(bundle: Path, installed: Path) -> None:
    assert run(bundle / "install.sh", installed).startswith("Installed chargeback")


def test_building_the_same_commit_twice_gives_identical_archives(
    bundle: Path, tmp_path: Path
) -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run(
        (sys.executable, ROOT / "tools/bundle.py", "--python", python, "--to", tmp_path),
        check=True,
        capture_output=True,
    )
    (again,) = tmp_path.iterdir()

    assert again.read_bytes() == (bundle.parent / again.name).read_bytes()
