"""The audit log, page by page."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.db.audit import AuditFilter, select_entries
from app.domain.audit import Action, AuditEvent
from app.domain.errors import InvalidArgument
from app.domain.text import NUL
from resolvers.context import Context
from resolvers.levels import MAX_PAGE_SIZE


async def read_audit_log(
    context: Context,
    organization: str | None,
    matching: AuditFilter,
    first: int,
    after: str | None,
) -> Sequence[Any]:
    """Return a page of an organization's audit log, the latest entry first.

    Rows have the columns of `AuditEntry`. Reading the log is itself an audit event.

    Raises:
        Forbidden: The caller may not access the organization.
        InvalidArgument: `first` is not a page size, `after` is not an id, or a username contains
            U+0000.

    Source: `audit_log`.
    """
    if not 0 <= first <= MAX_PAGE_SIZE:
        raise InvalidArgument(f"first: must be from 0 to {MAX_PAGE_SIZE}; got {first}.")
    organization_id = context.caller.resolve_organization(organization)
    _validate_filter(matching)
    last_seen = None if after is None else _parse_entry_id(after)
    context.audit_events.append(AuditEvent(organization_id, Action.AUDIT_READ, after or ""))
    async with context.database.transaction(organization_id) as tx:
        return await select_entries(tx, organization_id, matching, first, last_seen)


def _parse_entry_id(after: str) -> UUID:
    try:
        return UUID(after)
    except ValueError:
        raise InvalidArgument(
            f"after: must be the id of the last one seen; got {after[:80]!r}."
        ) from None


def _validate_filter(matching: AuditFilter) -> None:
    if NUL in (matching.username or ""):
        raise InvalidArgument(f"username: must not contain U+0000; got {matching.username!r}.")
