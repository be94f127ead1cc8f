"""Statements for the data behind charge lines: projects, corrections and events."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Date,
    DateTime,
    Integer,
    Select,
    String,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    or_,
    select,
)

from app.db.corrections import is_corrected
from app.db.report_windows import ORGANIZATION
from app.db.row_reader import RowReader
from app.db.statements import Composable, compile_once
from app.db.tables import Correction, Event, PlatformUser, Project
from app.domain.charges import Party
from app.domain.figures import Figure
from app.domain.months import Month


class EventRow(NamedTuple):
    """An accepted event."""

    source: str
    id: str
    type: str
    occurred_at: datetime
    received_at: datetime
    data: str


class LateRow(NamedTuple):
    """What late events add to a figure of a closed month, by project and user."""

    project: str | None
    username: str | None
    amount: Decimal


async def read_events_of_workspace(
    read: RowReader, workspace_id: UUID, before: datetime, limit: int
) -> Sequence[EventRow]:
    """Return the events of a workspace's projects and experiments, latest first."""
    parameters = {"workspace_id": workspace_id, "before": before, "limit": limit}
    return [EventRow(*row) for row in await read(_select_events_of_workspace(), parameters)]


@compile_once
def _select_events_of_workspace() -> Composable:
    workspace = bindparam("workspace_id", type_=Uuid)
    created = Event.__table__.alias("created")
    projects = select(Project.project_id).where(
        Project.organization_id == ORGANIZATION, Project.workspace_id == workspace
    )
    experiments = select(created.c.subject_id).where(
        created.c.organization_id == ORGANIZATION, created.c.parent_id.in_(projects)
    )
    return _select_events().where(
        or_(
            Event.subject_id == workspace,
            Event.subject_id.in_(projects),
            Event.subject_id.in_(experiments),
        )
    )


async def read_events_of_entities(
    read: RowReader, entities: Sequence[UUID], before: datetime, limit: int
) -> Sequence[EventRow]:
    """Return the events of users and memberships, uses excepted, latest first."""
    parameters = {"entities": list(entities), "before": before, "limit": limit}
    return [EventRow(*row) for row in await read(_select_events_of_entities(), parameters)]


@compile_once
def _select_events_of_entities() -> Composable:
    return _select_events().where(
        Event.subject_id == any_(bindparam("entities", type_=ARRAY(Uuid)))
    )


def _select_events() -> Select[Any]:
    """Select all events but uses, which are too many to list: month rows count them."""
    columns: tuple[Any, ...] = (
        *(Event.source, Event.id, Event.type, Event.occurred_at, Event.received_at),
        cast(Event.data, String),
    )
    return (
        select(*columns)
        .where(
            Event.organization_id == ORGANIZATION,
            Event.type != "usage.recorded",
            Event.occurred_at < bindparam("before", type_=DateTime(timezone=True)),
        )
        .order_by(Event.occurred_at.desc(), Event.uid)
        .limit(bindparam("limit", type_=Integer))
    )


async def read_late_rows(
    read: RowReader,
    booked_month: date,
    origin_month: date,
    figure: Figure,
    workspace_id: UUID | None,
    user_id: UUID | None,
) -> Sequence[LateRow]:
    """Return the corrections behind a line, those of a workspace or of a user."""
    parameters = {
        "booked_month": booked_month,
        "origin_month": origin_month,
        "figure": str(figure),
        "workspace_id": workspace_id,
        "user_id": user_id,
    }
    return [LateRow(*row) for row in await read(_select_late_rows(), parameters)]


@compile_once
def _select_late_rows() -> Select[Any]:
    columns: tuple[Any, ...] = (Project.name, PlatformUser.username, Correction.amount)
    workspace, user = (bindparam(name, type_=Uuid) for name in ("workspace_id", "user_id"))
    return (
        select(*columns)
        .outerjoin(Project, is_corrected(Project, "project_id"))
        .outerjoin(PlatformUser, is_corrected(PlatformUser, "user_id"))
        .where(
            Correction.organization_id == ORGANIZATION,
            Correction.booked_month == bindparam("booked_month", type_=Date),
            Correction.origin_month == bindparam("origin_month", type_=Date),
            Correction.figure == bindparam("figure", type_=Correction.figure.type),
            or_(workspace.is_(None), Correction.workspace_id == workspace),
            or_(user.is_(None), Correction.user_id == user),
        )
        .order_by(Project.name, PlatformUser.username, Correction.project_id, Correction.user_id)
    )


class CorrectedProjectRow(NamedTuple):
    """By how much a figure of a project changes in a closed month."""

    origin: Month
    figure: Figure
    workspace_id: UUID
    project: Party
    amount: Decimal


async def read_corrected_projects(
    read: RowReader, booked_month: Month, figures: Sequence[Figure]
) -> Sequence[CorrectedProjectRow]:
    """Return the corrections of projects that a month books, summed over users, by name."""
    parameters = {"booked_month": booked_month.first_day, "figures": [*map(str, figures)]}
    return [
        CorrectedProjectRow(
            Month.containing(origin), Figure(figure), workspace, Party(project, name), amount
        )
        for origin, figure, workspace, project, name, amount in await read(
            _select_corrected_projects(), parameters
        )
    ]


@compile_once
def _select_corrected_projects() -> Composable:
    grouped: tuple[Any, ...] = (
        Correction.origin_month,
        Correction.figure,
        Correction.workspace_id,
        Correction.project_id,
        Project.name,
    )
    return (
        select(*grouped, func.sum(Correction.amount))
        .join(Project, is_corrected(Project, "project_id"))
        .where(
            Correction.organization_id == ORGANIZATION,
            Correction.booked_month == bindparam("booked_month", type_=Date),
            Correction.figure == any_(bindparam("figures", type_=ARRAY(Correction.figure.type))),
        )
        .group_by(*grouped)
        .order_by(Project.name, Correction.project_id, *grouped[:3])
    )
