"""The authenticated caller of a request, and what the caller may do."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from app.domain.errors import Forbidden
from app.domain.ids import organization_id

DEFAULT_ORGANIZATION = "default"
"""The organization that every install starts with. Its listed admins operate the service."""


class Scope(StrEnum):
    """What an API key may be used for."""

    REPORT_READ = "report:read"
    STATEMENT_READ = "statement:read"
    EVENTS_WRITE = "events:write"
    DIRECTORY_WRITE = "directory:write"
    ADMIN = "admin"


COVERED_BY: Mapping[Scope, frozenset[Scope]] = {
    Scope.STATEMENT_READ: frozenset({Scope.STATEMENT_READ, Scope.REPORT_READ, Scope.ADMIN}),
    Scope.REPORT_READ: frozenset({Scope.REPORT_READ, Scope.ADMIN}),
    # Not of ADMIN: a key that sends events names the scope, so a leaked one cannot.
    Scope.EVENTS_WRITE: frozenset({Scope.EVENTS_WRITE, Scope.DIRECTORY_WRITE}),
    Scope.DIRECTORY_WRITE: frozenset({Scope.DIRECTORY_WRITE}),
    Scope.ADMIN: frozenset({Scope.ADMIN}),
}
"""The scopes that each scope is part of."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The user behind an API key or session, in the organization of the key.

    Attributes:
        organization_id: The key's organization.
        organization: Its name.
        username: The key's owner.
        key_id: The key's id.
        scopes: What the key may be used for.
        cost_centres: The codes of the cost centres whose statements the scope `STATEMENT_READ`
            covers.
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
    cost_centres: frozenset[str] = frozenset()

    def require(self, scope: Scope) -> None:
        """Check that the key has a scope.

        Reading reports and the scope `ADMIN` also require that the user is an admin.

        Raises:
            Forbidden: The key lacks the scope, or the user is not an admin.
        """
        if not self.scopes & COVERED_BY[scope]:
            held = ", ".join(sorted(self.scopes))
            raise Forbidden(f"This needs a key with the scope {scope}; the key has: {held}.")
        is_open_to_others = scope in {Scope.EVENTS_WRITE, Scope.DIRECTORY_WRITE} or (
            scope is Scope.STATEMENT_READ and scope in self.scopes
        )
        if not is_open_to_others and not (self.is_admin or self.is_listed_admin):
            raise Forbidden(
                f"{self.username!r} is not an admin of organization {self.organization!r}: "
                "give the user the role ADMIN, or add them to ADMIN_USER_LIST."
            )

    @property
    def may_change_roles(self) -> bool:
        """Whether facts of this key may make somebody an admin."""
        return bool(self.scopes & COVERED_BY[Scope.DIRECTORY_WRITE])

    def require_statement(self, organization: str | None, cost_centre: str | None) -> None:
        """Check that the caller may read what a cost centre is charged.

        Args:
            organization: The organization that the request names; None is the caller's own.
            cost_centre: A code, an empty string for Unassigned, or None for all cost centres.

        Raises:
            Forbidden: The key is limited to other cost centres.
        """
        if self._reads_all_statements():
            return
        is_own = organization is None or organization == self.organization
        if not is_own or cost_centre not in self.cost_centres:
            allowed = ", ".join(sorted(self.cost_centres))
            raise Forbidden(
                f"The key may read the charges of these cost centres of {self.organization!r}, "
                f"each by itself: {allowed}."
            )

    def _reads_all_statements(self) -> bool:
        try:
            self.require(Scope.REPORT_READ)
        except Forbidden:
            return False
        return True

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
