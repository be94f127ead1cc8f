"""Mapped classes: columns, keys, constraints. Nothing here is ever loaded as an object.

`organization_id` leads every key, so that the schema can be distributed by it. Three families:

- *facts*: `event`, as it arrived, once;
- *directory*: what the facts say exists, and from when to when;
- *months*: one row per month and thing, at the grain that the report shows it. Stocks in a row
  are those at the month's end, flows those within the month; a report reads the rows of its month
  and nothing else.
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
    """The declared schema; a test holds the migrations to it."""


Key = Annotated[uuid.UUID, mapped_column(Uuid, primary_key=True)]
MonthKey = Annotated[date, mapped_column(Date, primary_key=True)]
Reference = Annotated[uuid.UUID, mapped_column(Uuid)]
Instant = Annotated[datetime, mapped_column(DateTime(timezone=True))]
MaybeInstant = Annotated[datetime | None, mapped_column(DateTime(timezone=True))]
Moments = Annotated[
    list[datetime | None], mapped_column(ARRAY(DateTime(timezone=True)), server_default="{}")
]
# Code-point order, whatever the database's own collation is.
Name = Annotated[str, mapped_column(String(collation="C"))]
Flag = Annotated[bool, mapped_column(server_default=text("false"))]
Amount = Annotated[int, mapped_column(BigInteger, server_default=text("0"))]


def _of_organization(*columns: str, of: str, ondelete: str | None = None) -> ForeignKeyConstraint:
    """A foreign key that begins with the organization."""
    names = ("organization_id", *columns)
    return ForeignKeyConstraint(names, [f"{of}.{name}" for name in names], ondelete=ondelete)


class Organization(Base):
    """The tenant, and the span of months that its facts cover."""

    __tablename__ = "organization"

    organization_id: Mapped[Key]
    name: Mapped[Name] = mapped_column(unique=True)
    created_at: Mapped[Instant]
    # Month rows exist for each month of [first_month, last_month]: from that of the earliest
    # fact that came before its month was closed to that of the latest. A later month's stocks are
    # those of last_month.
    first_month: Mapped[date | None]
    last_month: Mapped[date | None]
    first_event_at: Mapped[MaybeInstant]
    latest_event_at: Mapped[MaybeInstant]
    # This month and every earlier one is closed.
    closed_through: Mapped[date | None]
    # When a batch last changed anything: the report's `createdAt`.
    changed_at: Mapped[Instant]
    # How often a batch changed anything: two answers of one revision are the same.
    revision: Mapped[Amount]
    # The earliest usage event of each channel: before it the channel is not measured.
    ui_measured_from: Mapped[MaybeInstant]
    sdk_measured_from: Mapped[MaybeInstant]
    # The first month that is not an imported report's: nothing corrects those before it.
    hand_over: Mapped[date | None]
    # The currency of all prices (ISO 4217); null while the organization charges nothing.
    currency: Mapped[str | None]


class Event(Base):
    """One accepted usage event; `uid` stands for (source, id), and is there once.

    Partitioned by `shelf`: 0 is kept for ever; usage lies on the shelf of the year in which it
    arrived, which is archived and dropped as a whole (`app/db/partitions.py`). A unique key across
    partitions cannot be had: batches of one organization take turns, and look before they insert.
    There is no foreign key on purpose: it would be checked for each of many millions of rows,
    while the organization's row is locked by the batch anyway.
    """

    __tablename__ = "event"

    organization_id: Mapped[Key]
    uid: Mapped[Key]
    shelf: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    type: Mapped[str]
    occurred_at: Mapped[Instant]
    received_at: Mapped[Instant]
    # The thing whose timeline the fact belongs to, and the thing within which it says that exists:
    # the workspace of a member or project, the project of an experiment.
    subject_id: Mapped[Reference]
    parent_id: Mapped[uuid.UUID | None]
    source: Mapped[str]
    id: Mapped[str]
    data: Mapped[dict[str, object]] = mapped_column(JSONB)

    __table_args__ = (
        Index(
            "event_of_subject",
            "organization_id",
            "subject_id",
            "occurred_at",
            postgresql_where=text("type <> 'usage.recorded'"),
        ),
        Index(
            "event_within_parent",
            "organization_id",
            "parent_id",
            "occurred_at",
            postgresql_where=text("parent_id IS NOT NULL"),
        ),
        {"postgresql_partition_by": "LIST (shelf)"},
    )


class UsageArchive(Base):
    """What the usage events of dropped shelves came to: all that a replay needs of them.

    `used_at` is the last use; null when the events counted none.
    """

    __tablename__ = "usage_archive"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    user_id: Mapped[Key]
    channel: Mapped[str] = mapped_column(primary_key=True)
    uses: Mapped[int] = mapped_column(BigInteger)
    used_at: Mapped[MaybeInstant]
    events: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (_of_organization("user_id", of="account"),)


class FeedSource(Base):
    """What a source, as events name it, has sent so far."""

    __tablename__ = "feed_source"

    organization_id: Mapped[Key]
    source: Mapped[Name] = mapped_column(primary_key=True)
    accepted: Mapped[Amount]
    duplicates: Mapped[Amount]
    last_event_at: Mapped[Instant]
    last_received_at: Mapped[Instant]

    __table_args__ = (_of_organization(of="organization"),)


class FeedDay(Base):
    """What arrived on a day in UTC, and what became of it."""

    __tablename__ = "feed_day"

    organization_id: Mapped[Key]
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    accepted: Mapped[Amount]
    duplicates: Mapped[Amount]
    # Events of refused batches, the good ones among them included: none of them was stored.
    refused: Mapped[Amount]
    refused_batches: Mapped[Amount]

    __table_args__ = (_of_organization(of="organization"),)


class Account(Base):
    """A user as the facts describe them now; `started_at` is null until the user is announced."""

    __tablename__ = "account"

    organization_id: Mapped[Key]
    user_id: Mapped[Key]
    username: Mapped[Name]
    email: Mapped[str | None]
    role: Mapped[str | None]
    suspended: Mapped[Flag]
    started_at: Mapped[MaybeInstant]
    ended_at: Mapped[MaybeInstant]

    __table_args__ = (
        _of_organization(of="organization"),
        Index("account_by_username", "organization_id", "username", unique=True),
    )


class Workspace(Base):
    """A workspace and its lives: `started_at[i]` to `ended_at[i]`, null when it still exists."""

    __tablename__ = "workspace"

    organization_id: Mapped[Key]
    workspace_id: Mapped[Key]
    name: Mapped[Name]
    started_at: Mapped[Moments]
    ended_at: Mapped[Moments]

    __table_args__ = (_of_organization(of="organization"),)


class Project(Base):
    """A project of a workspace and its lives."""

    __tablename__ = "project"

    organization_id: Mapped[Key]
    project_id: Mapped[Key]
    workspace_id: Mapped[Reference]
    name: Mapped[Name]
    started_at: Mapped[Moments]
    ended_at: Mapped[Moments]

    __table_args__ = (
        _of_organization("workspace_id", of="workspace"),
        Index("project_of_workspace", "organization_id", "workspace_id"),
    )


class Membership(Base):
    """A user in a workspace and the spans for which they were."""

    __tablename__ = "membership"

    organization_id: Mapped[Key]
    member_id: Mapped[Key]
    workspace_id: Mapped[Reference]
    user_id: Mapped[Reference]
    started_at: Mapped[Moments]
    ended_at: Mapped[Moments]

    __table_args__ = (
        _of_organization("workspace_id", of="workspace"),
        _of_organization("user_id", of="account"),
        Index("membership_of_workspace", "organization_id", "workspace_id"),
        Index("membership_of_user", "organization_id", "user_id"),
    )


class StorageFigures:
    """What a month row says of experiments. `byte_microseconds` counts the whole month.

    `unmeasured` of the `experiments` have a size that no fact says; they add no bytes.
    """

    experiments: Mapped[Amount]
    unmeasured: Mapped[Amount]
    experiments_created: Mapped[Amount]
    size_bytes: Mapped[Amount]
    # A petabyte for a month is 2.9e27: more than 64 bits hold.
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
        _of_organization("workspace_id", of="workspace"),
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
        _of_organization("project_id", of="project"),
        Index("project_month_by_name", "organization_id", "month", "workspace_id", "name"),
    )


class MemberMonth(StorageFigures, Base):
    """A user's part of a workspace in a month; `present` when a member at the month's end."""

    __tablename__ = "member_month"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    workspace_id: Mapped[Key]
    user_id: Mapped[Key]
    username: Mapped[Name]
    present: Mapped[Flag]

    __table_args__ = (
        _of_organization("workspace_id", of="workspace"),
        _of_organization("user_id", of="account"),
        Index("member_month_by_username", "organization_id", "month", "workspace_id", "username"),
    )


class UserMonth(StorageFigures, Base):
    """A user in a month: the account as it stood at the month's end, its usage, its experiments.

    Unlicensed rows hold what is known of users who own experiments or used the platform without
    (yet, or any longer) being announced.
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
    created_at: Mapped[MaybeInstant]
    # Whether no fact says when the account was created: then it is the first sign of it.
    created_at_is_first_sign: Mapped[Flag]
    deleted_at: Mapped[MaybeInstant]
    ui_usage_count: Mapped[Amount]
    ui_used_at: Mapped[MaybeInstant]
    sdk_usage_count: Mapped[Amount]
    sdk_used_at: Mapped[MaybeInstant]
    # The last use of any channel, in this month or before.
    last_used_at: Mapped[MaybeInstant]

    __table_args__ = (
        _of_organization("user_id", of="account"),
        Index("user_month_by_username", "organization_id", "month", "username"),
    )


class MonthClose(Base):
    """A closed month: what its report says that no month row holds, and a hash of those rows."""

    __tablename__ = "month_close"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    closed_at: Mapped[Instant]
    closed_by: Mapped[str]
    changed_at: Mapped[Instant]
    ui_measured: Mapped[bool]
    sdk_measured: Mapped[bool]
    rows_hash: Mapped[str]
    # Of a month whose rows an imported report stated: where it came from, and its SHA-256.
    imported_from: Mapped[str | None]
    imported_digest: Mapped[str | None]
    # The currency and hash of the charges that the close froze; null when nothing was charged.
    currency: Mapped[str | None]
    charges_hash: Mapped[str | None]

    __table_args__ = (_of_organization(of="organization"),)


class ClosedDocument(Base):
    """The REST document of a closed month, gzipped, as it was first sent; goes with the close."""

    __tablename__ = "closed_document"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    tag: Mapped[str]
    packed: Mapped[bytes]

    __table_args__ = (_of_organization("month", of="month_close", ondelete="CASCADE"),)


class MonthAct(Base):
    """The trace of a month: each closing and each reopening of it."""

    __tablename__ = "month_act"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    happened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    act: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[Name]
    reason: Mapped[str]
    rows_hash: Mapped[str]

    __table_args__ = (_of_organization(of="organization"),)


class Correction(Base):
    """What facts that came too late for a closed month add to one of its figures.

    The ids say where; one that does not matter for the figure is all zeros.
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

    __table_args__ = (_of_organization(of="organization"),)


class Source(Base):
    """What brings facts by itself, or was brought by hand: a connector, and what it is called."""

    __tablename__ = "source"

    organization_id: Mapped[Key]
    source: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    kind: Mapped[str]
    connected_at: Mapped[Instant]

    __table_args__ = (_of_organization(of="organization"),)


class SourceRun(Base):
    """One run of a source: what it brought, what it could not place, how it ended."""

    __tablename__ = "source_run"

    organization_id: Mapped[Key]
    source: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    started_at: Mapped[Instant]
    finished_at: Mapped[MaybeInstant]
    outcome: Mapped[str]
    accepted: Mapped[Amount]
    duplicates: Mapped[Amount]
    skipped_count: Mapped[Amount]
    # The first of them: `[{"item": …, "reason": …}]`.
    skipped: Mapped[list[dict[str, str]]] = mapped_column(JSONB, server_default="[]")
    error: Mapped[str | None]

    __table_args__ = (_of_organization("source", of="source"),)


class SourceCheckpoint(Base):
    """What a source needs to know of what it brought, so that the next run reads what changed."""

    __tablename__ = "source_checkpoint"

    organization_id: Mapped[Key]
    source: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    family: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    key: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    value: Mapped[str]

    __table_args__ = (_of_organization("source", of="source"),)


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
    deleted_at: Mapped[MaybeInstant]

    __table_args__ = (
        _of_organization(of="organization"),
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
    """An API key: everything but the secret, of which only a keyed hash is kept."""

    __tablename__ = "api_key"

    organization_id: Mapped[Key]
    key_id: Mapped[str] = mapped_column(primary_key=True)
    username: Mapped[Name]
    label: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String))
    secret_hash: Mapped[bytes]
    created_at: Mapped[Instant]
    expires_at: Mapped[MaybeInstant]
    revoked_at: Mapped[MaybeInstant]
    last_used_at: Mapped[MaybeInstant]

    __table_args__ = (
        _of_organization(of="organization"),
        Index("api_key_by_id", "key_id", unique=True),
    )


class Session(Base):
    """A browser's sign-in with a key; ends with the key, or by itself."""

    __tablename__ = "session"

    organization_id: Mapped[Key]
    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    key_id: Mapped[str]
    created_at: Mapped[Instant]
    expires_at: Mapped[Instant]

    __table_args__ = (
        _of_organization("key_id", of="api_key"),
        Index("session_by_token", "token_hash", unique=True),
    )


class AuditLog(Base):
    """Who did what, when, from where, by which key, and what came of it. Lines never change."""

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
    door: Mapped[str]
    detail: Mapped[dict[str, object]] = mapped_column(JSONB)

    __table_args__ = (_of_organization(of="organization"),)
