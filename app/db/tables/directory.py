"""The organization, and the users, workspaces, projects and memberships that events describe.

Only the primary keys start with `organization_id`. Where organizations are small on average, the
planner would take another index that starts with it to be as good for finding a row by its key,
and read all rows of a large organization for each.
"""

from datetime import date

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from app.db.tables.base import (
    Amount,
    Base,
    Flag,
    Instant,
    Instants,
    Key,
    Name,
    OptionalInstant,
    Reference,
    foreign_key,
)


class Organization(Base):
    """The tenant, and the span of months that its events cover."""

    __tablename__ = "organization"

    organization_id: Mapped[Key]
    # Unique, because the id derives from it.
    name: Mapped[Name]
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
        foreign_key(of="organization"),
        Index("platform_user_by_username", "username", "organization_id", unique=True),
    )


class Workspace(Base):
    """A workspace and its lifespans: `started_at[i]` to `ended_at[i]`, null while it exists."""

    __tablename__ = "workspace"

    organization_id: Mapped[Key]
    workspace_id: Mapped[Key]
    name: Mapped[Name]
    started_at: Mapped[Instants]
    ended_at: Mapped[Instants]

    __table_args__ = (foreign_key(of="organization"),)


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
        foreign_key("workspace_id", of="workspace"),
        Index("project_by_workspace", "workspace_id", "organization_id"),
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
        foreign_key("workspace_id", of="workspace"),
        foreign_key("user_id", of="platform_user"),
        Index("membership_by_workspace", "workspace_id", "organization_id"),
        Index("membership_by_user", "user_id", "organization_id"),
    )
