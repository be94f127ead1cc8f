"""The authenticated caller of a request, and what the caller may do."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.domain.errors import Forbidden
from app.domain.ids import organization_id

DEFAULT_ORGANIZATION = "default"
"""The organization that every install starts with. Its listed admins operate the service."""


class Scope(StrEnum):
    """What an API key may be used for; `ADMIN` includes the others."""

    REPORT_READ = "report:read"
    EVENTS_WRITE = "events:write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind an API key or session, in the organization of the key.

    Attributes:
        organization_id: The key's organization.
        organization: Its name.
        username: The key's owner.
        key_id: The key's id.
        scopes: What the key may be used for.
        is_admin: Whether the user has the role ADMIN in the organization.
        is_listed_admin: Whether ADMIN_USER_LIST names the user, who is then an admin whatever
            the role. Listed admins of the default organization may access every organization.
        revision: The organization's revision when the caller was authenticated; None if it was
            not read.
    """

    organization_id: UUID
    organization: str
    username: str
    key_id: str
    scopes: frozenset[Scope]
    is_admin: bool
    is_listed_admin: bool
    revision: int | None = None

    def require(self, scope: Scope) -> None:
        """Check that the key has a scope.

        Every scope but `EVENTS_WRITE` also requires that the user is an admin.

        Raises:
            Forbidden: The key lacks the scope, or the user is not an admin.
        """
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            held = ", ".join(sorted(self.scopes))
            raise Forbidden(f"This needs a key with the scope {scope}; the key has: {held}.")
        if scope is not Scope.EVENTS_WRITE and not (self.is_admin or self.is_listed_admin):
            raise Forbidden(
                f"{self.username!r} is not an admin of organization {self.organization!r}: "
                "give the user the role ADMIN, or add them to ADMIN_USER_LIST."
            )

    def resolve_organization(self, organization: str | None) -> UUID:
        """Return the id of the organization that a request names, by default the caller's own.

        The organization need not exist.

        Raises:
            Forbidden: The caller may not access it.
        """
        if organization is None or organization == self.organization:
            return self.organization_id
        # Only listed admins of the default organization: anyone who can send events to another
        # organization could create a user there with the email of a listed admin.
        if not self.is_listed_admin or self.organization != DEFAULT_ORGANIZATION:
            raise Forbidden(
                f"You cannot access organization {organization!r}: {self.username!r} belongs to "
                f"{self.organization!r}."
            )
        return organization_id(organization)
