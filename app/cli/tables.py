"""Print tables that fit the terminal: drop or wrap columns, but truncate no figure or id."""

from collections.abc import Collection, Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from app.console import stderr, stdout
from app.domain.safe_text import escape_for_terminal

_FOLDED_WIDTH = 20
"""Text of this width need not fold if other columns can be dropped instead."""
_FRAME = 3
"""Characters between two columns."""

TableRow = Sequence[str] | None
"""The cells of a row; None is a line between two parts of the table."""


def print_table(
    headings: Sequence[str],
    rows: Iterable[TableRow],
    *,
    title: str | None = None,
    right: Collection[str] = (),
    whole: Collection[str] = (),
    drop: Sequence[str] = (),
    console: Console = stdout,
) -> None:
    """Print rows as a table no wider than the console.

    Args:
        headings: The headings of the columns.
        rows: The rows.
        title: The title.
        right: The columns that are aligned to the right: figures. They never fold.
        whole: Other columns that never fold, such as ids.
        drop: The columns to leave out, the first one first, where the console is narrow.
        console: Where to print.
    """
    cells = [row and [escape_for_terminal(cell) for cell in row] for row in rows]
    unfolded = {*right, *whole}
    kept = _fitting_columns(headings, cells, unfolded, drop, console.width)
    table = Table(title=title)
    for index in kept:
        heading = headings[index]
        table.add_column(
            heading,
            overflow="fold",
            justify="right" if heading in right else "left",
            no_wrap=heading in unfolded,
        )
    for row in cells:
        if row is None:
            table.add_section()
        else:
            table.add_row(*(row[index] for index in kept))
    console.print(table)
    dropped = [heading for index, heading in enumerate(headings) if index not in kept]
    if dropped and console is stdout:
        stderr.print(f"Not shown in {console.width} columns: {', '.join(dropped)}.")


def _fitting_columns(
    headings: Sequence[str],
    rows: Sequence[TableRow],
    unfolded: Collection[str],
    drop: Sequence[str],
    width: int,
) -> list[int]:
    """Return the positions of the columns that fit, dropping others in the given order."""
    kept = list(range(len(headings)))
    widths = [
        _width(heading, [row[index] for row in rows if row], heading in unfolded)
        for index, heading in enumerate(headings)
    ]
    for heading in drop:
        if sum(widths[index] + _FRAME for index in kept) + 1 <= width:
            break
        kept.remove(headings.index(heading))
    return kept


def _width(heading: str, cells: Sequence[str], is_unfolded: bool) -> int:
    widest = max(map(cell_len, [heading, *cells]))
    return widest if is_unfolded else min(widest, _FOLDED_WIDTH)
