"""What the store cannot do, as the error that says so."""

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.domain.errors import (
    IngestQueueFull,
    InvalidArgument,
    StatementCancelled,
    StoreUnavailable,
)

_AWAY = (
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
"""All that using a connection can raise. The last but one is the driver's own state: that of a
connection which broke in the middle of an operation, for whoever uses it next."""
# SQLSTATE classes of a server that cannot serve at the moment: connection exceptions, a login or
# a database that it refuses, transactions that it gave up (deadlocks), too many connections and
# other shortages, shutdown and start-up; and whatever follows in a transaction in which a
# statement failed for one of these reasons.
_AWAY_STATES = ("08", "28", "3D", "40", "53", "57P", "58", "25P02")
_CANCELLED = "57014"
# A lock that was not to be had in time: only batches set such a time, for their turn.
_NOT_ITS_TURN = "55P03"
# A statement that was prepared is not there, or another of its name is.
_NOT_AS_PREPARED = ("26000", "42P05")
# Data exceptions: U+0000 in a text, half a surrogate pair, a sum beyond 64 bits; and what is
# larger than PostgreSQL takes as one value.
_BAD_VALUE = ("22", "54000")


_POOLED = (
    "A pooler stands before PostgreSQL, in transaction mode: "
    "set DATABASE_PREPARED_STATEMENTS=false."
)


class StoreErrors:
    """Turns errors of the driver, and SQLAlchemy's around them, into ours."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        state = _state(error)
        if state == _CANCELLED:
            raise StatementCancelled from error
        if state == _NOT_ITS_TURN:
            raise IngestQueueFull from error
        if state in _NOT_AS_PREPARED:
            raise StoreUnavailable(_POOLED) from error
        if isinstance(error, _AWAY) or state.startswith(_AWAY_STATES) or _is_lost(error):
            raise StoreUnavailable from error
        if state.startswith(_BAD_VALUE):
            raise InvalidArgument(
                f"A value cannot be stored or compared: {_reason(error)}."
            ) from error


def _reason(error: BaseException) -> str:
    """In PostgreSQL's words; SQLAlchemy puts the kind of error before them."""
    first, *_ = str(getattr(error, "orig", error)).splitlines()
    return first.partition("'>: ")[2] or first


def _is_lost(error: BaseException) -> bool:
    """Whether it is the connection that failed, before the server could say anything."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, InterfaceError)
    if isinstance(error, asyncpg.InternalClientError):
        return True
    return isinstance(error, asyncpg.InterfaceError) and not isinstance(
        error, asyncpg.PostgresError
    )


def _state(error: BaseException) -> str:
    """Its SQLSTATE, where it has one."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state if isinstance(state, str) else ""
