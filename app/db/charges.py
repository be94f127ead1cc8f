"""Statements of charges: what a month is charged for, and the lines that its close booked."""

from collections.abc import Collection, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Date, Select, Uuid, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.corrections import is_corrected
from app.db.levels import Existence
from app.db.report_windows import ORGANIZATION, ReportWindow, bind_reports, window_of_ended
from app.db.row_reader import RowReader
from app.db.statements import Composable, Statement, compile_once
from app.db.tables import (
    Charge,
    Correction,
    MemberMonth,
    MonthClose,
    PlatformUser,
    UserMonth,
    Workspace,
)
from app.db.users import select_licensed_users, select_licensed_users_of_reports
from app.db.workspaces import select_workspaces_of_reports
from app.domain.charges import ChargeLine, MonthCharges, Party
from app.domain.figures import Figure
from app.domain.money import Currency
from app.domain.months import Month
from app.domain.rates import Measure, Rate, Split


class WorkspaceUsage(NamedTuple):
    """What one workspace is charged for in a month."""

    workspace: Party
    byte_microseconds: int
    experiments_created: int


class UserUsage(NamedTuple):
    """What one licensed user is charged for in a month."""

    user: Party
    is_service_account: bool
    ui_uses: int
    sdk_uses: int


class ChargeCorrection(NamedTuple):
    """By how much a closed month's quantity of a measure changes, booked in a later month."""

    origin: Month
    booked: Month
    figure: Figure
    workspace: Party | None
    user: Party | None
    amount: int


async def read_workspace_usage(read: RowReader, window: ReportWindow) -> Sequence[WorkspaceUsage]:
    """Return the usage of all workspaces, those deleted within the month included."""
    selection = frozenset(_WORKSPACE_COLUMNS)
    statement = select_workspaces_of_reports(selection, existence=Existence.ANY)
    at = [statement.columns[name] for name in _WORKSPACE_COLUMNS]
    usage = []
    for row in await read(statement, _of_report(window)):
        key, name, held, created = (row[index] for index in at)
        usage.append(WorkspaceUsage(Party(key, name), int(held or 0), created or 0))
    return usage


_WORKSPACE_COLUMNS = ("workspace_id", "name", "byte_microseconds", "experiments_created")


async def read_user_usage(read: RowReader, window: ReportWindow) -> Sequence[UserUsage]:
    """Return the usage of all licensed users."""
    statement = select_licensed_users_of_reports(frozenset(_USER_COLUMNS))
    return _to_user_usage(statement, await read(statement, _of_report(window)))


def _to_user_usage(statement: Statement, rows: Sequence[Sequence[Any]]) -> list[UserUsage]:
    at = [statement.columns[name] for name in _USER_COLUMNS]
    usage = []
    for row in rows:
        key, name, is_service_account, ui_uses, sdk_uses = (row[index] for index in at)
        usage.append(UserUsage(Party(key, name), is_service_account, ui_uses or 0, sdk_uses or 0))
    return usage


_USER_COLUMNS = ("user_id", "username", "service_account", "ui_usage_count", "sdk_usage_count")


def _of_report(window: ReportWindow) -> dict[str, Any]:
    return {"parent_month": [window.month.first_day], **bind_reports([window], one=True)}


async def read_memberships(read: RowReader, rows_month: date | None) -> dict[UUID, list[Party]]:
    """Return the workspaces of each member at the end of a month, sorted by name and id."""
    found: dict[UUID, list[Party]] = {}
    for user, workspace, name in await read(_select_memberships(), {"month": rows_month}):
        found.setdefault(user, []).append(Party(workspace, name))
    return found


@compile_once
def _select_memberships() -> Composable:
    columns: tuple[Any, ...] = (MemberMonth.user_id, MemberMonth.workspace_id, Workspace.name)
    return (
        select(*columns)
        .join(
            Workspace,
            (Workspace.organization_id == ORGANIZATION)
            & (Workspace.workspace_id == MemberMonth.workspace_id),
        )
        .where(
            MemberMonth.organization_id == ORGANIZATION,
            MemberMonth.month == bindparam("month", type_=Date),
            MemberMonth.present,
        )
        .order_by(MemberMonth.user_id, Workspace.name, MemberMonth.workspace_id)
    )


async def read_licensed_usage(
    read: RowReader, month: Month, users: Collection[UUID]
) -> Sequence[UserUsage]:
    """Return the usage of those of the users that a closed month licensed."""
    statement = select_licensed_users(frozenset(_USER_COLUMNS))
    parents = {"parent_month": [month.first_day] * len(users), "parent_user_id": list(users)}
    reports = bind_reports([window_of_ended(month)], one=True)
    return _to_user_usage(statement, await read(statement, {**parents, **reports}))


async def read_corrections(read: RowReader, month: date) -> Sequence[ChargeCorrection]:
    """Return the corrections of charged figures that are booked in a month."""
    parameters = {"month": month, "figures": [*map(str, CORRECTED_FIGURES)]}
    return [_to_correction(row) for row in await read(_select_corrections(), parameters)]


async def read_earlier_corrections(
    read: RowReader, month: date, origins: Collection[Month], users: Collection[UUID]
) -> Sequence[ChargeCorrection]:
    """Return the corrections of users in closed months that earlier months booked."""
    parameters = {
        "month": month,
        "origins": [origin.first_day for origin in origins],
        "users": list(users),
        "figures": [*map(str, CORRECTED_FIGURES_OF_USERS)],
    }
    rows = await read(_select_earlier_corrections(), parameters)
    return [_to_correction(row) for row in rows]


def _to_correction(row: Sequence[Any]) -> ChargeCorrection:
    origin, booked, figure, workspace_id, workspace, user_id, username, amount = row
    return ChargeCorrection(
        Month.containing(origin),
        Month.containing(booked),
        Figure(figure),
        _to_party(workspace_id, workspace),
        _to_party(user_id, username),
        int(amount),
    )


CORRECTED_FIGURES_OF_USERS = (
    Figure.LICENSED_USERS,
    Figure.MEMBERS,
    Figure.UI_USAGE,
    Figure.SDK_USAGE,
)
"""The figures whose corrections change what is charged for users; MEMBERS decides who pays."""
CORRECTED_FIGURES = (
    Figure.BYTE_MICROSECONDS,
    Figure.EXPERIMENTS_CREATED,
    *CORRECTED_FIGURES_OF_USERS,
)
"""The figures whose corrections change what is charged."""


@compile_once
def _select_corrections() -> Composable:
    return _sum_corrections().where(Correction.booked_month == bindparam("month", type_=Date))


@compile_once
def _select_earlier_corrections() -> Composable:
    return _sum_corrections().where(
        Correction.booked_month < bindparam("month", type_=Date),
        Correction.origin_month == func.any(bindparam("origins", type_=ARRAY(Date))),
        Correction.user_id == func.any(bindparam("users", type_=ARRAY(Uuid))),
    )


def _sum_corrections() -> Select[Any]:
    """Sum corrections over projects, and over users where a workspace is charged."""
    grouped: tuple[Any, ...] = (
        Correction.origin_month,
        Correction.booked_month,
        Correction.figure,
        Correction.workspace_id,
        Workspace.name,
        Correction.user_id,
        PlatformUser.username,
    )
    figures = bindparam("figures", type_=ARRAY(Correction.figure.type))
    amount = func.sum(Correction.amount)
    return (
        select(*grouped, amount)
        .outerjoin(Workspace, is_corrected(Workspace, "workspace_id"))
        .outerjoin(PlatformUser, is_corrected(PlatformUser, "user_id"))
        .where(
            Correction.organization_id == ORGANIZATION,
            Correction.figure == func.any(figures),
        )
        .group_by(*grouped)
        .having(amount != 0)
    )


async def read_service_accounts(
    read: RowReader, months: Collection[date], users: Collection[UUID]
) -> dict[tuple[Month, UUID], bool]:
    """Return which of the users were service accounts, by month and user, where licensed."""
    parameters = {"months": sorted(months), "users": list(users)}
    rows = await read(_select_service_accounts(), parameters)
    return {(Month.containing(day), user): flag for day, user, flag in rows}


@compile_once
def _select_service_accounts() -> Composable:
    columns: tuple[Any, ...] = (UserMonth.month, UserMonth.user_id, UserMonth.service_account)
    return select(*columns).where(
        UserMonth.organization_id == ORGANIZATION,
        UserMonth.month == func.any(bindparam("months", type_=ARRAY(Date))),
        UserMonth.user_id == func.any(bindparam("users", type_=ARRAY(Uuid))),
        UserMonth.licensed,
    )


async def read_booked_charges(read: RowReader, month: Month) -> MonthCharges | None:
    """Return the charges that a month's close booked; None when it booked none."""
    close = await read(_select_booked_currency(), {"month": month.first_day})
    if not close or close[0][0] is None:
        return None
    statement = _select_booked_lines()
    names = {}
    lines = []
    for values in await read(statement, {"month": month.first_day}):
        row = dict(zip(statement.columns, values, strict=True))
        if row["cost_centre"] is not None:
            names[row["cost_centre"]] = row["cost_centre_name"]
        lines.append(_to_line(row))
    return MonthCharges(month, Currency.parse(close[0][0]), lines, names)


@compile_once
def _select_booked_currency() -> Composable:
    return select(MonthClose.currency).where(
        MonthClose.organization_id == ORGANIZATION,
        MonthClose.month == bindparam("month", type_=Date),
    )


@compile_once
def _select_booked_lines() -> Composable:
    columns = [column for column in Charge.__table__.c if column.name not in _LINE_KEY]
    return (
        select(*columns)
        .where(
            Charge.organization_id == ORGANIZATION,
            Charge.month == bindparam("month", type_=Date),
        )
        .order_by(Charge.number)
    )


_LINE_KEY = {"organization_id", "month", "number"}


def _to_line(row: dict[str, Any]) -> ChargeLine:
    split = None if row["split"] is None else Split(row["split"])
    measure = Measure(row["measure"])
    payer = row["cost_centre"] if measure is Measure.FEE and split is None else None
    origin = row["origin_month"]
    return ChargeLine(
        Rate(row["rate"], row["rate_name"], measure, split, payer),
        row["cost_centre"],
        _to_party(row["workspace_id"], row["workspace"]),
        _to_party(row["user_id"], row["username"]),
        None if origin is None else Month.containing(origin),
        Fraction(int(row["quantity_numerator"]), int(row["quantity_denominator"])),
        row["price"],
        int(row["booked"]),
    )


def _to_party(key: UUID | None, name: str | None) -> Party | None:
    return None if key is None or name is None else Party(key, name)


async def insert_charges(
    tx: AsyncConnection, organization_id: UUID, charges: MonthCharges
) -> None:
    """Store the charges of a month that has just been closed, with their currency and hash."""
    month = charges.month.first_day
    rows = [
        {
            "organization_id": organization_id,
            "month": month,
            "number": number,
            "rate": line.rate.code,
            "rate_name": line.rate.name,
            "measure": line.rate.measure,
            "split": line.rate.split,
            "cost_centre": line.cost_centre,
            "cost_centre_name": charges.name_of(line.cost_centre),
            "workspace_id": line.workspace and line.workspace.id,
            "workspace": line.workspace and line.workspace.name,
            "user_id": line.user and line.user.id,
            "username": line.user and line.user.name,
            "origin_month": line.origin and line.origin.first_day,
            "quantity_numerator": Decimal(line.quantity.numerator),
            "quantity_denominator": Decimal(line.quantity.denominator),
            "price": line.price,
            "booked": line.booked,
        }
        for number, line in enumerate(charges.lines, 1)
    ]
    if rows:
        await tx.execute(insert(Charge), rows)
    await tx.execute(
        update(MonthClose)
        .where(MonthClose.organization_id == organization_id, MonthClose.month == month)
        .values(currency=charges.currency.code, charges_hash=charges.sha256)
    )
