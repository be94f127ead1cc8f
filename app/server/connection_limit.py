"""Bound the open connections, so that nobody can use up the process's file descriptors."""

import resource
import time
from collections import OrderedDict
from collections.abc import Callable

from app.observability.logs import log

_RESERVED_FILES = 200
"""File descriptors for the store, sources, static files and the ingest worker."""
_MAX_CONNECTIONS = 10_000
_HEALTH_CHECKS = 16
"""Connections beyond the limit, which only health checks may use."""
_WARNING_SECONDS = 60.0


class ConnectionLimit:
    """Tracks connections; at the limit, a new one replaces the one that waited longest.

    A connection waits while its client has not sent a complete request: it is idle, its head or
    its body is incomplete, or the rest of a body arrives that nobody reads. Connections whose
    request is being answered are never replaced. If all are, health checks still get in.

    Args:
        limit: The maximum number of connections.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._abort: dict[object, Callable[[], None]] = {}
        self._waiting: OrderedDict[object, None] = OrderedDict()
        self._warned_at = -_WARNING_SECONDS

    def __len__(self) -> int:
        return len(self._abort)

    def add(self, connection: object, abort: Callable[[], None]) -> bool:
        """Add a connection, which waits; return whether it may send more than health checks."""
        has_room = len(self._abort) < self._limit or self._replace_longest_waiting()
        self._abort[connection] = abort
        self._waiting[connection] = None
        if len(self._abort) > self._limit + _HEALTH_CHECKS:
            self.remove(connection)
            abort()
        return has_room

    def mark_waiting(self, connection: object) -> None:
        """Note that a connection waits for its client from now on."""
        if connection in self._abort:
            self._waiting[connection] = None
            self._waiting.move_to_end(connection)

    def mark_working(self, connection: object) -> None:
        """Note that a connection's request is complete and being answered."""
        self._waiting.pop(connection, None)

    def remove(self, connection: object) -> None:
        """Forget a closed connection."""
        self._abort.pop(connection, None)
        self._waiting.pop(connection, None)

    def _replace_longest_waiting(self) -> bool:
        """Abort the connection that has been waiting longest; return whether there was one."""
        self._warn()
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        abort = self._abort[longest]
        self.remove(longest)
        abort()
        return True

    def _warn(self) -> None:
        now = time.monotonic()
        if now - self._warned_at >= _WARNING_SECONDS:
            self._warned_at = now
            log.warning(
                "connection limit reached",
                extra={"limit": self._limit, "waiting": len(self._waiting)},
            )


def choose_connection_limit() -> int:
    """Return how many connections this process's limit of open files leaves for clients."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return min(max(files - _RESERVED_FILES, files // 2), _MAX_CONNECTIONS)
