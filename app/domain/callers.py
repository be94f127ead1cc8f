"""Who asks, and what they may."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.domain.errors import Forbidden
from app.domain.ids import organization_id

DEFAULT_ORGANIZATION = "default"
"""The organization that an install begins with: its operators'."""


class Scope(StrEnum):
    """What a key may be used for; `ADMIN` includes the others."""

    REPORT_READ = "report:read"
    EVENTS_WRITE = "events:write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind a key or a session, in the organization that the key belongs to.

    Attributes:
        organization_id: The key's organization.
        organization: Its name.
        username: Whose key it is.
        key_id: Which key.
        scopes: What the key may be used for.
        is_admin: Whether the user is an admin of the organization.
        is_listed: Whether ADMIN_USER_LIST names the user: an admin, whatever the role. A listed
            user of the organization that the install began with may name any other.
        revision: How often anything in the organization had changed when the caller came; None
            where nobody looked.
    """

    organization_id: UUID
    organization: str
    username: str
    key_id: str
    scopes: frozenset[Scope]
    is_admin: bool
    is_listed: bool
    revision: int | None = None

    def require(self, scope: Scope) -> None:
        """Insist that the key may be used for this, by an admin where it takes one.

        Raises:
            Forbidden: It may not.
        """
        if scope not in self.scopes and Scope.ADMIN not in self.scopes:
            held = ", ".join(sorted(self.scopes))
            raise Forbidden(f"This needs a key with the scope {scope}; the key has: {held}.")
        if scope is not Scope.EVENTS_WRITE and not (self.is_admin or self.is_listed):
            raise Forbidden(
                f"{self.username!r} is no admin of organization {self.organization!r}: "
                "give the user the role ADMIN, or name them in ADMIN_USER_LIST."
            )

    def choose(self, organization: str | None) -> UUID:
        """The organization that a request is about; nobody says that it exists.

        Raises:
            Forbidden: It is not theirs to ask for.
        """
        if organization is None or organization == self.organization:
            return self.organization_id
        # Whoever feeds another organization could announce a listed email there.
        if not self.is_listed or self.organization != DEFAULT_ORGANIZATION:
            raise Forbidden(
                f"Organization {organization!r} is not yours: {self.username!r} belongs to "
                f"{self.organization!r}."
            )
        return organization_id(organization)
