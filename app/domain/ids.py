"""Ids derived from names: the same in every database and for any order of events (ADR 0003)."""

from base64 import urlsafe_b64encode
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

from asyncpg.pgproto import pgproto

from app.domain.months import Month


@lru_cache(maxsize=200_000)
def derive_id(kind: str, *names: str) -> UUID:
    """Return the id of an entity of that kind and with those names.

    Lengths are hashed too, so that different names cannot collide by concatenation:

    >>> derive_id("project", "a", "bc") == derive_id("project", "ab", "c")
    False
    """
    return _hash(kind.encode() + b"".join(map(_length_prefixed, names)))


def _length_prefixed(name: str) -> bytes:
    if name.isascii():
        return f"{len(name)}:{name}".encode()
    encoded = name.encode()
    return b"%d:%b" % (len(encoded), encoded)


def _hash(named: bytes) -> UUID:
    # The driver's UUID is the standard one, with its hash, comparison and text in C.
    key: UUID = pgproto.UUID(blake2b(named, digest_size=16).digest())
    return key


def event_id(source: str, id_: str) -> UUID:
    """Return the id of an event. Not cached, because each event occurs only once."""
    return _hash(_source_prefix(source) + _length_prefixed(id_))


@lru_cache(maxsize=1_000)
def _source_prefix(source: str) -> bytes:
    return b"event" + _length_prefixed(source)


def organization_id(name: str) -> UUID:
    """Return the id of an organization."""
    return derive_id("organization", name)


def user_id(username: str) -> UUID:
    """Return the id of a user."""
    return derive_id("user", username)


def workspace_id(name: str) -> UUID:
    """Return the id of a workspace."""
    return derive_id("workspace", name)


def member_id(workspace: str, username: str) -> UUID:
    """Return the id of a user's membership in a workspace."""
    return derive_id("member", workspace, username)


def project_id(workspace: str, name: str) -> UUID:
    """Return the id of a project in its workspace."""
    return derive_id("project", workspace, name)


def experiment_id(name: str) -> UUID:
    """Return the id of an experiment, from the identifier that its platform gave it.

    Not cached: there are many experiments, and each occurs only a few times.
    """
    return _hash(b"experiment" + _length_prefixed(name))


def id_in_report(organization_id: UUID, month: Month, *parts: UUID | str) -> str:
    """Return an id that is unique across organizations, months and entities.

    Without `parts`, it is the id of the report itself.
    """
    return _report_prefix(organization_id, month) + "".join(map(str, parts))


@lru_cache(maxsize=10_000)
def _report_prefix(organization_id: UUID, month: Month) -> str:
    digest = blake2b(organization_id.bytes + str(month).encode(), digest_size=12).digest()
    return urlsafe_b64encode(digest).decode()
