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
from app.domain.sections import Section


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
    workspace_id: UUID,
) -> Sequence[LateRow]:
    """Return the corrections of a workspace behind a line."""
    parameters = {
        "booked_month": booked_month,
        "origin_month": origin_month,
        "figure": str(figure),
        "workspace_id": workspace_id,
    }
    return [LateRow(*row) for row in await read(_select_late_rows(), parameters)]


@compile_once
def _select_late_rows() -> Select[Any]:
    columns: tuple[Any, ...] = (Project.name, PlatformUser.username, Correction.amount)
    return (
        select(*columns)
        .outerjoin(Project, is_corrected(Project, "project_id"))
        .outerjoin(PlatformUser, is_corrected(PlatformUser, "user_id"))
        .where(
            Correction.organization_id == ORGANIZATION,
            Correction.booked_month == bindparam("booked_month", type_=Date),
            Correction.origin_month == bindparam("origin_month", type_=Date),
            Correction.figure == bindparam("figure", type_=Correction.figure.type),
            Correction.workspace_id == bindparam("workspace_id", type_=Uuid),
        )
        .order_by(Project.name, PlatformUser.username, Correction.project_id, Correction.user_id)
    )


class CorrectedPartRow(NamedTuple):
    """By how much a figure of a project, or of a member, changes in a closed month."""

    origin: Month
    figure: Figure
    workspace_id: UUID
    part: Party
    amount: Decimal


async def read_corrected_parts(
    read: RowReader, booked_month: Month, figures: Sequence[Figure], kind: Section
) -> Sequence[CorrectedPartRow]:
    """Return the corrections of projects, or of members, that a month books, by name."""
    parameters = {"booked_month": booked_month.first_day, "figures": [*map(str, figures)]}
    return [
        CorrectedPartRow(
            Month.containing(origin), Figure(figure), workspace, Party(part, name), amount
        )
        for origin, figure, workspace, part, name, amount in await read(
            _select_corrected_parts(kind), parameters
        )
    ]


@compile_once
def _select_corrected_parts(kind: Section) -> Composable:
    of_projects = kind is Section.PROJECT
    table: Any = Project if of_projects else PlatformUser
    key = Correction.project_id if of_projects else Correction.user_id
    name = Project.name if of_projects else PlatformUser.username
    grouped: tuple[Any, ...] = (
        *(Correction.origin_month, Correction.figure, Correction.workspace_id),
        *(key, name),
    )
    return (
        select(*grouped, func.sum(Correction.amount))
        .join(table, is_corrected(table, key.key))
        .where(
            Correction.organization_id == ORGANIZATION,
            Correction.booked_month == bindparam("booked_month", type_=Date),
            Correction.figure == any_(bindparam("figures", type_=ARRAY(Correction.figure.type))),
        )
        .group_by(*grouped)
        .order_by(name, key, *grouped[:3])
    )
