"""Processes of the service: start one with a channel to it, stop it, wait before a restart."""

import asyncio
import math
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from typing import Self

from app import __version__
from app.server.ingest_worker.channel import Channel

_STOP_SECONDS = 10.0
VERSION_MISMATCH = 3
"""The exit status of a process that found the files of another version."""
# Every version's program must begin with this check: an upgrade may have replaced the files.
_PROGRAM = f"""
import sys
sys.path[:] = {{path!r}}
from app import __version__
if __version__ != {__version__!r}:
    sys.exit({VERSION_MISMATCH})
from {{module}} import main
main()
"""


class WorkerProcess:
    """A worker process and our end of the channel to it."""

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.process, self.channel = process, channel

    @classmethod
    async def start(cls, module: str, descriptors: Sequence[int] = ()) -> Self:
        """Start a process. It is ready after about a second; messages wait in the channel.

        It gets our import path: `python -m` would put the current directory first, which may hold
        an unrelated `app.py`.

        Args:
            module: The module whose `main` it runs. Its arguments are the file descriptors of its
                end of the channel, and of `descriptors`.
            descriptors: Further file descriptors that it inherits.
        """
        async with AsyncExitStack() as cleanup:
            ours, theirs = socket.socketpair()
            cleanup.callback(ours.close)
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-c",
                    _PROGRAM.format(path=sys.path, module=module),
                    *map(str, (theirs.fileno(), *descriptors)),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno(), *descriptors],
                    start_new_session=True,  # Ctrl-C must reach only us; we stop the worker.
                )
            cleanup.push_async_callback(kill, process)
            channel = await Channel.open(ours)
            cleanup.pop_all()
        return cls(process, channel)

    async def stop(self, seconds: float = _STOP_SECONDS) -> None:
        """Close the channel, upon which the worker finishes and exits; kill it after a timeout."""
        self.channel.close()
        try:
            async with asyncio.timeout(seconds):
                await self.process.wait()
        except TimeoutError:
            await kill(self.process)


async def kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process and wait for its end."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


class Backoff:
    """Exponential backoff between restarts; it resets once a worker has lived for a while."""

    def __init__(self) -> None:
        self._last_seconds = 0.0
        self._last_at = -math.inf

    def next(self, now: float) -> float:
        """Return how many seconds to wait before the restart that is due at `now`, in seconds."""
        exited_early = now - self._last_at < self._last_seconds + _MAX_SECONDS
        self._last_at = now
        self._last_seconds = min(2 * self._last_seconds, _MAX_SECONDS) if exited_early else 1.0
        return self._last_seconds


_MAX_SECONDS = 10.0
"""The longest wait, and the lifetime that resets it. A start costs a second of CPU time."""
