"""A command's transaction, run and taken back: what it would have done."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import event

from app.db.engine import Database, Transaction


class _TakenBack(Exception):
    """Ends the transaction of a rehearsal; it never leaves `rehearse`."""


async def rehearse(
    database: Database, command: Callable[[Transaction], Awaitable[None]]
) -> Sequence[str]:
    """Run an owner's command and roll it back.

    Returns:
        The statements that it sent, in order, those that only set or ask something left out.
    """
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if not statement.lstrip().upper().startswith(_HARMLESS):
            statements.append(statement.strip())

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        async with database.owner_transaction() as tx:
            await command(tx)
            raise _TakenBack
    except _TakenBack:
        return statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


_HARMLESS = ("DO ", "SELECT", "SET ", "WITH ")
