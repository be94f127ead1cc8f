"""Month rows, month closes and corrections."""

from datetime import date
from decimal import Decimal

from sqlalchemy import BigInteger, Index, Numeric, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import (
    Amount,
    Base,
    Flag,
    Instant,
    Key,
    MonthKey,
    Name,
    OptionalInstant,
    foreign_key,
)


class StorageFigures:
    """The experiment columns of a month row. `byte_microseconds` counts the whole month.

    `unmeasured` of the `experiments` have an unknown size and add no bytes. `last_experiment_at`
    is when one was last created, moved or resized, in this month or an earlier one.
    """

    experiments: Mapped[Amount]
    unmeasured: Mapped[Amount]
    experiments_created: Mapped[Amount]
    # Sums beyond 64 bits must not block the batches of others: readers see the largest 64-bit
    # number (`app/db/levels.py`). A petabyte for a month is 2.9e27 byte-microseconds.
    size_bytes: Mapped[Decimal] = mapped_column(Numeric(40, 0), server_default=text("0"))
    byte_microseconds: Mapped[Decimal] = mapped_column(Numeric(40, 0), server_default=text("0"))
    last_experiment_at: Mapped[OptionalInstant]


class WorkspaceMonth(StorageFigures, Base):
    """A workspace in a month; `present` when it exists at the month's end."""

    __tablename__ = "workspace_month"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    workspace_id: Mapped[Key]
    name: Mapped[Name]
    present: Mapped[Flag]

    __table_args__ = (
        foreign_key("workspace_id", of="workspace"),
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
        foreign_key("project_id", of="project"),
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
        foreign_key("workspace_id", of="workspace"),
        foreign_key("user_id", of="platform_user"),
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
        foreign_key("user_id", of="platform_user"),
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

    __table_args__ = (foreign_key(of="organization"),)


class ClosedDocument(Base):
    """The REST document of a closed month, as it was first sent; deleted with the close."""

    __tablename__ = "closed_document"

    organization_id: Mapped[Key]
    month: Mapped[MonthKey]
    etag: Mapped[str]
    gzipped: Mapped[bytes]

    __table_args__ = (foreign_key("month", of="month_close", ondelete="CASCADE"),)


class MonthCloseHistory(Base):
    """Every close and reopening of a month, numbered per organization."""

    __tablename__ = "month_close_history"

    organization_id: Mapped[Key]
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    month: Mapped[date]
    happened_at: Mapped[Instant]
    action: Mapped[str]
    username: Mapped[Name]
    reason: Mapped[str]
    rows_hash: Mapped[str]

    __table_args__ = (foreign_key(of="organization"),)


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

    __table_args__ = (foreign_key(of="organization"),)
