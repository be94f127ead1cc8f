"""The image, built by buildah from the Dockerfile and run by a real container runtime.

Debian's packages of debootstrap, buildah, podman, catatonit and runc are needed, and root: `make
deploy`.
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
ALONE = ("--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
IMAGE, CONTAINER, VOLUME = "localhost/chargeback-test", "chargeback-test", "chargeback-test"
EVENT = (
    '{"specversion":"1.0","id":"1","source":"/test","type":"user.upserted",'
    '"time":"2026-09-01T00:00:00Z","data":{"username":"ann","email":"ann@x.example"}}'
)

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1_800)]  # A whole image is built.


def podman(*words: str, standard_input: str = "", status: int = 0) -> str:
    ended = subprocess.run(
        (*PODMAN, *words), input=standard_input, capture_output=True, text=True, check=False
    )
    assert ended.returncode == status, (words, ended.stdout, ended.stderr)
    return ended.stdout.strip()


def inside(*words: str, standard_input: str = "", status: int = 0) -> str:
    return podman("exec", "-i", CONTAINER, *words, standard_input=standard_input, status=status)


def run(*words: str) -> None:
    """As the Dockerfile's first lines say, without a network: nothing outside is asked for."""
    mounts = ("--read-only", "--tmpfs", "/tmp", "--volume", f"{VOLUME}:/var/lib/chargeback")  # noqa: S108  the container's
    podman("run", "-d", "--name", CONTAINER, *ALONE, *mounts, IMAGE, *words)


def healthy() -> None:
    """The image's own health check, until it passes."""
    for _ in range(60):
        check = (*PODMAN, "healthcheck", "run", CONTAINER)
        if subprocess.run(check, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.5)
    pytest.fail(podman("logs", CONTAINER))


def image() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(podman("inspect", IMAGE))[0]
    return found


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    subprocess.run(
        (ROOT / "deploy/build-image.sh", IMAGE.removeprefix("localhost/")),
        check=True,
        capture_output=True,
    )


@pytest.fixture
def service() -> Iterator[None]:
    run()
    yield
    podman("rm", "--force", "--time", "0", CONTAINER)
    podman("volume", "rm", VOLUME)


def test_it_is_small_not_root_and_starts_chargeback() -> None:
    config = image()["Config"]

    assert image()["Size"] < 270_000_000
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["chargeback"]
    assert list(config["Volumes"]) == ["/var/lib/chargeback"]
    assert list(config["ExposedPorts"]) == ["8000/tcp"]


@pytest.mark.usefixtures("service")
def test_it_serves_from_a_read_only_root_as_an_ordinary_user() -> None:
    healthy()

    assert inside("id", "-u") == "10001"
    inside("touch", "/opt/chargeback/x", "/etc/x", "/x", status=1)
    inside("python", "-m", "pip", status=1)
    assert inside("chargeback", "--version") == inside("python", "-m", "app", "--version")


@pytest.mark.usefixtures("service")
def test_what_was_stored_survives_kill_9_and_a_new_container() -> None:
    healthy()
    stored = inside("chargeback", "import", "-", standard_input=EVENT)
    podman("kill", "--signal", "KILL", CONTAINER)
    podman("rm", CONTAINER)
    run()
    healthy()

    assert stored == "accepted 1, duplicates 0"
    again = inside("chargeback", "import", "-", standard_input=EVENT)
    assert again == "accepted 0, duplicates 1"


@pytest.mark.usefixtures("service")
def test_sigterm_ends_it_cleanly_and_postgres_with_it() -> None:
    healthy()
    begun = time.monotonic()
    podman("stop", "--time", "30", CONTAINER)

    assert podman("inspect", "--format", "{{.State.ExitCode}}", CONTAINER) == "0"
    assert time.monotonic() - begun < 15


@pytest.fixture
def docker(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which podman is `docker`, without a network and with our image."""
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


def test_the_page_s_own_lines_start_it_and_make_a_key(docker: dict[str, str]) -> None:
    (block,) = commands("docs/install/container.md")
    ended = subprocess.run(
        ("sh", "-euc", block), env=docker, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stderr
    key = ended.stdout.splitlines()[-1].removeprefix("API key: ")
    asked = ("exec", "chargeback", "python", "-c", ASK, key)
    assert podman(*asked) == "200"


ASK = (
    "import sys, urllib.request as web\n"
    "ask = web.Request('http://127.0.0.1:8000/api/admin/chargeback/report',\n"
    "                  headers={'Authorization': sys.argv[1]})\n"
    "print(web.urlopen(ask).status)\n"
)


def test_a_bad_setting_ends_it_with_one_line() -> None:
    ended = subprocess.run(
        (*PODMAN, "run", "--rm", *ALONE, "--env", "SESSION_LIFETIME_HOURS=never", IMAGE),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(
        "Error: SESSION_LIFETIME_HOURS='never' is not allowed"
    )
