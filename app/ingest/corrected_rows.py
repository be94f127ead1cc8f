"""The rows of a closed month with its corrections applied."""

from uuid import UUID

from app.db.corrections import NetCorrection, select_corrections_of_month
from app.db.engine import Transaction
from app.domain.figures import Figure
from app.domain.months import Month
from app.ingest.month_rows import load_rows
from app.ingest.replay import FigureTotals, MonthRows, Name, UserRow

SUMMED_COLUMN = {
    Figure.EXPERIMENTS: "experiments",
    Figure.UNMEASURED_EXPERIMENTS: "unmeasured",
    Figure.EXPERIMENTS_CREATED: "experiments_created",
    Figure.SIZE_BYTES: "size_bytes",
    Figure.BYTE_MICROSECONDS: "byte_microseconds",
}
"""The field of `FigureTotals` for each figure that is summed on every level."""

PRESENCE_LEVEL = {
    Figure.WORKSPACES: "workspaces",
    Figure.PROJECTS: "projects",
    Figure.MEMBERS: "members",
}
"""The level whose entities each of these figures counts."""

USER_COLUMN = {
    Figure.LICENSED_USERS: "licensed",
    Figure.UI_USAGE: "ui_usage_count",
    Figure.SDK_USAGE: "sdk_usage_count",
    Figure.UNLICENSED_UI_USAGE: "ui_usage_count",
    Figure.UNLICENSED_SDK_USAGE: "sdk_usage_count",
}
"""The field of `UserRow` for each figure of users; it has usage whether licensed or not."""


async def load_corrected_rows(tx: Transaction, organization_id: UUID, month: Month) -> MonthRows:
    """Return a closed month's rows with its corrections applied."""
    rows = await load_rows(tx, organization_id, month)
    for correction in await select_corrections_of_month(tx, organization_id, month):
        _apply(rows, correction)
    return rows


def _apply(rows: MonthRows, correction: NetCorrection) -> None:
    figure, amount, names = Figure(correction.figure), int(correction.amount), _names(correction)
    if figure in SUMMED_COLUMN:
        for level, name in _summed_in(correction).items():
            _add(rows.figures[level], name, FigureTotals(**{SUMMED_COLUMN[figure]: amount}))
    elif figure in PRESENCE_LEVEL:
        present = rows.present[PRESENCE_LEVEL[figure]]
        (present.add if amount > 0 else present.discard)(names)
    else:
        field = USER_COLUMN[figure]
        user = rows.users.get(names, UserRow())
        value = getattr(user, field)
        rows.users[names] = user._replace(**{field: type(value)(value + amount)})


def _names(correction: NetCorrection) -> Name:
    """Return the names of what a correction is about; figures of users have only a username."""
    parts = (correction.workspace, correction.project, correction.username)
    return tuple(part for part in parts if part is not None)


def _summed_in(correction: NetCorrection) -> dict[str, Name]:
    """Return the rows that a correction changes, by level.

    The correction of an experiment has a workspace, a project and a user, and changes a row on
    every level. Any other correction changes the one row that it names.
    """
    workspace = correction.workspace or ""
    project, username = correction.project or "", correction.username or ""
    names = {
        "workspaces": (workspace,),
        "projects": (workspace, project),
        "members": (workspace, username),
        "users": (username,),
    }
    if None not in (correction.workspace, correction.project, correction.username):
        return names
    return {level: name for level, name in names.items() if name == _names(correction)}


def _add(figures: dict[Name, FigureTotals], name: Name, sums: FigureTotals) -> None:
    figures[name] = figures.get(name, FigureTotals()) + sums
    if not any(figures[name]):
        del figures[name]
