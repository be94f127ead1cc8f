"""Conversions of column values for the response, and of arguments for resolvers."""

from datetime import UTC, date, datetime
from uuid import UUID

from app.db.report_windows import ReportWindow
from app.domain.ids import id_in_report


def from_hundredths(value: int) -> float:
    """Convert exact hundredths to a number with two decimals."""
    return value / 100


def to_id(organization_id: UUID, window: ReportWindow, *parts: UUID | str) -> str:
    """Return the id of a report or, with the keys of an entity, of the entity in the report."""
    return id_in_report(organization_id, window.month, *parts)


def to_start_of_day(day: date | None) -> datetime | None:
    """Convert a day to its first instant in UTC."""
    return None if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC)
