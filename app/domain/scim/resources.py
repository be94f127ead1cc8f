"""The users and groups of SCIM (RFC 7643): the attributes that this service keeps.

What a class does not declare is ignored, in resources and in patches. Docstrings are the
descriptions that `/Schemas` shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from scim2_models import (
    URN,
    CaseExact,
    ComplexAttribute,
    Mutability,
    Reference,
    Required,
    Resource,
    ScimPolicy,
    Uniqueness,
)

from app.domain.text import NUL, normalize_name

MAX_TEXT = 512
MAX_VALUES = 10_000
"""The most values of one attribute of a user."""

POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
"""What Entra and Okta need beyond the RFC; see the settings' own documentation."""

Attributes = dict[str, Any]
"""A resource in JSON, with the names of the RFC."""


def _require_text(value: str | None) -> str | None:
    if value is None:
        return None
    value = normalize_name(value)
    if len(value) > MAX_TEXT or NUL in value:
        raise ValueError(f"must have at most {MAX_TEXT} characters, none of them U+0000")
    return value


def _limit_values(values: list[Any] | None) -> list[Any] | None:
    if values is not None and len(values) > MAX_VALUES:
        raise ValueError(f"must have at most {MAX_VALUES} values")
    return values


def _require_name(value: str | None) -> str | None:
    if value is not None and not value:
        raise ValueError("must not be empty")
    return _require_text(value)


def _unwrap_role(value: object) -> Any:
    """Return the value of a role that Entra writes as a JSON object within a text."""
    if not isinstance(value, str) or not value.startswith("{"):
        return value
    try:
        return orjson.loads(value)["value"]
    except (orjson.JSONDecodeError, KeyError):
        return value


_TEXT = AfterValidator(_require_text)
_NAME = AfterValidator(_require_name)
_VALUES = AfterValidator(_limit_values)


class Name(ComplexAttribute):
    """A person's name."""

    formatted: Annotated[str | None, _TEXT] = None
    """The whole name."""

    family_name: Annotated[str | None, _TEXT] = None
    """The family name."""

    given_name: Annotated[str | None, _TEXT] = None
    """The given name."""


class _Value(ComplexAttribute):
    """One of several values; a client may send its text alone."""

    @model_validator(mode="before")
    @classmethod
    def _wrap_text(cls, value: object) -> Any:
        return {"value": value} if isinstance(value, str) else value

    display: Annotated[str | None, _TEXT] = None
    """How to show it."""

    primary: bool | None = None
    """Whether it is the preferred one."""


class Email(_Value):
    """An email address."""

    value: Annotated[str | None, _TEXT] = None
    """The address."""

    type: Annotated[str | None, _TEXT] = Field(None, examples=["work", "home", "other"])
    """Which of several it is."""


class Role(_Value):
    """A role."""

    value: Annotated[str | None, BeforeValidator(_unwrap_role), _TEXT] = None
    """The role's name."""

    type: Annotated[str | None, _TEXT] = None
    """Which of several it is."""


class GroupMembership(ComplexAttribute):
    """A group that a user belongs to."""

    value: Annotated[str | None, Mutability.read_only, CaseExact.true] = None
    """The group's id."""

    ref: Annotated[Reference["Group"] | None, Mutability.read_only] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The group's address."""

    display: Annotated[str | None, Mutability.read_only] = None
    """The group's name."""

    type: Annotated[str | None, Mutability.read_only] = None
    """How the user belongs to it."""


class User(Resource[Any]):
    """An account of the platform."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true, _NAME] = None
    """The username in the report."""

    name: Name | None = None
    """The person's name."""

    display_name: Annotated[str | None, _TEXT] = None
    """The name to show."""

    user_type: Annotated[str | None, _TEXT] = None
    """`ServiceAccount` for a program's account; anything else is a person."""

    active: bool | None = None
    """False suspends the account."""

    emails: Annotated[list[Email] | None, _VALUES] = None
    """Email addresses; the report shows the primary one, or the first."""

    roles: Annotated[list[Role] | None, _VALUES] = None
    """`ADMIN` makes the user an admin of the organization."""

    groups: Annotated[list[GroupMembership] | None, Mutability.read_only] = None
    """The groups that the user belongs to."""


class GroupMember(ComplexAttribute):
    """A member of a group."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    """The user's id."""

    ref: Annotated[Reference["User"] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The user's address."""

    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])
    """Always `User`."""


class Group(Resource[Any]):
    """A workspace and its members."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[
        str | None, Uniqueness.server, Required.true, CaseExact.true, _NAME
    ] = None
    """The workspace's name."""

    members: list[GroupMember] | None = None
    """The members of the workspace."""


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A kind of resource and where it is found.

    Attributes:
        model: Its attributes.
        endpoint: Its path.
        naming: The attribute that no two resources share.
        relation: The attribute that is stored apart: groups of a user, members of a group.
    """

    model: type[Resource[Any]]
    endpoint: str
    naming: str
    relation: str

    @property
    def name(self) -> str:
        """`User` or `Group`."""
        return self.model.__name__

    @property
    def schema(self) -> str:
        """The URN of its schema."""
        return str(self.model.__schema__)

    def name_key(self, name: str) -> str:
        """Return what two resources of one name share: usernames ignore case."""
        name = normalize_name(name)
        return normalize_name(name.lower()) if self.model is User else name


USERS = ResourceKind(User, "/Users", "userName", "groups")
GROUPS = ResourceKind(Group, "/Groups", "displayName", "members")
KINDS: Mapping[str, ResourceKind] = {kind.endpoint: kind for kind in (USERS, GROUPS)}
