"""Dry run: execute a command in its transaction, then roll the transaction back."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sqlalchemy import event

from app.db.engine import Database, Transaction

_READ_ONLY_PREFIXES = ("DO ", "SELECT", "SET ", "WITH ")


class _RollBack(Exception):
    """Rolls back a dry run; it never leaves this module."""


@asynccontextmanager
async def roll_back_at_end(
    transaction: AbstractAsyncContextManager[Transaction],
) -> AsyncIterator[Transaction]:
    """Begin a transaction for the length of the block, and roll it back at the end."""
    try:
        async with transaction as tx:
            yield tx
            raise _RollBack
    except _RollBack:
        return


async def list_statements(
    database: Database, command: Callable[[Transaction], Awaitable[None]]
) -> Sequence[str]:
    """Dry-run a command of the tables' owner.

    Returns:
        The statements that it executed, in order, without those that only read or set something.
    """
    statements: list[str] = []

    def record(_: object, __: object, statement: str, *___: object) -> None:
        if not statement.lstrip().upper().startswith(_READ_ONLY_PREFIXES):
            statements.append(statement.strip())

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", record)
    try:
        async with roll_back_at_end(database.owner_transaction()) as tx:
            await command(tx)
        return statements
    finally:
        event.remove(engine, "before_cursor_execute", record)
