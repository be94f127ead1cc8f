"""How figures differ from those of an earlier month."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from app.domain.changes import to_percent
from app.domain.presence import Presence
from resolvers.rows import Grouped, Row, Selection

ReadPrevious = Callable[[Sequence[tuple[Any, ...]], Selection], Awaitable[Grouped]]
"""Returns for each key the earlier row, or none, with the selected columns."""

_ABSOLUTE, _PERCENT, _PRESENCE = ".absolute", ".percent", "presence"
_HUNDREDTHS_OF = frozenset({"size_in_mb"})
"""Figures in megabytes, which changes count in hundredths."""


def compared_columns(selection: Selection) -> tuple[str, ...]:
    """Return the columns of a row that its change is computed from, sorted.

    A change of the column `size_bytes` has the columns `size_bytes.absolute` and
    `size_bytes.percent`; `presence` follows from the column `present`.
    """
    figures = {name.partition(".")[0] for name in selection if "." in name}
    return tuple(sorted(figures | ({"present"} if _PRESENCE in selection else set())))


async def compare(
    keys: Sequence[tuple[Any, ...]],
    selection: Selection,
    read_previous: ReadPrevious,
    key_length: int,
) -> Grouped:
    """Return the change of each row from its earlier row: one row per group.

    Columns:

    - `<figure>.absolute`: the figure minus its earlier value; null if either is unknown. What did
      not exist counts as 0. Megabytes are in hundredths, as the figures are rounded.
    - `<figure>.percent`: in percent of the earlier value, rounded half up to two decimals; null if
      that is 0 or unknown, or `absolute` is null
    - `presence`: a `Presence`

    Args:
        keys: The keys of the rows, each followed by the values of `compared_columns`.
        selection: The columns to compute.
        read_previous: Reads the earlier rows.
        key_length: The length of a key without these values.
    """
    columns = compared_columns(selection)
    previous = await read_previous([key[:key_length] for key in keys], Selection(columns))
    figures = [name for name in columns if name != "present"]
    positions = [previous.columns[name] for name in figures]
    offsets = [key_length + columns.index(name) for name in figures]
    present = key_length + columns.index("present") if "present" in columns else None
    groups: list[Sequence[Row]] = []
    for key, rows in zip(keys, previous.groups, strict=True):
        row = rows[0] if rows else None
        changes: list[Any] = [] if present is None else [_presence(key[present], row)]
        for name, offset, position in zip(figures, offsets, positions, strict=True):
            changes += _change(name, key[offset], row[position] if row else 0)
        groups.append([tuple(changes)])
    names = [each for name in figures for each in (name + _ABSOLUTE, name + _PERCENT)]
    if present is not None:
        names.insert(0, _PRESENCE)
    return Grouped({name: position for position, name in enumerate(names)}, groups)


def _presence(is_present: bool, earlier: Row | None) -> Presence:
    if not is_present:
        return Presence.GONE
    return Presence.NEW if earlier is None else Presence.KEPT


def _change(name: str, value: Any, before: Any) -> tuple[Any, float | None]:
    """Return the absolute change and that in percent."""
    if value is None or before is None:
        return None, None
    if name in _HUNDREDTHS_OF:
        value, before = round(100 * value), round(100 * before)
    return value - before, to_percent(value - before, before)
