"""`make run` works in a fresh clone with an empty environment."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.documents.doc_shell import find_free_port, wait_for_port
from tests.documents.pages import PAGES, ROOT, commands, needs_clone

EMPTY = {"PATH": os.defpath}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "chargeback"
    subprocess.run(("git", "clone", "--quiet", ROOT, folder), check=True)
    return folder


@pytest.mark.pages
@pytest.mark.timeout(900)  # Installs all wheels.
@pytest.mark.parametrize(
    "line",
    [
        re.sub(r"\s+#.*", "", line)
        for page in PAGES
        for block in commands(page)
        if needs_clone(block)
        for line in block.splitlines()
        if line.startswith("make run")
    ],
)
def test_make_run_installs_serves_and_prints_a_key_that_works(
    line: str, clone: Path, tmp_path: Path
) -> None:
    port = find_free_port()
    line = re.sub(" PORT=[0-9]+|$", f" PORT={port}", line, count=1).replace(
        "/srv/demo", str(tmp_path)
    )
    log = tmp_path / "log"
    with log.open("wb") as output:
        service = subprocess.Popen(
            ("sh", "-c", f"exec {line}"),
            cwd=clone,
            env=EMPTY,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for_port(port, service, log)
        while not (key := re.search(r"^API key: (\S+)$", log.read_text(), re.MULTILINE)):
            time.sleep(0.1)
        response = httpx.get(
            f"http://127.0.0.1:{port}/api/admin/chargeback/report",
            headers={"Authorization": key[1]},
        )
    finally:
        os.killpg(service.pid, signal.SIGINT)  # Like Ctrl-C in a terminal.
        service.wait(60)

    assert response.status_code == 200
    assert response.json()["workspaces"]
