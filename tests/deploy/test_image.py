"""The image, built from the Dockerfile by buildah and run by podman.

`make deploy` runs these tests. They need root and Debian's packages debootstrap, buildah, podman,
catatonit and runc.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.documents.pages import commands

ROOT = Path(__file__).parents[2]
PODMAN = ("podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs")
ISOLATION = ("--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
IMAGE, CONTAINER, VOLUME = "localhost/chargeback-test", "chargeback-test", "chargeback-test"
EVENT = (
    '{"specversion":"1.0","id":"1","source":"/test","type":"user.upserted",'
    '"time":"2026-09-01T00:00:00Z","data":{"username":"ann","email":"ann@x.example"}}'
)

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1_800)]  # Builds a whole image.


def podman(*words: str, standard_input: str = "", status: int = 0) -> str:
    completed = subprocess.run(
        (*PODMAN, *words), input=standard_input, capture_output=True, text=True, check=False
    )
    assert completed.returncode == status, (words, completed.stdout, completed.stderr)
    return completed.stdout.strip()


def run_inside(*words: str, standard_input: str = "", status: int = 0) -> str:
    return podman("exec", "-i", CONTAINER, *words, standard_input=standard_input, status=status)


def start_container(*words: str) -> None:
    """Start the container as in the Dockerfile's first lines, but without a network."""
    mounts = ("--read-only", "--tmpfs", "/tmp", "--volume", f"{VOLUME}:/var/lib/chargeback")  # noqa: S108  the container's
    podman("run", "-d", "--name", CONTAINER, *ISOLATION, *mounts, IMAGE, *words)


def wait_until_healthy() -> None:
    """Repeat the image's health check until it passes."""
    for _ in range(60):
        check = (*PODMAN, "healthcheck", "run", CONTAINER)
        if subprocess.run(check, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.5)
    pytest.fail(podman("logs", CONTAINER))


def inspect_image() -> dict[str, Any]:
    image: dict[str, Any] = json.loads(podman("inspect", IMAGE))[0]
    return image


@pytest.fixture(scope="module", autouse=True)
def build_image() -> None:
    subprocess.run(
        (ROOT / "deploy/build-image.sh", IMAGE.removeprefix("localhost/")),
        check=True,
        capture_output=True,
    )


@pytest.fixture
def service() -> Iterator[None]:
    start_container()
    yield
    podman("rm", "--force", "--time", "0", CONTAINER)
    podman("volume", "rm", VOLUME)


def test_the_image_is_small_unprivileged_and_starts_chargeback() -> None:
    image = inspect_image()
    config = image["Config"]

    assert image["Size"] < 270_000_000
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["chargeback"]
    assert list(config["Volumes"]) == ["/var/lib/chargeback"]
    assert list(config["ExposedPorts"]) == ["8000/tcp"]


@pytest.mark.usefixtures("service")
def test_the_container_serves_from_a_read_only_root_as_an_ordinary_user() -> None:
    wait_until_healthy()

    assert run_inside("id", "-u") == "10001"
    run_inside("touch", "/opt/chargeback/x", "/etc/x", "/x", status=1)
    run_inside("python", "-m", "pip", status=1)
    assert run_inside("chargeback", "--version") == run_inside("python", "-m", "app", "--version")


@pytest.mark.usefixtures("service")
def test_stored_events_survive_kill_9_and_a_new_container() -> None:
    wait_until_healthy()
    stored = run_inside("chargeback", "import", "-", standard_input=EVENT)
    podman("kill", "--signal", "KILL", CONTAINER)
    podman("rm", CONTAINER)
    start_container()
    wait_until_healthy()

    assert stored == "accepted 1, duplicates 0"
    again = run_inside("chargeback", "import", "-", standard_input=EVENT)
    assert again == "accepted 0, duplicates 1"


@pytest.mark.usefixtures("service")
def test_sigterm_stops_the_service_and_its_postgresql_cleanly() -> None:
    wait_until_healthy()
    started = time.monotonic()
    podman("stop", "--time", "30", CONTAINER)

    assert podman("inspect", "--format", "{{.State.ExitCode}}", CONTAINER) == "0"
    assert time.monotonic() - started < 15


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which `docker` runs podman, without a network and with our image."""
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\nexec {" ".join(PODMAN)} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "containers.conf").write_text(
        '[containers]\nnetns = "none"\ninit_path = "/usr/bin/catatonit"\n'
        'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
    )
    (tmp_path / "registries.conf").write_text(f'[aliases]\nchargeback = "{IMAGE}"\n')
    yield {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CONTAINERS_CONF": str(tmp_path / "containers.conf"),
        "CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf"),
    }
    podman("rm", "--force", "--time", "0", "chargeback")
    podman("volume", "rm", "--force", "chargeback")


def test_the_documented_commands_start_a_container_and_create_a_key(
    docker: dict[str, str],
) -> None:
    (block,) = commands("docs/install/container.md")
    completed = subprocess.run(
        ("sh", "-euc", block), env=docker, capture_output=True, text=True, check=False
    )

    assert completed.returncode == 0, completed.stderr
    key = completed.stdout.splitlines()[-1].removeprefix("API key: ")
    assert podman("exec", "chargeback", "python", "-c", REQUEST_REPORT, key) == "200"


REQUEST_REPORT = (
    "import sys, urllib.request as web\n"
    "request = web.Request('http://127.0.0.1:8000/api/admin/chargeback/report',\n"
    "                      headers={'Authorization': sys.argv[1]})\n"
    "print(web.urlopen(request).status)\n"
)


def test_an_invalid_setting_stops_the_container_with_one_error_line() -> None:
    completed = subprocess.run(
        (*PODMAN, "run", "--rm", *ISOLATION, "--env", "SESSION_LIFETIME_HOURS=never", IMAGE),
        capture_output=True,
        text=True,
        check=False,
    )

    assert completed.returncode == 1
    assert completed.stderr.splitlines()[-1].startswith(
        "Error: SESSION_LIFETIME_HOURS='never' is not allowed"
    )
