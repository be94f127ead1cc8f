"""Throttle authentication: clients that send many bad API keys must wait."""

import asyncio
import ipaddress
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

MAX_FAILURES = 20
_WINDOW = timedelta(minutes=5)
_TURN_SECONDS = 0.2
_MAX_KEYS_PER_TURN = 1_000
_MAX_ENTRIES = 10_000


@dataclass(slots=True)
class _Failures:
    """The bad keys of one network since `started_at`."""

    started_at: datetime
    count: int = 0


@dataclass(slots=True)
class _Turn:
    """The keys of a throttled network that are looked up together."""

    begins: asyncio.Event = field(default_factory=asyncio.Event)
    key_count: int = 0


class AuthThrottle:
    """Counts bad keys by client network, in this process.

    A network that exceeds the limit gets 429 for bad keys. Meanwhile, keys that were valid before
    are accepted at once. Others are looked up together, a few times a second, so that a valid key
    is only delayed, however many bad ones its network sends. Memory is bounded: the least recently
    added networks and keys are dropped.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._valid_keys: OrderedDict[bytes, None] = OrderedDict()
        self._turns: dict[str, _Turn] = {}

    def record_failure(self, network: str, now: datetime) -> int:
        """Count a bad key; return the number of bad keys in the current window."""
        failures = self._current_failures(network, now)
        if failures is None:
            failures = self._failures[network] = _Failures(now)
            _drop_oldest(self._failures)
        failures.count += 1
        return failures.count

    def record_success(self, key_digest: bytes) -> None:
        """Remember a valid key by its digest."""
        self._valid_keys[key_digest] = None
        self._valid_keys.move_to_end(key_digest)
        _drop_oldest(self._valid_keys)

    def retry_after(self, network: str, now: datetime) -> timedelta | None:
        """Return how long the network must wait; None if it is not throttled."""
        failures = self._current_failures(network, now)
        if failures is None or failures.count <= MAX_FAILURES:
            return None
        return failures.started_at + _WINDOW - now

    async def wait_for_turn(self, network: str, key_digest: bytes) -> bool:
        """Wait until a key of a throttled network may be looked up; False if too many wait."""
        if key_digest in self._valid_keys:
            return True
        turn = self._turns.get(network)
        if turn is None:
            turn = self._turns[network] = _Turn()
            asyncio.get_running_loop().call_later(_TURN_SECONDS, self._begin_turn, network)
        if turn.key_count >= _MAX_KEYS_PER_TURN:
            return False
        turn.key_count += 1
        await turn.begins.wait()
        return True

    def _begin_turn(self, network: str) -> None:
        self._turns.pop(network).begins.set()

    def _current_failures(self, network: str, now: datetime) -> _Failures | None:
        failures = self._failures.get(network)
        if failures is not None and not timedelta() <= now - failures.started_at < _WINDOW:
            del self._failures[network]
            return None
        return failures


def _drop_oldest(entries: "OrderedDict[Any, Any]") -> None:
    while len(entries) > _MAX_ENTRIES:
        entries.popitem(last=False)


@lru_cache(maxsize=_MAX_ENTRIES)
def client_network(address: str | None) -> str:
    """Return the network that a client controls: its IPv4 address, or its IPv6 /64 network."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
