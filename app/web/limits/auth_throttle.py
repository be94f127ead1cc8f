"""Guessing is slowed down: bad keys are counted by the place that they come from."""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

MOST_BAD_KEYS = 20
_WITHIN = timedelta(minutes=5)
_TURNS_PER_SECOND = 5
_MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class _Place:
    """Bad keys from one place since `began`, and which second its latest turns were in."""

    began: datetime
    bad_keys: int = 0
    second: datetime | None = None
    turns: int = 0


class AuthThrottle:
    """Bad keys by place, and the keys that were good, in this process.

    A place that has sent too many is told to wait. What it sends then is still looked at: a key
    that was good before always, another a few times a second, so that a good key beside the
    guessing is served. Memory is bounded: the places seen last are remembered.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._good: OrderedDict[bytes, None] = OrderedDict()

    def note_bad(self, place: str, now: datetime) -> int:
        """Count a bad key; says how many that makes."""
        seen = self._seen(place, now)
        if seen is None:
            seen = self._places[place] = _Place(now)
            _forget(self._places)
        seen.bad_keys += 1
        return seen.bad_keys

    def note_good(self, digest: bytes) -> None:
        """Remember a key that was good, by its digest."""
        self._good[digest] = None
        self._good.move_to_end(digest)
        _forget(self._good)

    def wait(self, place: str, now: datetime) -> timedelta | None:
        """How long until a place may try again; None while it may."""
        seen = self._seen(place, now)
        if seen is None or seen.bad_keys <= MOST_BAD_KEYS:
            return None
        return seen.began + _WITHIN - now

    def may_ask(self, place: str, digest: bytes, now: datetime) -> bool:
        """Whether a place that is told to wait may have a key looked up all the same."""
        seen = self._seen(place, now)
        if seen is None or digest in self._good:
            return True
        second = now.replace(microsecond=0)
        seen.turns = seen.turns + 1 if seen.second == second else 1
        seen.second = second
        return seen.turns <= _TURNS_PER_SECOND

    def _seen(self, place: str, now: datetime) -> _Place | None:
        seen = self._places.get(place)
        if seen is not None and not timedelta() <= now - seen.began < _WITHIN:
            del self._places[place]
            return None
        return seen


def _forget(remembered: "OrderedDict[Any, Any]") -> None:
    while len(remembered) > _MOST_REMEMBERED:
        remembered.popitem(last=False)


def client_network(address: str | None) -> str:
    """Whom an address stands for: a host; in IPv6 its network, whose addresses are anybody's."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
