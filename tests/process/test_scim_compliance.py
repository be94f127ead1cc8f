"""The running service passes the compliance suite `scim2-tester`."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import ServerProcess

LOCK = Path(__file__).parents[2] / "requirements/scim.lock"
CHECKS = """
import json, sys
from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import check_server

url, key = sys.argv[1:]
http = Client(base_url=f"{url}/scim/v2", headers={"Authorization": f"Bearer {key}"}, timeout=60)
print(json.dumps([
    [each.status.name, each.title, each.resource_type, each.reason or ""]
    for each in check_server(SyncSCIMClient(http))
]))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter with the suite, in a virtual environment that later runs reuse."""
    folder = Path(tempfile.gettempdir()) / f"chargeback-scim-{LOCK.stat().st_size}-{os.getuid()}"
    program = folder / "bin/python"
    if not (folder / "bin/httpx2").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        words = ("-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK))
        subprocess.run((program, *words), check=True, timeout=280)
    return program


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("scim")) as server:
        yield server


def test_every_check_of_the_compliance_suite_succeeds(
    python: Path, service: ServerProcess
) -> None:
    completed = subprocess.run(
        (python, "-c", CHECKS, service.url, service.key),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )

    assert completed.returncode == 0, completed.stderr
    checks = json.loads(completed.stdout)
    assert [check for check in checks if check[0] != "SUCCESS"] == []
    # Discovery, creation, reading, search, filters, PUT, PATCH of each attribute, deletion.
    assert len(checks) == 75
