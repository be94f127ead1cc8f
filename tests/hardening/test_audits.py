"""The running service passes the audit suite of the npm package graphql-http."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.npm_packages import install_npm_packages
from tests.server_process import ServerProcess

SUITE = Path(__file__).parent / "graphql_http"


@pytest.fixture(scope="module")
def suite() -> Path:
    """The folder of the audit suite with its packages installed."""
    return install_npm_packages(SUITE)


def test_every_audit_of_graphql_over_http_passes(suite: Path, service: ServerProcess) -> None:
    completed = subprocess.run(
        ("node", "audit.mjs", f"{service.url}/graphql"),
        cwd=suite,
        env={"PATH": os.environ["PATH"], "KEY": service.key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    results: list[dict[str, Any]] = json.loads(completed.stdout)

    assert [each for each in results if each["status"] != "ok"] == []
    assert len(results) == 61
