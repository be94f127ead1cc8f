"""Install and run a real MLflow in its own virtual environment."""

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


def install_mlflow(name: str = "mlflow") -> Path:
    """Install MLflow from `requirements/<name>.lock` and return the folder of its programs.

    The installation is kept until the lock file changes.
    """
    lock, environment = ROOT / f"requirements/{name}.lock", ROOT / ".venvs" / name
    programs, marker = environment / "bin", environment / ".installed"
    if not marker.exists() or marker.read_text() != lock.read_text():
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        installer = [str(programs / "pip"), "install", "--disable-pip-version-check"]
        if uv := shutil.which("uv"):
            installer = [uv, "pip", "install", "--python", str(programs / "python")]
        options = ("--quiet", "--require-hashes", "-r", str(lock))
        subprocess.run([*installer, *options], check=True, timeout=_INSTALL_SECONDS)
        marker.write_text(lock.read_text())
    return programs


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _environment(**additional: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    return inherited | quiet | additional


@contextmanager
def run_process(
    command: list[object], log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for the length of the block; kill it with its children afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(argument) for argument in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(**environment),
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        # A server's workers are its children and stop slowly, so kill the process group.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


@contextmanager
def run_server(command: list[object], url: str, log: Path, **environment: str) -> Iterator[None]:
    """Run a server for the length of the block; the block starts when the server answers."""
    with run_process(command, log, **environment) as process:
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
    """Run an MLflow server with basic auth on SQLite and a local folder; yield its address."""
    port = free_port()
    (folder / "auth.ini").write_text(
        "[mlflow]\n"
        "default_permission = EDIT\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        "admin_username = admin\n"
        f"admin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        "grant_default_workspace_access = true\n"
        # Password checks are slow by design, so cache them.
        "auth_cache_ttl_seconds = 600\n"
    )
    (folder / "artifacts").mkdir()
    command = [
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
    with run_server(command, f"{address}/health", folder / "mlflow.log", **secrets):
        yield address


def run_scene(programs: Path, scene: str, tracking: str, **environment: str) -> dict[str, str]:
    """Run a scene of `mlflow_client.py` and return the ids that it logged."""
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
    """Delete runs permanently with `mlflow gc`."""
    workspace_settings = {"MLFLOW_ENABLE_WORKSPACES": "true", "MLFLOW_WORKSPACE": workspace or ""}
    command: list[Any] = [
        *(programs / "mlflow", "gc", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", folder / "artifacts", "--run-ids", ",".join(run_ids)),
    ]
    done = subprocess.run(
        command,
        env=_environment(
            MLFLOW_TRACKING_URI=tracking,
            MLFLOW_TRACKING_USERNAME="admin",
            MLFLOW_TRACKING_PASSWORD=PASSWORD,
            **(workspace_settings if workspace else {}),
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def mariadb(program: str, folder: Path) -> Iterator[str]:
    """Run a MariaDB without access control; yield the URL of an empty database."""
    folder.mkdir()
    port = free_port()
    server: list[object] = [
        *(program, "--no-defaults", f"--datadir={folder}", f"--socket={folder}/socket"),
        *(f"--port={port}", "--bind-address=127.0.0.1", f"--user={getpass.getuser()}"),
        "--skip-grant-tables",
    ]
    with run_process(server, folder.parent / "mariadb.log"):
        connection = _connect(port)
        with connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE tracking")
        connection.close()
        yield f"mysql+pymysql://root@127.0.0.1:{port}/tracking"


def _connect(port: int) -> Any:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            return pymysql.connect(host="127.0.0.1", port=port, user="root")
        except pymysql.err.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
