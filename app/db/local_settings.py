"""Settings of a transaction, which end with it.

On Citus, each is set by a command of its own. The coordinator passes these on to the nodes, but
neither calls of `set_config` nor commands within a string of several. Elsewhere all are set in one
round trip.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

_IS_DISTRIBUTED = "is_distributed"
_SELECT_IS_DISTRIBUTED = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"


class StoreTraits(NamedTuple):
    """What a process learns about its store once.

    Attributes:
        role: The role that transactions assume; `none` where the user cannot assume it.
        is_distributed: Whether the database has the extension Citus.
    """

    role: str
    is_distributed: bool


async def select_is_distributed(tx: AsyncConnection) -> bool:
    """Return whether the database has the extension Citus."""
    return bool((await tx.execute(text(_SELECT_IS_DISTRIBUTED))).scalar_one())


def mark_distributed(tx: AsyncConnection, *, is_distributed: bool) -> None:
    """Note on a connection whether its database has the extension Citus."""
    tx.info[_IS_DISTRIBUTED] = is_distributed


def is_distributed(tx: AsyncConnection) -> bool:
    """Return what `mark_distributed` noted on the transaction's connection."""
    return bool(tx.info.get(_IS_DISTRIBUTED, False))


def compose_commands(settings: Mapping[str, str]) -> list[str]:
    """Return a command for each setting. No value may come from a user."""
    return [f"SET LOCAL {name} = '{value}'" for name, value in settings.items()]


async def set_locally(tx: AsyncConnection, settings: Mapping[str, str]) -> None:
    """Set these settings until the transaction ends. No value may come from a user."""
    if is_distributed(tx):
        for command in compose_commands(settings):
            await tx.exec_driver_sql(command)
        return
    values = {f"value_{number}": value for number, value in enumerate(settings.values())}
    await tx.execute(_compose_select((*settings,)), values)


@cache
def _compose_select(names: tuple[str, ...]) -> TextClause:
    calls = (f"set_config('{name}', :value_{number}, true)" for number, name in enumerate(names))
    return text(f"SELECT {', '.join(calls)}")
