"""Reconcile a closed month with its events: compute the corrections that are still missing.

A batch knows the workspace, project and user of each amount that it adds. When a month is
reconciled afterwards, amounts are known only per level, so each level's own figure is corrected.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from app.db.corrections import NOWHERE, CorrectionRow
from app.db.engine import Transaction
from app.domain.figures import Figure
from app.domain.ids import project_id, user_id, workspace_id
from app.domain.months import Month
from app.ingest.corrected_rows import (
    PRESENCE_LEVEL,
    SUMMED_COLUMN,
    USER_COLUMN,
    load_corrected_rows,
)
from app.ingest.month_rows import load_rows, replay_month_rows
from app.ingest.replay import LEVELS, FigureTotals, MonthRows, Name, UserRow


async def compute_missing_corrections(
    tx: Transaction, organization_id: UUID, month: Month
) -> list[CorrectionRow]:
    """Return the corrections that make a closed month equal to a replay of its events."""
    replayed = await replay_month_rows(tx, organization_id, month)
    corrected = await load_corrected_rows(tx, organization_id, month)
    at_close = await load_rows(tx, organization_id, month)
    return [
        CorrectionRow(month, figure, *_correction_ids(level, name), amount)
        for level, name, figure, amount in _missing_amounts(replayed, corrected, at_close)
        if amount
    ]


_Amount = tuple[str, Name, Figure, int]


def _missing_amounts(
    replayed: MonthRows, corrected: MonthRows, at_close: MonthRows
) -> Iterator[_Amount]:
    for figure, level in PRESENCE_LEVEL.items():
        for name in sorted(replayed.present[level] ^ corrected.present[level]):
            yield level, name, figure, 1 if name in replayed.present[level] else -1
    for level in LEVELS:
        for name in {*replayed.figures[level], *corrected.figures[level]}:
            totals = replayed.figures[level].get(name, FigureTotals())
            corrected_totals = corrected.figures[level].get(name, FigureTotals())
            for figure, column in SUMMED_COLUMN.items():
                yield level, name, figure, _difference(column, totals, corrected_totals)
    for name in {*replayed.users, *corrected.users}:
        user = replayed.users.get(name, UserRow())
        corrected_user = _without_hidden_usage(
            corrected.users.get(name, UserRow()), at_close.users.get(name, UserRow())
        )
        for figure, column in USER_COLUMN.items():
            yield "users", name, figure, _difference(column, user, corrected_user)


def _difference(column: str, expected: Any, found: Any) -> int:
    return int(getattr(expected, column)) - int(getattr(found, column))


def _without_hidden_usage(user: UserRow, at_close: UserRow) -> UserRow:
    """Reset the usage of a user who was unlicensed at the close: only corrections show it."""
    if user.licensed or at_close.licensed:
        return user
    return user._replace(ui_usage_count=0, sdk_usage_count=0)


def _correction_ids(level: str, name: Name) -> tuple[UUID, UUID, UUID]:
    """Return the workspace, project and user of a level's figure; `NOWHERE` if not applicable."""
    if level == "users":
        return NOWHERE, NOWHERE, user_id(*name)
    workspace = workspace_id(name[0])
    if level == "projects":
        return workspace, project_id(*name), NOWHERE
    if level == "members":
        return workspace, NOWHERE, user_id(name[1])
    return workspace, NOWHERE, NOWHERE
