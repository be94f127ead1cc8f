"""Accepted events, archived usage, and the counts of the feed."""

import uuid
from datetime import date

from sqlalchemy import BigInteger, Date, Index, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import (
    Amount,
    Base,
    Instant,
    Key,
    MonthKey,
    Name,
    OptionalInstant,
    Reference,
    foreign_key,
)


class Event(Base):
    """An accepted event; `uid` is derived from (source, id) and is unique.

    The table is partitioned by `partition_year`. Partition 0 is kept forever. Usage events go to
    the partition of the year in which they arrived, which is archived and dropped as a whole
    (`app/db/partitions.py`). PostgreSQL has no unique key across partitions; batches of one
    organization run one after the other and check for known uids before they insert.

    There is no foreign key to the organization: PostgreSQL would check it for each of many
    millions of rows, while the batch holds a lock on the organization's row anyway.
    """

    __tablename__ = "event"

    organization_id: Mapped[Key]
    uid: Mapped[Key]
    partition_year: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False
    )
    type: Mapped[str]
    occurred_at: Mapped[Instant]
    received_at: Mapped[Instant]
    # The entity whose timeline the fact belongs to, and the entity in which the fact places it:
    # the workspace of a member or project, the project of an experiment.
    subject_id: Mapped[Reference]
    parent_id: Mapped[uuid.UUID | None]
    source: Mapped[str]
    id: Mapped[str]
    data: Mapped[dict[str, object]] = mapped_column(JSONB)

    __table_args__ = (
        Index(
            "event_by_subject",
            "organization_id",
            "subject_id",
            "occurred_at",
            postgresql_where=text("type <> 'usage.recorded'"),
        ),
        Index(
            "event_by_parent",
            "organization_id",
            "parent_id",
            "occurred_at",
            postgresql_where=text("parent_id IS NOT NULL"),
        ),
        {"postgresql_partition_by": "LIST (partition_year)"},
    )


class UsageArchive(Base):
    """The sums of usage events that were dropped; a replay needs no more of them.

    `last_used_at` is null when the events counted no use.
    """

    __tablename__ = "usage_archive"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    user_id: Mapped[Key]
    channel: Mapped[str] = mapped_column(primary_key=True)
    use_count: Mapped[int] = mapped_column(BigInteger)
    last_used_at: Mapped[OptionalInstant]
    event_count: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (foreign_key("user_id", of="platform_user"),)


class FeedSource(Base):
    """How many events of a source have arrived; the source is the name in the events."""

    __tablename__ = "feed_source"

    organization_id: Mapped[Key]
    source: Mapped[Name] = mapped_column(primary_key=True)
    accepted: Mapped[Amount]
    duplicates: Mapped[Amount]
    last_event_at: Mapped[Instant]
    last_received_at: Mapped[Instant]

    __table_args__ = (foreign_key(of="organization"),)


class FeedDay(Base):
    """How many events arrived on a day in UTC, by outcome."""

    __tablename__ = "feed_day"

    organization_id: Mapped[Key]
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    accepted: Mapped[Amount]
    duplicates: Mapped[Amount]
    # All events of refused batches; none of them was stored, valid or not.
    refused: Mapped[Amount]
    refused_batches: Mapped[Amount]

    __table_args__ = (foreign_key(of="organization"),)
