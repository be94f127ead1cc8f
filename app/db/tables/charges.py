"""Mapped classes of the rate card and of booked charges: columns, keys, constraints."""

import uuid
from datetime import date
from decimal import Decimal

from sqlalchemy import Date, ForeignKeyConstraint, Integer, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import Base, Key, MonthKey, Name

_UNIT_PRICE = Numeric(20, 10)
_EXACT_INTEGER = Numeric(60, 0)


def _references(
    *columns: str, table: str, to: str, ondelete: str | None = None
) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ("organization_id", *columns),
        [f"{table}.organization_id", f"{table}.{to}"],
        ondelete=ondelete,
    )


class CostCentre(Base):
    """Who pays."""

    __tablename__ = "cost_centre"

    organization_id: Mapped[Key]
    code: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    name: Mapped[Name]

    __table_args__ = (ForeignKeyConstraint(["organization_id"], ["organization.organization_id"]),)


class Assignment(Base):
    """Which cost centre a workspace or user belongs to from a month on; null ends it."""

    __tablename__ = "assignment"

    organization_id: Mapped[Key]
    kind: Mapped[str] = mapped_column(primary_key=True)
    entity_id: Mapped[Key]
    from_month: Mapped[MonthKey]
    cost_centre: Mapped[str | None] = mapped_column(String(collation="C"))

    __table_args__ = (_references("cost_centre", table="cost_centre", to="code"),)


class Rate(Base):
    """Something charged by one measure. `split` and `cost_centre` are of fees alone."""

    __tablename__ = "rate"

    organization_id: Mapped[Key]
    code: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    name: Mapped[Name]
    measure: Mapped[str]
    split: Mapped[str | None]
    cost_centre: Mapped[str | None] = mapped_column(String(collation="C"))

    __table_args__ = (
        ForeignKeyConstraint(["organization_id"], ["organization.organization_id"]),
        _references("cost_centre", table="cost_centre", to="code"),
    )


class Price(Base):
    """The price of one unit from a month on; null ends it."""

    __tablename__ = "price"

    organization_id: Mapped[Key]
    rate: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    from_month: Mapped[MonthKey]
    amount: Mapped[Decimal | None] = mapped_column(_UNIT_PRICE)

    __table_args__ = (_references("rate", table="rate", to="code"),)


class Charge(Base):
    """A charge line of a closed month, as it was booked. Reopening the month deletes it.

    The quantity is `quantity_numerator / quantity_denominator`; `booked` counts minor units of the
    close's currency. `origin_month` is set on corrections.
    """

    __tablename__ = "charge"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    rate: Mapped[str] = mapped_column(String(collation="C"))
    rate_name: Mapped[str]
    measure: Mapped[str]
    split: Mapped[str | None]
    cost_centre: Mapped[str | None] = mapped_column(String(collation="C"))
    cost_centre_name: Mapped[str | None]
    workspace_id: Mapped[uuid.UUID | None]
    workspace: Mapped[str | None]
    user_id: Mapped[uuid.UUID | None]
    username: Mapped[str | None] = mapped_column(String(collation="C"))
    origin_month: Mapped[date | None] = mapped_column(Date)
    quantity_numerator: Mapped[Decimal] = mapped_column(_EXACT_INTEGER)
    quantity_denominator: Mapped[Decimal] = mapped_column(_EXACT_INTEGER)
    price: Mapped[Decimal] = mapped_column(_UNIT_PRICE)
    booked: Mapped[Decimal] = mapped_column(_EXACT_INTEGER)

    __table_args__ = (_references("month", table="month_close", to="month", ondelete="CASCADE"),)
