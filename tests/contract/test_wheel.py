"""The wheel contains every file of our packages, the version and the command."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from app import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        (
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--disable-pip-version-check",
            "--wheel-dir",
            str(folder),
            str(ROOT),
        ),
        check=True,
        capture_output=True,
    )
    (file,) = folder.iterdir()
    return file


def test_the_wheel_contains_every_file_of_the_packages(wheel: Path) -> None:
    contents = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        str(path.relative_to(ROOT))
        for package in ("app", "resolvers", "schema")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {"schema/schema.graphql", "app/web/static/graphiql.html"} < expected
    assert "app/db/migrations/versions/0001_initial.py" in expected
    assert "app/cli/units/chargeback.service" in expected
    assert expected - contents == set()


def test_only_the_package_states_the_version(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "app/__init__.py"}
    assert wheel.name == f"chargeback_admin_api-{__version__}-py3-none-any.whl"


def test_the_program_runs_as_a_command_and_as_a_module(wheel: Path) -> None:
    scripts = zipfile.ZipFile(wheel).read(
        f"chargeback_admin_api-{__version__}.dist-info/entry_points.txt"
    )

    assert scripts.decode().split() == ["[console_scripts]", "chargeback", "=", "app.cli:main"]
    completed = subprocess.run(
        (sys.executable, "-m", "app", "--version"), capture_output=True, text=True, check=True
    )
    assert completed.stdout.strip() == __version__
