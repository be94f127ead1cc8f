"""The base of all mapped classes, and the column types that they share."""

import uuid
from datetime import date, datetime
from typing import Annotated

from sqlalchemy import BigInteger, Date, DateTime, ForeignKeyConstraint, String, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import DeclarativeBase, mapped_column


class Base(DeclarativeBase):
    """The declared schema; a test compares it with the migrations."""


Key = Annotated[uuid.UUID, mapped_column(Uuid, primary_key=True)]
MonthKey = Annotated[date, mapped_column(Date, primary_key=True)]
Reference = Annotated[uuid.UUID, mapped_column(Uuid)]
Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
OptionalInstant = Annotated[datetime | None, mapped_column(DateTime(timezone=True))]
Instants = Annotated[
    list[datetime | None], mapped_column(ARRAY(DateTime(timezone=True)), server_default="{}")
]
# Sorted by code point, whatever the database's own collation.
Name = Annotated[str, mapped_column(String(collation="C"))]
Flag = Annotated[bool, mapped_column(server_default=text("false"))]
Amount = Annotated[int, mapped_column(BigInteger, server_default=text("0"))]


def foreign_key(*columns: str, of: str, ondelete: str | None = None) -> ForeignKeyConstraint:
    """Return a foreign key that begins with `organization_id`."""
    names = ("organization_id", *columns)
    return ForeignKeyConstraint(names, [f"{of}.{name}" for name in names], ondelete=ondelete)
