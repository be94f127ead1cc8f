"""The members of a group: a set of users, changed by operations in time linear in their number.

scim2-models would compare every value with every member, and copy all members once per operation.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from scim2_models import InvalidPathException, Path
from scim2_models.path import (
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
)

from app.domain.scim.errors import InvalidScimRequest, show_value
from app.domain.scim.resources import Group

MAX_MEMBERS = 100_000
"""The most members that one request may name."""


@dataclass
class MemberChanges:
    """What a request does to the members of a group.

    Attributes:
        are_replaced: Whether members that are not in `added` leave.
        added: Users who become members.
        removed: Users who leave.
    """

    are_replaced: bool = False
    added: set[UUID] = field(default_factory=set)
    removed: set[UUID] = field(default_factory=set)

    def add(self, users: Iterable[UUID]) -> None:
        """Add members."""
        named = set(users)
        self.added |= named
        self.removed -= named

    def remove(self, users: Iterable[UUID]) -> None:
        """Remove members; users who are none do not matter."""
        named = set(users)
        self.removed |= named
        self.added -= named

    def replace(self, users: Iterable[UUID]) -> None:
        """Make these users the only members."""
        self.are_replaced, self.added, self.removed = True, set(users), set()

    def apply(self, op: str, path: Path[Group], value: object) -> None:
        """Apply one operation of a PATCH whose path is `members` or selects some of them.

        Raises:
            InvalidScimRequest: The path or a value cannot be read.
        """
        if path.value_filter is not None:
            self._apply_to_selected(op, path)
        elif op == "add":
            self.add(parse_members(value))
        elif op == "replace":
            self.replace(parse_members(value))
        elif value is None:
            self.replace(())
        else:
            self.remove(parse_members(value))

    def _apply_to_selected(self, op: str, path: Path[Group]) -> None:
        if op != "remove":
            raise InvalidScimRequest(
                "members cannot be changed, only added and removed.", "mutability"
            )
        self.remove(_selected_users(str(path), path.value_filter))


def parse_members(value: object) -> list[UUID]:
    """Return the users that a value of `members` names, by `value` or by `$ref`.

    Raises:
        InvalidScimRequest: A member has no id of a user, or there are too many.
    """
    if value is None:
        return []
    members = value if isinstance(value, list) else [value]
    if len(members) > MAX_MEMBERS:
        raise InvalidScimRequest(
            f"members: at most {MAX_MEMBERS} in one request; got {len(members)}.", "tooMany"
        )
    return [_parse_member(index, member) for index, member in enumerate(members)]


def _parse_member(index: int, member: Any) -> UUID:
    found = member
    if isinstance(member, dict):
        given = {name.lower(): each for name, each in member.items()}
        found = given.get("value") or _last_segment(given.get("$ref"))
    try:
        return UUID(found)
    except (AttributeError, TypeError, ValueError):
        raise InvalidScimRequest(
            f"members[{index}]: must have the id of a user as its value; got {show_value(found)}."
        ) from None


def _last_segment(address: object) -> Any:
    return address.rpartition("/")[2] if isinstance(address, str) else address


def _selected_users(path: str, chosen: FilterNode | None) -> Iterator[UUID]:
    """Yield the users of `value eq "…"`, of which several can be joined by `or`."""
    if isinstance(chosen, LogicalExpr) and chosen.op == LogicalOperator.or_:
        for term in chosen.terms:
            yield from _selected_users(path, term)
        return
    if (
        not isinstance(chosen, Comparison)
        or chosen.op != CompareOperator.eq
        or chosen.attr_path.attr.lower() != "value"
    ):
        raise InvalidScimRequest(
            f'select members by members[value eq "ID"]; got {show_value(path)}.',
            "invalidPath",
        )
    try:
        yield UUID(chosen.value)
    except (AttributeError, TypeError, ValueError):
        return  # No member has an id of another form.


def is_member_path(path: Path[Group]) -> bool:
    """Return whether a path is `members`, or selects some of them.

    Raises:
        InvalidScimRequest: It is a part of a member, which nobody can change.
    """
    try:
        binding = path.resolve()
    except InvalidPathException:
        return False
    if binding is None or binding.field_name != "members":
        return False
    if binding.sub_field_name is not None:
        raise InvalidScimRequest("a part of a member cannot be changed.", "mutability")
    return True
