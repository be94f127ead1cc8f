"""Lock files that elect the one owner of an embedded server."""

import fcntl
import os
import sys
from pathlib import Path
from typing import BinaryIO


class ServerLocks:
    """The lock of the owner process, and the lock that PostgreSQL inherits.

    An owner can end while its server is still stopping. Other processes do not attach to that
    server, and the next owner waits for its end. A server that outlives its owner (not on Linux)
    can be attached to.
    """

    def __init__(self, folder: Path) -> None:
        self._owner = _open_private_file(folder / "owner")
        self._is_owner = False
        self.server = _open_private_file(folder / "server")

    def acquire(self) -> bool:
        """Try to become the owner; return whether that succeeded and no earlier server runs."""
        if not _try_lock(self._owner):
            return False
        self._is_owner = True
        is_free = _try_lock(self.server)
        if is_free or sys.platform == "linux":
            self.announce("")
        return is_free

    def announce(self, socket_folder: str) -> None:
        """Tell other processes where the server's socket is; "" when there is none."""
        self._owner.truncate(0)
        self._owner.seek(0)
        self._owner.write(os.fsencode(socket_folder))

    def read_announcement(self) -> str:
        """Return the folder of the server's socket, or "" when no server can be attached to."""
        self._owner.seek(0)
        return os.fsdecode(self._owner.read())

    def resign(self) -> None:
        """Give up the ownership before the server stops, so that no process attaches to it."""
        if self._is_owner:
            self.announce("")
        self._owner.close()

    def close(self) -> None:
        """Release both locks."""
        self._owner.close()
        self.server.close()


def _open_private_file(path: Path) -> BinaryIO:
    """Open a file for this user only. Another user who locked it could block every start."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
