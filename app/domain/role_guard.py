"""Decide which events of a sender would change who is an admin."""

from collections.abc import Iterable
from typing import NamedTuple, Self

from app.domain.callers import Caller, Scope
from app.domain.events import UserUpserted


class RoleGuard(NamedTuple):
    """Finds facts that would make somebody an admin, or take the role away.

    Attributes:
        admin_emails: The entries of ADMIN_USER_LIST, folded. An account with such an email is an
            admin.
    """

    admin_emails: frozenset[bytes]

    @classmethod
    def of(cls, caller: Caller, admin_user_list: Iterable[str]) -> Self | None:
        """Return the guard of a caller's facts; None if the caller's key may change roles."""
        if caller.may_change_roles:
            return None
        return cls(frozenset(map(fold_email, admin_user_list)))

    def find_problem(self, user: UserUpserted) -> tuple[str, str] | None:
        """Return the field that changes roles and what is wrong; None if there is none."""
        if user.role is not None:
            needed = f"needs a key with the scope {Scope.DIRECTORY_WRITE}; got {user.role!r}"
            return "role", needed
        if user.email is not None and fold_email(user.email) in self.admin_emails:
            needed = f"of an admin needs a key with the scope {Scope.DIRECTORY_WRITE}"
            return "email", f"{needed}; got {user.email!r}"
        return None


def fold_email(email: str) -> bytes:
    """Lower ASCII letters only: other letters may fold to those of another address."""
    return email.encode(errors="surrogatepass").lower()
