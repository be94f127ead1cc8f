"""A real MLflow in an environment of its own, and what it is run with."""

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pymysql

ROOT = Path(__file__).parents[2]
CLIENT = Path(__file__).with_name("mlflow_client.py")
PASSWORD = "correct-horse-battery"
_INSTALL_SECONDS = 280
_START_SECONDS = 120


def installed(name: str = "mlflow") -> Path:
    """The programs of the MLflow that `requirements/<name>.lock` says, kept until that changes."""
    lock, environment = ROOT / f"requirements/{name}.lock", ROOT / ".venvs" / name
    programs, done = environment / "bin", environment / ".installed"
    if not done.exists() or done.read_text() != lock.read_text():
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        installer = [str(programs / "pip"), "install", "--disable-pip-version-check"]
        if uv := shutil.which("uv"):
            installer = [uv, "pip", "install", "--python", str(programs / "python")]
        words = ("--quiet", "--require-hashes", "-r", str(lock))
        subprocess.run([*installer, *words], check=True, timeout=_INSTALL_SECONDS)
        done.write_text(lock.read_text())
    return programs


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _environment(**further: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    return kept | quiet | further


@contextmanager
def started(
    words: list[object], log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for the length of the block, with what it starts itself."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            [str(word) for word in words],
            stdout=written,
            stderr=subprocess.STDOUT,
            env=_environment(**environment),
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # A server's workers are children of its own, and in no hurry: the group ends with it.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


@contextmanager
def running(words: list[object], url: str, log: Path, **environment: str) -> Iterator[None]:
    """A server for the length of the block, from when it answers on."""
    with started(words, log, **environment) as process:
        _wait_for(url, process, log)
        yield


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url, timeout=5).status_code < 500:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(log.read_text())


@contextmanager
def mlflow_server(programs: Path, folder: Path, *, workspaces: bool = True) -> Iterator[str]:
    """A server with basic auth, and with workspaces or not, on SQLite and a folder; its address.

    The version of MLflow is that of the programs.
    """
    port = free_port()
    (folder / "auth.ini").write_text(
        "[mlflow]\n"
        "default_permission = EDIT\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        "admin_username = admin\n"
        f"admin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "grant_default_workspace_access = true\n"
        # Checking a password costs as much as it should; once is enough here.
        "auth_cache_ttl_seconds = 600\n"
    )
    (folder / "artifacts").mkdir()
    words = [
        *(programs / "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", 1),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", folder / "artifacts"),
        *("--app-name", "basic-auth", *(["--enable-workspaces"] if workspaces else [])),
    ]
    secrets = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
    }
    address = f"http://127.0.0.1:{port}"
    with running(words, f"{address}/health", folder / "mlflow.log", **secrets):
        yield address


def log(programs: Path, scene: str, tracking: str, **environment: str) -> dict[str, str]:
    """Play a scene of `mlflow_client.py`; the ids of what it logged."""
    done = subprocess.run(
        (programs / "python", CLIENT, scene),
        env=_environment(MLFLOW_TRACKING_URI=tracking, **environment),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = (each for each in done.stdout.splitlines() if each.startswith("IDS "))
    ids: dict[str, str] = json.loads(line.removeprefix("IDS "))
    return ids


def collect_garbage(
    programs: Path, folder: Path, tracking: str, *run_ids: str, workspace: str | None = None
) -> None:
    """Delete runs that are in the bin for good, as `mlflow gc` does."""
    within = {"MLFLOW_ENABLE_WORKSPACES": "true", "MLFLOW_WORKSPACE": workspace or ""}
    words: list[Any] = [
        *(programs / "mlflow", "gc", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", folder / "artifacts", "--run-ids", ",".join(run_ids)),
    ]
    done = subprocess.run(
        words,
        env=_environment(
            MLFLOW_TRACKING_URI=tracking,
            MLFLOW_TRACKING_USERNAME="admin",
            MLFLOW_TRACKING_PASSWORD=PASSWORD,
            **(within if workspace else {}),
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def mariadb(program: str, folder: Path) -> Iterator[str]:
    """A MariaDB of the test's own, which knows no users; the URL of an empty database in it."""
    folder.mkdir()
    port = free_port()
    server: list[object] = [
        *(program, "--no-defaults", f"--datadir={folder}", f"--socket={folder}/socket"),
        *(f"--port={port}", "--bind-address=127.0.0.1", f"--user={getpass.getuser()}"),
        "--skip-grant-tables",
    ]
    with started(server, folder.parent / "mariadb.log"):
        connection = _connected(port)
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE tracking")
        connection.close()
        yield f"mysql+pymysql://root@127.0.0.1:{port}/tracking"


def _connected(port: int) -> Any:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return pymysql.connect(host="127.0.0.1", port=port, user="root")
        except pymysql.err.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
