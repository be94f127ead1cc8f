"""Reconcile a closed month with its events: compute the corrections that are still missing.

A batch knows the workspace, project and user of each amount that it adds. When a month is
reconciled afterwards, amounts are known only per level, so each level's own figure is corrected.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from app.db.corrections import CorrectionRow
from app.db.engine import Transaction
from app.domain.figures import Figure
from app.domain.months import Month
from app.ingest.rebuild import (
    PRESENT_AS,
    SUMMED_AS,
    USED_AS,
    corrected_rows,
    correction_ids,
    replayed_rows,
    stored_rows,
)
from app.ingest.replay import LEVELS, FigureTotals, MonthRows, Name, UserRow


async def compute_missing_corrections(
    tx: Transaction, organization_id: UUID, month: Month
) -> list[CorrectionRow]:
    """Return the corrections that make a closed month equal to a replay of its events."""
    wanted = await replayed_rows(tx, organization_id, month)
    there = await corrected_rows(tx, organization_id, month)
    closed = await stored_rows(tx, organization_id, month)
    return [
        CorrectionRow(month, figure, *correction_ids(level, name), amount)
        for level, name, figure, amount in _amounts(wanted, there, closed)
        if amount
    ]


_Amount = tuple[str, Name, Figure, int]


def _amounts(wanted: MonthRows, there: MonthRows, closed: MonthRows) -> Iterator[_Amount]:
    for figure, level in PRESENT_AS.items():
        for name in sorted(wanted.present[level] ^ there.present[level]):
            yield level, name, figure, 1 if name in wanted.present[level] else -1
    for level in LEVELS:
        for name in {*wanted.figures[level], *there.figures[level]}:
            more = (
                wanted.figures[level].get(name, FigureTotals()),
                there.figures[level].get(name, FigureTotals()),
            )
            for figure, column in SUMMED_AS.items():
                yield level, name, figure, _difference(column, *more)
    for name in {*wanted.users, *there.users}:
        before = _shown(there.users.get(name, UserRow()), closed.users.get(name, UserRow()))
        for figure, column in USED_AS.items():
            amount = _difference(column, wanted.users.get(name, UserRow()), before)
            yield "users", name, figure, amount


def _difference(column: str, wanted: Any, there: Any) -> int:
    return int(getattr(wanted, column)) - int(getattr(there, column))


def _shown(there: UserRow, closed: UserRow) -> UserRow:
    """Usage of whoever the close left unlicensed is shown by corrections alone."""
    if there.licensed or closed.licensed:
        return there
    return there._replace(ui_usage_count=0, sdk_usage_count=0)
