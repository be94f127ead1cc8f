"""Statements for corrections: changes to figures of closed months, booked in an open month."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    Select,
    and_,
    bindparam,
    delete,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.figures import to_bigint
from app.db.levels import TOTAL_COUNT, limit_rows, select_columns, select_page, select_pages
from app.db.orders import UNPAGED, Paging
from app.db.report_windows import ORGANIZATION, parents
from app.db.statements import compile_once
from app.db.tables import Correction, PlatformUser, Project, Workspace
from app.db.unnest import OWNER, Columns
from app.domain.figures import Figure
from app.domain.months import Month
from app.domain.sections import Section

NOWHERE = UUID(int=0)
"""Stands for the workspace, project or user of a figure that has none."""


class CorrectionRow(NamedTuple):
    """The amount to add to a figure of a closed month, at one place."""

    origin_month: Month
    figure: str
    workspace_id: UUID
    project_id: UUID
    user_id: UUID
    amount: int


async def add_corrections(
    tx: AsyncConnection,
    organization_id: UUID,
    booked_month: Month,
    rows: Sequence[CorrectionRow],
) -> None:
    """Book corrections in an open month; amounts for the same place add up."""
    values = ((row.origin_month.first_day, *row[1:]) for row in rows)
    await tx.execute(
        _ADD_CORRECTIONS,
        {
            "organization_id": organization_id,
            "booked_month": booked_month.first_day,
            **_CORRECTIONS.bind_rows(values),
        },
    )


_CORRECTIONS = Columns(
    CorrectionRow,
    origin_month="date",
    figure="text",
    workspace_id="uuid",
    project_id="uuid",
    user_id="uuid",
    amount="numeric",
)
_ADD_CORRECTIONS = text(f"""
    INSERT INTO correction AS booked (organization_id, booked_month, origin_month, figure,
                                      workspace_id, project_id, user_id, amount)
    SELECT organization_id, CAST(:booked_month AS date), origin_month, figure,
           workspace_id, project_id, user_id, sum(amount)
    FROM {OWNER} CROSS JOIN {_CORRECTIONS.as_rows("new")}
    GROUP BY organization_id, origin_month, figure, workspace_id, project_id, user_id
    ON CONFLICT (organization_id, booked_month, origin_month, figure,
                 workspace_id, project_id, user_id)
    DO UPDATE SET amount = booked.amount + excluded.amount
""")


_PLACE: Mapping[str, ColumnElement[Any]] = {
    "origin_month": Correction.__table__.c.origin_month,
    "figure": Correction.__table__.c.figure,
    "workspace": func.coalesce(Workspace.name, ""),
    "project": func.coalesce(Project.name, ""),
    "username": func.coalesce(PlatformUser.username, ""),
}
"""What identifies a correction in its month, and the order. An empty name is that of no entity."""


@compile_once
def select_corrections_of_reports(
    selection: frozenset[str], *, paging: Paging = UNPAGED
) -> Select[Any]:
    """Select the corrections booked in each of the report months bound to `parent_month`.

    Columns: origin_month, figure, workspace, project, username, amount. Rows are sorted by origin
    month, figure and names. The parameters of a page are `first` and, for its cursor,
    `after_origin_month`, `after_figure` and so on; an empty name is that of no entity.
    """
    parent = parents({"month": Date})
    available = {
        "origin_month": Correction.origin_month,
        "figure": Correction.figure,
        "workspace": Workspace.name,
        "project": Project.name,
        "username": PlatformUser.username,
        "amount": Correction.amount,
    }
    is_booked_in_parent = and_(
        Correction.organization_id == ORGANIZATION,
        Correction.booked_month == parent.c.month,
        Correction.amount != 0,
    )
    columns, order = select_columns(available, selection), [*_PLACE.values()]
    page = (
        select_page(columns, order, paging)
        .select_from(Correction)
        .outerjoin(Workspace, is_corrected(Workspace, "workspace_id"))
        .outerjoin(Project, is_corrected(Project, "project_id"))
        .outerjoin(PlatformUser, is_corrected(PlatformUser, "user_id"))
        .where(is_booked_in_parent)
    )
    if paging.has_cursor:
        cursor = [bindparam(f"after_{name}", type_=it.type) for name, it in _PLACE.items()]
        page = page.where(tuple_(*order) > tuple_(*cursor))
    total = select(TOTAL_COUNT).where(is_booked_in_parent) if paging.is_counted else None
    return select_pages(parent, parent.c.ordinal, page, total)


_CORRECTED_FIGURES: Mapping[Section, Sequence[Figure]] = {
    Section.WORKSPACE: (Figure.EXPERIMENTS_CREATED, Figure.BYTE_MICROSECONDS),
    Section.PROJECT: (Figure.EXPERIMENTS_CREATED, Figure.BYTE_MICROSECONDS),
    Section.MEMBER: (Figure.EXPERIMENTS_CREATED, Figure.BYTE_MICROSECONDS),
    Section.USER: (
        *(Figure.LICENSED_USERS, Figure.EXPERIMENTS_CREATED, Figure.BYTE_MICROSECONDS),
        *(Figure.UI_USAGE, Figure.SDK_USAGE),
    ),
    Section.CORRECTION: tuple(Figure),
}
"""A section shows corrections of its flows. The stocks of two months do not add up."""
_UNLICENSED = {
    Figure.UI_USAGE: Figure.UNLICENSED_UI_USAGE,
    Figure.SDK_USAGE: Figure.UNLICENSED_SDK_USAGE,
}
_PLACES: Mapping[Section, Mapping[str, Any]] = {
    Section.WORKSPACE: {"workspace": Workspace.name},
    Section.PROJECT: {"workspace": Workspace.name, "project": Project.name},
    Section.MEMBER: {"workspace": Workspace.name, "username": PlatformUser.username},
    Section.USER: {"username": PlatformUser.username},
    Section.CORRECTION: {
        "workspace": Workspace.name,
        "project": Project.name,
        "username": PlatformUser.username,
    },
}


@compile_once
def select_corrected_figures(
    section: Section, *, in_workspace: bool, is_limited: bool = False
) -> Select[Any]:
    """Select what the month in `report_month` corrects, one row per origin month and place.

    Columns: `origin_month`, the names of the section's place, and the amount of each figure, 0
    where it is not corrected. With `in_workspace`, only places in `workspace`. If limited, `first`
    rows after `skip`.
    """
    figures, places = _CORRECTED_FIGURES[section], _PLACES[section]
    if section is Section.USER:
        # Users are listed with their usage whether they are licensed or not.
        parts = {figure: {figure, _UNLICENSED.get(figure, figure)} for figure in figures}
    else:
        parts = {figure: {figure} for figure in figures}
    amounts = {figure: _sum_amounts(figure, added) for figure, added in parts.items()}
    statement = (
        select(
            literal_column("1", BigInteger).label("ordinal"),
            Correction.origin_month,
            *(name.label(label) for label, name in places.items()),
            *(amount.label(figure.name.lower()) for figure, amount in amounts.items()),
        )
        .select_from(Correction)
        .outerjoin(Workspace, is_corrected(Workspace, "workspace_id"))
        .outerjoin(Project, is_corrected(Project, "project_id"))
        .outerjoin(PlatformUser, is_corrected(PlatformUser, "user_id"))
        .where(
            Correction.organization_id == ORGANIZATION,
            Correction.booked_month == bindparam("report_month", type_=Date),
            _is_one_of(chain.from_iterable(parts.values())),
            *([Workspace.name == bindparam("workspace")] if in_workspace else ()),
        )
        .group_by(Correction.origin_month, *places.values())
        .having(or_(*(amount != 0 for amount in amounts.values())))
    )
    statement = statement.order_by(
        Correction.origin_month, *(name.asc().nulls_first() for name in places.values())
    )
    return limit_rows(statement) if is_limited else statement


def _sum_amounts(figure: Figure, parts: Iterable[Figure]) -> ColumnElement[Any]:
    total = func.coalesce(func.sum(Correction.amount).filter(_is_one_of(parts)), 0)
    # Files hold 64-bit numbers; bytes times microseconds are divided before they are shown.
    return to_bigint(total) if figure is Figure.SIZE_BYTES else total


def _is_one_of(figures: Iterable[Figure]) -> ColumnElement[bool]:
    return Correction.figure.in_([literal(figure.value) for figure in sorted(figures)])


def is_corrected(table: Any, key: str) -> ColumnElement[bool]:
    """Return the condition that joins the workspace, project or user that a correction names."""
    return and_(
        table.organization_id == ORGANIZATION, getattr(table, key) == getattr(Correction, key)
    )


class NetCorrection(NamedTuple):
    """The sum of a closed month's corrections for one figure and place."""

    figure: str
    workspace: str | None
    project: str | None
    username: str | None
    amount: int


async def select_corrections_of_month(
    tx: AsyncConnection, organization_id: UUID, origin_month: Month
) -> Sequence[NetCorrection]:
    """Return the corrections of a closed month, summed over the months that they are booked in.

    There is one row for each figure and place; a sum of 0 is left out.
    """
    place = (
        Correction.figure,
        Workspace.name.label("workspace"),
        Project.name.label("project"),
        PlatformUser.username.label("username"),
    )
    amount = func.sum(Correction.amount)
    statement = (
        select(*place, amount.label("amount"))
        .select_from(Correction)
        .outerjoin(Workspace, is_corrected(Workspace, "workspace_id"))
        .outerjoin(Project, is_corrected(Project, "project_id"))
        .outerjoin(PlatformUser, is_corrected(PlatformUser, "user_id"))
        .where(
            Correction.organization_id == ORGANIZATION,
            Correction.origin_month == origin_month.first_day,
        )
        .group_by(*place)
        .having(amount != 0)
    )
    rows = await tx.execute(statement, {"organization_id": organization_id})
    return [NetCorrection(*row[:-1], int(row.amount)) for row in rows]


class CorrectedUsage(NamedTuple):
    """A user's usage in a closed month, corrections included, licensed or not."""

    month: Month
    user_id: UUID
    ui_usage_count: int
    sdk_usage_count: int


_USERS_IN_MONTHS = Columns(month="date", user_id="uuid")
_SELECT_USAGE = text(f"""
    WITH selected AS (SELECT month, user_id FROM {_USERS_IN_MONTHS.as_rows("bound")}),
    late AS (
        SELECT origin_month, user_id,
               sum(amount) FILTER (WHERE figure IN ('UI_USAGE', 'UNLICENSED_UI_USAGE')) AS ui,
               sum(amount) FILTER (WHERE figure IN ('SDK_USAGE', 'UNLICENSED_SDK_USAGE')) AS sdk
        FROM correction
        WHERE organization_id = :organization_id
          AND (origin_month, user_id) IN (SELECT month, user_id FROM selected)
        GROUP BY origin_month, user_id
    )
    SELECT selected.month, selected.user_id,
           coalesce(user_month.ui_usage_count, 0) + coalesce(late.ui, 0),
           coalesce(user_month.sdk_usage_count, 0) + coalesce(late.sdk, 0)
    FROM selected
    LEFT JOIN user_month
      ON user_month.organization_id = :organization_id
     AND user_month.month = selected.month AND user_month.user_id = selected.user_id
    LEFT JOIN late ON late.origin_month = selected.month AND late.user_id = selected.user_id
""")


async def select_usage_with_corrections(
    tx: AsyncConnection, organization_id: UUID, of: Collection[tuple[Month, UUID]]
) -> Sequence[CorrectedUsage]:
    """Return the usage of these users in these closed months, corrections included."""
    if not of:
        return ()
    keys = ((month.first_day, user_id) for month, user_id in of)
    rows = await tx.execute(
        _SELECT_USAGE, {"organization_id": organization_id, **_USERS_IN_MONTHS.bind_rows(keys)}
    )
    return [
        CorrectedUsage(Month.containing(month), user_id, int(ui), int(sdk))
        for month, user_id, ui, sdk in rows
    ]


async def delete_corrections(
    tx: AsyncConnection, organization_id: UUID, first: Month, last: Month
) -> None:
    """Delete the corrections of reopened months, whose own rows change again."""
    await tx.execute(
        delete(Correction).where(
            Correction.organization_id == organization_id,
            Correction.origin_month.between(first.first_day, last.first_day),
        )
    )
