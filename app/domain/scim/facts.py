"""The facts that a change of a SCIM resource states, as the data of events."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.domain.events import (
    AnyEvent,
    MemberAddedEvent,
    MemberRemovedEvent,
    MembershipReference,
    Role,
    UserDeleted,
    UserDeletedEvent,
    UserUpserted,
    UserUpsertedEvent,
    WorkspaceReference,
    WorkspaceUpsertedEvent,
)
from app.domain.scim.resources import Attributes

_SERVICE_ACCOUNT = "serviceaccount"
_ADMIN = "admin"


class Fact(NamedTuple):
    """The class and the data of an event."""

    event_class: Callable[..., AnyEvent]
    data: Any


@dataclass(frozen=True, slots=True)
class UserProperties:
    """What the report knows about a user."""

    username: str
    email: str | None
    is_admin: bool
    is_service_account: bool
    suspended: bool

    @classmethod
    def of(cls, user: Attributes) -> "UserProperties":
        """Return the properties of a SCIM user."""
        user_type = user.get("userType", "").replace(" ", "").replace("_", "").lower()
        return cls(
            username=user["userName"],
            email=_first_value(user.get("emails", [])),
            is_admin=_is_admin(user.get("roles", [])),
            is_service_account=user_type == _SERVICE_ACCOUNT,
            suspended=user.get("active") is False,
        )


def _first_value(values: list[Attributes]) -> str | None:
    """Return the primary value, or else the first."""
    filled = [each for each in values if each.get("value")]
    primary = [each for each in filled if each.get("primary")]
    return (primary or filled)[0]["value"] if filled else None


def _is_admin(roles: list[Attributes]) -> bool:
    """Return whether the primary role is ADMIN, or any of them if none is primary."""
    deciding = [each for each in roles if each.get("primary")] or roles
    return any(each.get("value", "").lower() == _ADMIN for each in deciding)


def created_user(user: UserProperties) -> Iterator[Fact]:
    """Yield the facts of a new user."""
    yield _upserted(user, None)


def changed_user(
    before: UserProperties, after: UserProperties, workspaces: Collection[str]
) -> Iterator[Fact]:
    """Yield the facts of a user who was changed and belongs to these workspaces.

    Names identify users, so the facts of a rename delete one user and announce another, who takes
    over the memberships.
    """
    if before == after:
        return
    if before.username == after.username:
        yield _upserted(after, before)
        return
    yield Fact(UserDeletedEvent, UserDeleted(before.username, renamed_to=after.username))
    yield _upserted(after, None)
    for workspace in workspaces:
        yield from added_members(workspace, [after.username])


def _upserted(user: UserProperties, before: UserProperties | None) -> Fact:
    """State a role or a service account; where one ended, state the opposite.

    What is never stated leaves room for another source to state it.
    """
    was_admin = before is not None and before.is_admin
    role: Role | None = "ADMIN" if user.is_admin else "MEMBER" if was_admin else None
    is_stated = user.is_service_account or (before is not None and before.is_service_account)
    data = UserUpserted(
        username=user.username,
        email=user.email,
        role=role,
        service_account=user.is_service_account if is_stated else None,
        suspended=user.suspended,
    )
    return Fact(UserUpsertedEvent, data)


def deleted_user(username: str) -> Iterator[Fact]:
    """Yield the facts of a deleted user."""
    yield Fact(UserDeletedEvent, UserDeleted(username))


def created_workspace(name: str) -> Iterator[Fact]:
    """Yield the facts of a new workspace."""
    yield Fact(WorkspaceUpsertedEvent, WorkspaceReference(name))


def added_members(workspace: str, usernames: Iterable[str]) -> Iterator[Fact]:
    """Yield the facts of new members."""
    for username in usernames:
        yield Fact(MemberAddedEvent, MembershipReference(workspace, username))


def removed_members(workspace: str, usernames: Iterable[str]) -> Iterator[Fact]:
    """Yield the facts of members who left."""
    for username in usernames:
        yield Fact(MemberRemovedEvent, MembershipReference(workspace, username))
