"""The audit suite of the npm package graphql-http against the running service."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.server_process import ServerProcess

SUITE = Path(__file__).parent / "graphql_http"
PACKAGES = ("package.json", "package-lock.json")


@pytest.fixture(scope="module")
def suite() -> Path:
    """The audit suite, installed into a folder that is kept between runs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        reason = "The audits need Node.js: install the system's packages nodejs and npm."
        # A required check must not pass because a program is missing.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    size = (SUITE / "package-lock.json").stat().st_size
    folder = Path(tempfile.gettempdir()) / f"chargeback-graphql-http-{size}-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for name in (*PACKAGES, "audit.mjs"):
        shutil.copy(SUITE / name, folder / name)
    if not (folder / "node_modules").exists():
        words = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        subprocess.run(words, cwd=folder, check=True, timeout=200)
    return folder


def test_every_audit_of_graphql_over_http_passes(suite: Path, service: ServerProcess) -> None:
    ran = subprocess.run(
        ("node", "audit.mjs", f"{service.url}/graphql"),
        cwd=suite,
        env={"PATH": os.environ["PATH"], "KEY": service.key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    results: list[dict[str, Any]] = json.loads(ran.stdout)

    assert [each for each in results if each["status"] != "ok"] == []
    assert len(results) == 61
