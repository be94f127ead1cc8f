"""The rows of an exported report and what its columns are called.

A section's rows are entities, then a total, then the corrections that the month books, then the
total with corrections. Corrections are of flows: the stocks of two months do not add up, so those
cells of a correction are empty. `CorrectionRow` has all figures.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import Enum, StrEnum, auto
from typing import Any, NamedTuple, TypeAlias

from app.domain.months import Month
from app.domain.sections import Section

Fields = dict[str, Any]
"""The values of a row, or of some of its columns, by name."""


class RowType(StrEnum):
    """What a row is about; the first cell of each row."""

    WORKSPACE = "workspace"
    DELETED_WORKSPACE = "deleted workspace"
    PROJECT = "project"
    DELETED_PROJECT = "deleted project"
    MEMBER = "member"
    FORMER_MEMBER = "former member"
    USER = "user"
    COST_CENTRE = "cost centre"
    UNLICENSED_USER = "unlicensed user"
    TOTAL = "total"
    CORRECTION = "correction"
    TOTAL_WITH_CORRECTIONS = "total with corrections"
    STATUS = "status"


class WorkspaceRow(NamedTuple):
    """A workspace in a report month."""

    type: RowType
    month: Month
    origin_month: Month | None = None
    workspace: str | None = None
    number_of_members: int | None = None
    number_of_projects: int | None = None
    experiments: int | None = None
    unmeasured: int | None = None
    experiments_created: int | None = None
    size_bytes: int | None = None
    size_in_mb: float | None = None
    average_size_in_mb: float | None = None
    amount: Decimal | None = None
    currency: str | None = None
    average_before_in_mb: float | None = None
    change_in_mb: float | None = None
    change_in_percent: float | None = None


class ProjectRow(NamedTuple):
    """A project in a report month."""

    type: RowType
    month: Month
    origin_month: Month | None = None
    workspace: str | None = None
    project: str | None = None
    experiments: int | None = None
    unmeasured: int | None = None
    experiments_created: int | None = None
    size_bytes: int | None = None
    size_in_mb: float | None = None
    average_size_in_mb: float | None = None
    amount: Decimal | None = None
    currency: str | None = None
    average_before_in_mb: float | None = None
    change_in_mb: float | None = None
    change_in_percent: float | None = None


class MemberRow(NamedTuple):
    """A user's part of a workspace in a report month."""

    type: RowType
    month: Month
    origin_month: Month | None = None
    workspace: str | None = None
    username: str | None = None
    email: str | None = None
    experiments: int | None = None
    unmeasured: int | None = None
    experiments_created: int | None = None
    size_bytes: int | None = None
    size_in_mb: float | None = None
    average_size_in_mb: float | None = None
    amount: Decimal | None = None
    currency: str | None = None
    average_before_in_mb: float | None = None
    change_in_mb: float | None = None
    change_in_percent: float | None = None


class UserRow(NamedTuple):
    """A user in a report month, in all workspaces."""

    type: RowType
    month: Month
    origin_month: Month | None = None
    username: str | None = None
    email: str | None = None
    role: str | None = None
    suspended: bool | None = None
    service_account: bool | None = None
    created_at: datetime | None = None
    deleted_at: datetime | None = None
    last_used_at: datetime | None = None
    licences: int | None = None
    ui_usage_count: int | None = None
    sdk_usage_count: int | None = None
    experiments: int | None = None
    unmeasured: int | None = None
    experiments_created: int | None = None
    size_bytes: int | None = None
    size_in_mb: float | None = None
    average_size_in_mb: float | None = None
    amount: Decimal | None = None
    currency: str | None = None
    average_before_in_mb: float | None = None
    change_in_mb: float | None = None
    change_in_percent: float | None = None


class WorkspaceSum(NamedTuple):
    """A workspace in a range of months, corrections included."""

    type: RowType
    first_month: Month
    last_month: Month
    workspace: str | None = None
    experiments_created: int | None = None
    average_size_in_mb: float | None = None
    amount: Decimal | None = None
    currency: str | None = None


class ProjectSum(NamedTuple):
    """A project in a range of months, corrections included."""

    type: RowType
    first_month: Month
    last_month: Month
    workspace: str | None = None
    project: str | None = None
    experiments_created: int | None = None
    average_size_in_mb: float | None = None
    amount: Decimal | None = None
    currency: str | None = None


class UserSum(NamedTuple):
    """A user in a range of months, corrections included."""

    type: RowType
    first_month: Month
    last_month: Month
    username: str | None = None
    licensed_months: int | None = None
    ui_usage_count: int | None = None
    sdk_usage_count: int | None = None
    experiments_created: int | None = None
    average_size_in_mb: float | None = None
    amount: Decimal | None = None
    currency: str | None = None


class CostCentreSum(NamedTuple):
    """What a cost centre pays for a range of months; Unassigned has no code."""

    type: RowType
    first_month: Month
    last_month: Month
    cost_centre: str | None = None
    cost_centre_name: str | None = None
    amount: Decimal | None = None
    currency: str | None = None


class CorrectionRow(NamedTuple):
    """What a report month books for a place in an earlier, closed month: all figures."""

    type: RowType
    month: Month
    origin_month: Month | None = None
    workspace: str | None = None
    project: str | None = None
    username: str | None = None
    workspaces: int | None = None
    projects: int | None = None
    members: int | None = None
    licences: int | None = None
    ui_usage_count: int | None = None
    sdk_usage_count: int | None = None
    unlicensed_ui_usage_count: int | None = None
    unlicensed_sdk_usage_count: int | None = None
    experiments: int | None = None
    unmeasured: int | None = None
    experiments_created: int | None = None
    size_bytes: int | None = None
    size_in_mb: float | None = None
    average_size_in_mb: float | None = None
    byte_microseconds: str | None = None


class CostCentreRow(NamedTuple):
    """What a cost centre pays for a report month, corrections included."""

    type: RowType
    month: Month
    origin_month: Month | None = None
    cost_centre: str | None = None
    cost_centre_name: str | None = None
    amount: Decimal | None = None
    currency: str | None = None
    amount_before: Decimal | None = None
    amount_change: Decimal | None = None
    change_in_percent: float | None = None


SumRow: TypeAlias = WorkspaceSum | ProjectSum | UserSum | CostCentreSum
ExportRow: TypeAlias = (
    WorkspaceRow | ProjectRow | MemberRow | UserRow | CorrectionRow | CostCentreRow | SumRow
)

Cells: TypeAlias = Sequence[Any]
"""The values of the fields of a row that are shown."""
OF_CHARGES = frozenset({"amount", "currency"})
"""The fields that are shown if the month is charged."""
OF_COMPARISONS = frozenset(
    {
        *("average_before_in_mb", "change_in_mb", "change_in_percent"),
        *("amount_before", "amount_change"),
    }
)
"""The fields that are shown if the month is compared with another."""

ROW_CLASSES: Mapping[Section, type[ExportRow]] = {
    Section.WORKSPACE: WorkspaceRow,
    Section.PROJECT: ProjectRow,
    Section.MEMBER: MemberRow,
    Section.USER: UserRow,
    Section.CORRECTION: CorrectionRow,
    Section.COST_CENTRE: CostCentreRow,
}
SUM_CLASSES: Mapping[Section, type[SumRow]] = {
    Section.WORKSPACE: WorkspaceSum,
    Section.PROJECT: ProjectSum,
    Section.USER: UserSum,
    Section.COST_CENTRE: CostCentreSum,
}
"""The sections whose rows can be summed over a range of months."""
TITLES: Mapping[Section, str] = {
    Section.WORKSPACE: "Workspaces",
    Section.PROJECT: "Projects",
    Section.MEMBER: "Members",
    Section.USER: "Users",
    Section.CORRECTION: "Corrections",
    Section.COST_CENTRE: "Cost centres",
}


class Kind(Enum):
    """What the cells of a column hold."""

    TEXT = auto()
    MONTH = auto()
    COUNT = auto()
    MEGABYTES = auto()
    PERCENT = auto()
    AMOUNT = auto()
    PRICE = auto()
    FRACTION = auto()
    INSTANT = auto()
    FLAG = auto()


class Column(NamedTuple):
    """A column of an export.

    Attributes:
        name: As GraphQL spells it; for JSON and Parquet.
        heading: For people: CSV, XLSX and tables.
        kind: What its cells hold.
    """

    name: str
    heading: str
    kind: Kind


_COLUMNS: Mapping[str, Column] = {
    "type": Column("type", "Type", Kind.TEXT),
    "month": Column("month", "Month", Kind.MONTH),
    "first_month": Column("firstMonth", "First month", Kind.MONTH),
    "last_month": Column("lastMonth", "Last month", Kind.MONTH),
    "origin_month": Column("originMonth", "Origin month", Kind.MONTH),
    "workspace": Column("workspace", "Workspace", Kind.TEXT),
    "project": Column("project", "Project", Kind.TEXT),
    "username": Column("username", "User", Kind.TEXT),
    "email": Column("email", "Email", Kind.TEXT),
    "role": Column("role", "Role", Kind.TEXT),
    "suspended": Column("suspended", "Suspended", Kind.FLAG),
    "service_account": Column("serviceAccount", "Service account", Kind.FLAG),
    "created_at": Column("createdAt", "Created at", Kind.INSTANT),
    "deleted_at": Column("deletedAt", "Deleted at", Kind.INSTANT),
    "last_used_at": Column("lastUsedAt", "Last used at", Kind.INSTANT),
    "licences": Column("licences", "Licences", Kind.COUNT),
    "licensed_months": Column("licensedMonths", "Licensed months", Kind.COUNT),
    "ui_usage_count": Column("uiUsageCount", "UI uses", Kind.COUNT),
    "sdk_usage_count": Column("sdkUsageCount", "SDK uses", Kind.COUNT),
    "unlicensed_ui_usage_count": Column(
        "unlicensedUiUsageCount", "UI uses without a licence", Kind.COUNT
    ),
    "unlicensed_sdk_usage_count": Column(
        "unlicensedSdkUsageCount", "SDK uses without a licence", Kind.COUNT
    ),
    "workspaces": Column("workspaces", "Workspaces", Kind.COUNT),
    "projects": Column("projects", "Projects", Kind.COUNT),
    "members": Column("members", "Members", Kind.COUNT),
    "number_of_members": Column("numberOfMembers", "Members", Kind.COUNT),
    "number_of_projects": Column("numberOfProjects", "Projects", Kind.COUNT),
    "experiments": Column("numberOfExperiments", "Experiments", Kind.COUNT),
    "unmeasured": Column("unmeasuredExperiments", "Unknown size", Kind.COUNT),
    "experiments_created": Column("experimentsCreated", "Created", Kind.COUNT),
    "size_bytes": Column("totalSizeBytes", "Size in bytes", Kind.COUNT),
    "size_in_mb": Column("totalSizeInMb", "Size in MB", Kind.MEGABYTES),
    "average_size_in_mb": Column("averageSizeInMb", "Average in MB", Kind.MEGABYTES),
    "byte_microseconds": Column("byteMicroseconds", "Byte-microseconds", Kind.TEXT),
    "amount": Column("amount", "Amount", Kind.AMOUNT),
    "currency": Column("currency", "Currency", Kind.TEXT),
    "average_before_in_mb": Column("previousAverageSizeInMb", "Average before", Kind.MEGABYTES),
    "change_in_mb": Column("averageSizeChangeInMb", "Change in MB", Kind.MEGABYTES),
    "change_in_percent": Column("changeInPercent", "Change in %", Kind.PERCENT),
    "cost_centre": Column("costCentre", "Cost centre", Kind.TEXT),
    "cost_centre_name": Column("costCentreName", "Name", Kind.TEXT),
    "amount_before": Column("previousAmount", "Amount before", Kind.AMOUNT),
    "amount_change": Column("amountChange", "Change", Kind.AMOUNT),
}


def column_of(field: str) -> Column:
    """Return the column that shows a field."""
    return _COLUMNS[field]


def format_instant(instant: datetime | None) -> str:
    """Return an instant to the second, as it stands in files; empty if there is none."""
    return "" if instant is None else f"{instant:%Y-%m-%dT%H:%M:%SZ}"
