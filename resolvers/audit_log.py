"""The audit log, page by page."""

from uuid import UUID

from app.db.audit import AuditFilter, select_entries
from app.domain.audit import Action, AuditEntry, AuditEvent
from app.domain.errors import InvalidArgument
from app.domain.text import NUL
from resolvers.context import Context
from resolvers.levels import parse_page
from resolvers.rows import Grouped, positions

MAX_ENTRIES = 1_000
"""The largest page: its JSON is decoded on the event loop."""


async def read_audit_log(
    context: Context,
    organization: str | None,
    matching: AuditFilter,
    first: int,
    after: str | None,
) -> Grouped:
    """Return a page of an organization's audit log, the latest entry first: one group.

    Columns: those of `AuditEntry`. Reading the log is itself an audit event.

    Raises:
        Forbidden: The caller may not access the organization.
        InvalidArgument: `first` is not a page size, `after` is not an id, or a username contains
            U+0000.

    Source: `audit_log`.
    """
    page = parse_page(first, None, max_size=MAX_ENTRIES)
    organization_id = context.caller.resolve_organization(organization)
    _validate_filter(matching)
    last_seen = None if after is None else _parse_entry_id(after)
    context.audit_events.append(AuditEvent(organization_id, Action.AUDIT_READ, after or ""))
    async with context.database.transaction(organization_id) as tx:
        rows = await select_entries(tx, organization_id, matching, page.first, last_seen)
    return Grouped(positions(AuditEntry._fields), [list(map(tuple, rows))])


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
