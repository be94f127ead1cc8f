"""Translate errors of the database driver into errors of the product."""

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.domain.errors import (
    IngestQueueFull,
    InvalidArgument,
    StatementCancelled,
    StoreUnavailable,
)

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    PoolTimeout,
    PendingRollbackError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)
DRIVER_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
)
"""Everything that a connection can raise. `InternalClientError` comes from a connection that broke
in the middle of an earlier operation."""
# SQLSTATE classes of a server that is unavailable at the moment: connection exceptions, a rejected
# login or database, serialization failures and deadlocks, insufficient resources, shutdown and
# start-up, and later statements of a transaction that failed for one of these reasons.
_UNAVAILABLE_STATES = ("08", "28", "3D", "40", "53", "57P", "58", "25P02")
_CANCELLED = "57014"
# The lock timeout has passed.
_LOCK_NOT_AVAILABLE = "55P03"
_READ_ONLY = "25006"
# A prepared statement is missing, or another one has its name.
_PREPARED_STATEMENT_LOST = ("26000", "42P05")
# Data exceptions, and values beyond PostgreSQL's size limits. Its own messages name indexes.
_BAD_VALUES = {
    "22003": "a number is too large",
    "22021": "a text has a character that is not Unicode, or U+0000",
    "22P05": "a text has a character that is not Unicode, or U+0000",
    "54000": "a text is too long",
    "22": "it is malformed",
}

_POOLER_DETECTED = (
    "DATABASE_URL leads to a pooler in transaction mode: set DATABASE_PREPARED_STATEMENTS=false."
)
STANDBY_DETECTED = (
    "The server of DATABASE_URL is a standby, which cannot store anything: name its primary, or "
    "all servers and target_session_attrs=read-write."
)


class StoreErrorTranslator:
    """Translate driver errors, also those that SQLAlchemy has wrapped, at the end of a block."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        state = _get_sqlstate(error)
        if state == _CANCELLED:
            raise StatementCancelled from error
        if state == _LOCK_NOT_AVAILABLE:
            raise IngestQueueFull(
                "Another batch or command is changing this organization: try again in a few "
                "seconds."
            ) from error
        if state == _READ_ONLY:
            raise StoreUnavailable(STANDBY_DETECTED) from error
        if state in _PREPARED_STATEMENT_LOST:
            raise StoreUnavailable(_POOLER_DETECTED) from error
        if (
            isinstance(error, _UNAVAILABLE)
            or state.startswith(_UNAVAILABLE_STATES)
            or _is_connection_lost(error)
        ):
            raise StoreUnavailable from error
        reason = _BAD_VALUES.get(state) or _BAD_VALUES.get(state[:2])
        if reason is not None:
            raise InvalidArgument(f"A value cannot be stored or compared: {reason}.") from error


def _is_connection_lost(error: BaseException) -> bool:
    """Whether the connection failed before the server could respond."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, InterfaceError)
    if isinstance(error, asyncpg.InternalClientError):
        return True
    return isinstance(error, asyncpg.InterfaceError) and not isinstance(
        error, asyncpg.PostgresError
    )


def _get_sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of an error, or "" when it has none."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state if isinstance(state, str) else ""
