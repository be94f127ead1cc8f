"""Ids that follow from names: the same in every store, whatever came first (ADR 0003)."""

from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

from asyncpg.pgproto import pgproto


@lru_cache(maxsize=200_000)
def identity(kind: str, *names: str) -> UUID:
    """The key of a thing, from its kind and its names.

    Lengths are hashed too, so that ("a", "bc") and ("ab", "c") differ.
    """
    return _hashed(kind.encode() + b"".join(map(_measured, names)))


def _measured(name: str) -> bytes:
    if name.isascii():
        return f"{len(name)}:{name}".encode()
    encoded = name.encode()
    return b"%d:%b" % (len(encoded), encoded)


def _hashed(named: bytes) -> UUID:
    # The driver's UUID is the standard one, with its hash, comparison and text in C.
    key: UUID = pgproto.UUID(blake2b(named, digest_size=16).digest())
    return key


def event_id(source: str, id_: str) -> UUID:
    """The key of an event, as `identity` makes it; not remembered, since each is met once."""
    return _hashed(_of_source(source) + _measured(id_))


@lru_cache(maxsize=1_000)
def _of_source(source: str) -> bytes:
    return b"event" + _measured(source)


def organization_id(name: str) -> UUID:
    """The key of an organization."""
    return identity("organization", name)


def user_id(username: str) -> UUID:
    """The key of a user."""
    return identity("user", username)


def workspace_id(name: str) -> UUID:
    """The key of a workspace."""
    return identity("workspace", name)


def member_id(workspace: str, username: str) -> UUID:
    """The key of a user's membership in a workspace."""
    return identity("member", workspace, username)


def project_id(workspace: str, name: str) -> UUID:
    """The key of a project in its workspace."""
    return identity("project", workspace, name)


def experiment_id(name: str) -> UUID:
    """The key of an experiment, from the identifier that its platform gave it.

    As `identity` makes it; not remembered: there are many, and each is met but a few times.
    """
    return _hashed(b"experiment" + _measured(name))
