"""Throttle authentication: clients that send many bad API keys must wait."""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

MAX_FAILURES = 20
_WINDOW = timedelta(minutes=5)
_LOOKUPS_PER_SECOND = 5
_MAX_ENTRIES = 10_000


@dataclass(slots=True)
class _Failures:
    """The bad keys of one network since `started_at`, and its key lookups while throttled."""

    started_at: datetime
    count: int = 0
    lookup_second: datetime | None = None
    lookup_count: int = 0


class AuthThrottle:
    """Counts bad keys by client network, in this process.

    A network that exceeds the limit must wait. Meanwhile, keys that were valid before are still
    accepted, and a few other keys per second are looked up, so that a client with a valid key is
    served even if it shares its network with an attacker. Memory is bounded: the least recently
    added networks and keys are dropped.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._valid_keys: OrderedDict[bytes, None] = OrderedDict()

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

    def allows_lookup(self, network: str, key_digest: bytes, now: datetime) -> bool:
        """Return whether a key of a throttled network may be looked up; count the lookup."""
        failures = self._current_failures(network, now)
        if failures is None or key_digest in self._valid_keys:
            return True
        second = now.replace(microsecond=0)
        is_same_second = failures.lookup_second == second
        failures.lookup_count = failures.lookup_count + 1 if is_same_second else 1
        failures.lookup_second = second
        return failures.lookup_count <= _LOOKUPS_PER_SECOND

    def _current_failures(self, network: str, now: datetime) -> _Failures | None:
        failures = self._failures.get(network)
        if failures is not None and not timedelta() <= now - failures.started_at < _WINDOW:
            del self._failures[network]
            return None
        return failures


def _drop_oldest(entries: "OrderedDict[Any, Any]") -> None:
    while len(entries) > _MAX_ENTRIES:
        entries.popitem(last=False)


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
