"""What a change of a SCIM resource says to the feed."""

from collections.abc import Iterator
from typing import Any

from app.domain.scim.schemas import Resource

SOURCE = "/scim/v2"
Fact = tuple[str, dict[str, Any]]
"""The type of an event, and its data."""

_SERVICE_ACCOUNT = "serviceaccount"
_ADMIN = "admin"


def user_facts(before: Resource | None, after: Resource, workspaces: list[str]) -> Iterator[Fact]:
    """Facts of a user who was created or changed.

    Another name is another user: the old one is deleted, the new one takes over the memberships.

    Args:
        before: The user as it was; None when it was created.
        after: The user as it is.
        workspaces: The groups that it belongs to.
    """
    said = _user(after)
    if before is not None and _user(before) == said:
        return
    renamed = before is not None and before["userName"] != after["userName"]
    if before is not None and renamed:
        yield "user.deleted", {"username": before["userName"]}
    yield "user.upserted", said if before is None or renamed else _withdrawing(_user(before), said)
    for workspace in workspaces if renamed else ():
        yield "member.added", {"workspace": workspace, "username": after["userName"]}


def _withdrawing(before: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """What is no longer said is not, where leaving it out would let it stand."""
    otherwise = {"role": "MEMBER", "serviceAccount": False}
    return {**{key: value for key, value in otherwise.items() if key in before}, **said}


def _user(user: Resource) -> dict[str, Any]:
    said: dict[str, Any] = {
        "username": user["userName"],
        "suspended": user.get("active", True) is False,
    }
    if email := _email(user):
        said["email"] = email
    if any(str(role.get("value", "")).lower() == _ADMIN for role in user.get("roles", ())):
        said["role"] = "ADMIN"
    if user.get("userType", "").replace(" ", "").replace("_", "").lower() == _SERVICE_ACCOUNT:
        said["serviceAccount"] = True
    return said


def _email(user: Resource) -> str | None:
    """The primary address, or else the first."""
    emails = [each for each in user.get("emails", ()) if each.get("value")]
    primary = [each for each in emails if each.get("primary")]
    return str((primary or emails)[0]["value"]) if emails else None


def group_facts(
    before: tuple[str, set[str]] | None, after: tuple[str, set[str]]
) -> Iterator[Fact]:
    """Facts of a group that was created or changed: its name, and the usernames of its members.

    Another name is another workspace, to which the members go; the old one keeps its experiments.
    """
    (name, members) = after
    former_name, former = before or (name, set())
    if former_name != name:
        yield from left(former_name, former)
        former = set()
    if before is None or former_name != name:
        yield "workspace.upserted", {"name": name}
    yield from left(name, former - members)
    for username in sorted(members - former):
        yield "member.added", {"workspace": name, "username": username}


def left(workspace: str, usernames: set[str]) -> Iterator[Fact]:
    """Facts of members who are none any more; nothing else of the workspace changes."""
    for username in sorted(usernames):
        yield "member.removed", {"workspace": workspace, "username": username}
