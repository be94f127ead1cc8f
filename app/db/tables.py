"""The declared schema: columns, keys and constraints. Rows are never loaded as mapped objects.

`organization_id` leads every key, so that the schema can be distributed by it. Three groups of
tables hold the data of the platform:

- *events*: `event`, each stored once, as it arrived;
- *directory*: the users, workspaces, projects and memberships that events describe, and their
  lifespans;
- *month rows*: one row per month and entity. Stocks in a row are those at the month's end, flows
  those within the month. A report reads the rows of its month and nothing else.
"""

import uuid
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import (
    BigInteger,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Numeric,
    SmallInteger,
    String,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


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


def _foreign_key(*columns: str, of: str, ondelete: str | None = None) -> ForeignKeyConstraint:
    """Return a foreign key that begins with `organization_id`."""
    names = ("organization_id", *columns)
    return ForeignKeyConstraint(names, [f"{of}.{name}" for name in names], ondelete=ondelete)


class Organization(Base):
    """The tenant, and the span of months that its events cover."""

    __tablename__ = "organization"

    organization_id: Mapped[Key]
    name: Mapped[Name] = mapped_column(unique=True)
    created_at: Mapped[Instant]
    # Month rows exist for every month of [first_month, last_month]: from the month of the earliest
    # event that arrived before its month was closed, or of the first imported report, to that of
    # the latest event, or the month after the last imported report. The stocks of a later month
    # are those of last_month.
    first_month: Mapped[date | None]
    last_month: Mapped[date | None]
    first_event_at: Mapped[OptionalInstant]
    latest_event_at: Mapped[OptionalInstant]
    # This month and all earlier ones are closed.
    closed_through: Mapped[date | None]
    # When a batch last changed anything; the report's `createdAt`.
    changed_at: Mapped[Instant]
    # Counts the batches that changed anything: two responses of one revision are the same.
    revision: Mapped[Amount]
    # The earliest usage event of each channel; before it the channel is not measured.
    ui_measured_from: Mapped[OptionalInstant]
    sdk_measured_from: Mapped[OptionalInstant]
    # The last month that an imported report states; it and earlier ones are never corrected.
    imported_through: Mapped[date | None]
    # The currency of all prices (ISO 4217); null while the organization charges nothing.
    currency: Mapped[str | None]


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

    __table_args__ = (_foreign_key("user_id", of="platform_user"),)


class FeedSource(Base):
    """How many events of a source have arrived; the source is the name in the events."""

    __tablename__ = "feed_source"

    organization_id: Mapped[Key]
    source: Mapped[Name] = mapped_column(primary_key=True)
    accepted: Mapped[Amount]
    duplicates: Mapped[Amount]
    last_event_at: Mapped[Instant]
    last_received_at: Mapped[Instant]

    __table_args__ = (_foreign_key(of="organization"),)


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

    __table_args__ = (_foreign_key(of="organization"),)


class PlatformUser(Base):
    """A user of the experiment platform, as events describe the user now.

    `started_at` is null until an event announces the user.
    """

    __tablename__ = "platform_user"

    organization_id: Mapped[Key]
    user_id: Mapped[Key]
    username: Mapped[Name]
    email: Mapped[str | None]
    role: Mapped[str | None]
    suspended: Mapped[Flag]
    started_at: Mapped[OptionalInstant]
    ended_at: Mapped[OptionalInstant]

    __table_args__ = (
        _foreign_key(of="organization"),
        Index("platform_user_by_username", "organization_id", "username", unique=True),
    )


class Workspace(Base):
    """A workspace and its lifespans: `started_at[i]` to `ended_at[i]`, null while it exists."""

    __tablename__ = "workspace"

    organization_id: Mapped[Key]
    workspace_id: Mapped[Key]
    name: Mapped[Name]
    started_at: Mapped[Instants]
    ended_at: Mapped[Instants]

    __table_args__ = (_foreign_key(of="organization"),)


class Project(Base):
    """A project of a workspace, and its lifespans."""

    __tablename__ = "project"

    organization_id: Mapped[Key]
    project_id: Mapped[Key]
    workspace_id: Mapped[Reference]
    name: Mapped[Name]
    started_at: Mapped[Instants]
    ended_at: Mapped[Instants]

    __table_args__ = (
        _foreign_key("workspace_id", of="workspace"),
        Index("project_by_workspace", "organization_id", "workspace_id"),
    )


class Membership(Base):
    """A user's membership in a workspace, and its lifespans."""

    __tablename__ = "membership"

    organization_id: Mapped[Key]
    member_id: Mapped[Key]
    workspace_id: Mapped[Reference]
    user_id: Mapped[Reference]
    started_at: Mapped[Instants]
    ended_at: Mapped[Instants]

    __table_args__ = (
        _foreign_key("workspace_id", of="workspace"),
        _foreign_key("user_id", of="platform_user"),
        Index("membership_by_workspace", "organization_id", "workspace_id"),
        Index("membership_by_user", "organization_id", "user_id"),
    )


class StorageFigures:
    """The experiment columns of a month row. `byte_microseconds` counts the whole month.

    `unmeasured` of the `experiments` have an unknown size and add no bytes.
    """

    experiments: Mapped[Amount]
    unmeasured: Mapped[Amount]
    experiments_created: Mapped[Amount]
    size_bytes: Mapped[Amount]
    # A petabyte for a month is 2.9e27, which does not fit in 64 bits.
    byte_microseconds: Mapped[Decimal] = mapped_column(Numeric(40, 0), server_default=text("0"))


class WorkspaceMonth(StorageFigures, Base):
    """A workspace in a month; `present` when it exists at the month's end."""

    __tablename__ = "workspace_month"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    workspace_id: Mapped[Key]
    name: Mapped[Name]
    present: Mapped[Flag]

    __table_args__ = (
        _foreign_key("workspace_id", of="workspace"),
        Index("workspace_month_by_name", "organization_id", "month", "name"),
    )


class ProjectMonth(StorageFigures, Base):
    """A project in a month; `present` when it exists at the month's end."""

    __tablename__ = "project_month"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    workspace_id: Mapped[Key]
    project_id: Mapped[Key]
    name: Mapped[Name]
    present: Mapped[Flag]

    __table_args__ = (
        _foreign_key("project_id", of="project"),
        Index("project_month_by_name", "organization_id", "month", "workspace_id", "name"),
    )


class MemberMonth(StorageFigures, Base):
    """A user's part of a workspace in a month; `present` for a member at the month's end."""

    __tablename__ = "member_month"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    workspace_id: Mapped[Key]
    user_id: Mapped[Key]
    username: Mapped[Name]
    present: Mapped[Flag]

    __table_args__ = (
        _foreign_key("workspace_id", of="workspace"),
        _foreign_key("user_id", of="platform_user"),
        Index("member_month_by_username", "organization_id", "month", "workspace_id", "username"),
    )


class UserMonth(StorageFigures, Base):
    """A user in a month: state at the month's end, usage and experiments.

    Unlicensed rows belong to users who own experiments or used the platform before they were
    announced or after they were deleted.
    """

    __tablename__ = "user_month"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    user_id: Mapped[Key]
    username: Mapped[Name]
    licensed: Mapped[Flag]
    email: Mapped[str | None]
    role: Mapped[str | None]
    service_account: Mapped[Flag]
    suspended: Mapped[Flag]
    created_at: Mapped[OptionalInstant]
    # No event states when the user was created; `created_at` is the time of the first event.
    created_at_is_inferred: Mapped[Flag]
    deleted_at: Mapped[OptionalInstant]
    ui_usage_count: Mapped[Amount]
    ui_used_at: Mapped[OptionalInstant]
    sdk_usage_count: Mapped[Amount]
    sdk_used_at: Mapped[OptionalInstant]
    # The last use of any channel, in this month or an earlier one.
    last_used_at: Mapped[OptionalInstant]

    __table_args__ = (
        _foreign_key("user_id", of="platform_user"),
        Index("user_month_by_username", "organization_id", "month", "username"),
    )


class MonthClose(Base):
    """A closed month: what its report needs beside the month rows, and a hash of these rows."""

    __tablename__ = "month_close"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    closed_at: Mapped[Instant]
    closed_by: Mapped[str]
    changed_at: Mapped[Instant]
    ui_measured: Mapped[bool]
    sdk_measured: Mapped[bool]
    rows_hash: Mapped[str]
    # The imported report that states the month, and its SHA-256; null for other months.
    imported_from: Mapped[str | None]
    imported_sha256: Mapped[str | None]
    # The currency and hash of the charges that the close froze; null when nothing was charged.
    currency: Mapped[str | None]
    charges_hash: Mapped[str | None]

    __table_args__ = (_foreign_key(of="organization"),)


class ClosedDocument(Base):
    """The REST document of a closed month, as it was first sent; deleted with the close."""

    __tablename__ = "closed_document"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    etag: Mapped[str]
    gzipped: Mapped[bytes]

    __table_args__ = (_foreign_key("month", of="month_close", ondelete="CASCADE"),)


class MonthCloseHistory(Base):
    """Every close and reopening of a month."""

    __tablename__ = "month_close_history"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    happened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    action: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[Name]
    reason: Mapped[str]
    rows_hash: Mapped[str]

    __table_args__ = (_foreign_key(of="organization"),)


class Correction(Base):
    """What late events add to a figure of a closed month.

    An id that does not matter for the figure is all zeros.
    """

    __tablename__ = "correction"

    organization_id: Mapped[Key]
    booked_month: Mapped[MonthKey]
    origin_month: Mapped[MonthKey]
    figure: Mapped[str] = mapped_column(primary_key=True)
    workspace_id: Mapped[Key]
    project_id: Mapped[Key]
    user_id: Mapped[Key]
    amount: Mapped[Decimal] = mapped_column(Numeric(40, 0))

    __table_args__ = (_foreign_key(of="organization"),)


class Source(Base):
    """A configured instance of a connector, or a file import that was run by hand."""

    __tablename__ = "source"

    organization_id: Mapped[Key]
    source: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    kind: Mapped[str]
    connected_at: Mapped[Instant]

    __table_args__ = (_foreign_key(of="organization"),)


class SourceRun(Base):
    """One run of a source: how many events it sent, what it skipped, and how it ended."""

    __tablename__ = "source_run"

    organization_id: Mapped[Key]
    source: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    started_at: Mapped[Instant]
    finished_at: Mapped[OptionalInstant]
    outcome: Mapped[str]
    accepted: Mapped[Amount]
    duplicates: Mapped[Amount]
    skipped_count: Mapped[Amount]
    # The first of them: `[{"item": …, "reason": …}]`.
    skipped: Mapped[list[dict[str, str]]] = mapped_column(JSONB, server_default="[]")
    error: Mapped[str | None]

    __table_args__ = (_foreign_key("source", of="source"),)


class SourceCheckpoint(Base):
    """What a source has read so far, so that its next run reads only what changed."""

    __tablename__ = "source_checkpoint"

    organization_id: Mapped[Key]
    source: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    family: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    key: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    value: Mapped[str]

    __table_args__ = (_foreign_key("source", of="source"),)


class ScimResource(Base):
    """A user or group as a SCIM client said it; of a deleted one only that it was there."""

    __tablename__ = "scim_resource"

    organization_id: Mapped[Key]
    resource_id: Mapped[Key]
    kind: Mapped[str]
    name: Mapped[Name]
    # What no two of a kind share: a username whatever its case, a workspace's exact name.
    name_key: Mapped[Name]
    external_id: Mapped[str | None]
    attributes: Mapped[dict[str, object]] = mapped_column(JSONB)
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[Instant]
    modified_at: Mapped[Instant]
    deleted_at: Mapped[OptionalInstant]

    __table_args__ = (
        _foreign_key(of="organization"),
        Index(
            "scim_resource_by_name",
            "organization_id",
            "kind",
            "name_key",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("scim_resource_by_external_id", "organization_id", "kind", "external_id"),
        Index("scim_resource_in_order", "organization_id", "kind", "created_at", "resource_id"),
        Index("scim_resource_last_changed", "organization_id", "modified_at"),
    )


class ScimMember(Base):
    """A user in a group, both as SCIM knows them."""

    __tablename__ = "scim_member"

    organization_id: Mapped[Key]
    group_id: Mapped[Key]
    user_id: Mapped[Key]

    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id", "group_id"],
            ["scim_resource.organization_id", "scim_resource.resource_id"],
        ),
        ForeignKeyConstraint(
            ["organization_id", "user_id"],
            ["scim_resource.organization_id", "scim_resource.resource_id"],
        ),
        Index("scim_member_of_user", "organization_id", "user_id"),
    )


class ApiKey(Base):
    """An API key, with a keyed hash of its secret."""

    __tablename__ = "api_key"

    organization_id: Mapped[Key]
    key_id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[Name]
    label: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    secret_hash: Mapped[bytes]
    created_at: Mapped[Instant]
    expires_at: Mapped[OptionalInstant]
    revoked_at: Mapped[OptionalInstant]
    last_used_at: Mapped[OptionalInstant]

    __table_args__ = (
        _foreign_key(of="organization"),
        Index("api_key_by_id", "key_id", unique=True),
    )


class Session(Base):
    """A browser session; it ends with its API key, by itself, or when the user signs out."""

    __tablename__ = "session"

    organization_id: Mapped[Key]
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[str]
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant]

    __table_args__ = (
        _foreign_key("key_id", of="api_key"),
        Index("session_by_token", "token_hash", unique=True),
    )


class AuditLog(Base):
    """The audit log: who did what, when, from where, with which key and outcome. Append-only."""

    __tablename__ = "audit_log"

    organization_id: Mapped[Key]
    # Version 7: by time, so that a page follows from the last id seen.
    entry_id: Mapped[Key]
    happened_at: Mapped[Instant]
    action: Mapped[str]
    target: Mapped[str]
    outcome: Mapped[str]
    username: Mapped[str | None] = mapped_column(String(collation="C"))
    key_id: Mapped[str | None]
    address: Mapped[str | None]
    interface: Mapped[str]
    detail: Mapped[dict[str, object]] = mapped_column(JSONB)

    __table_args__ = (_foreign_key(of="organization"),)
