"""The documented report as another service wrote it, read and checked.

Older documents call a user's creation `created_at`, newer ones `createdAt` (or both); newer ones
also say when a user was deleted, was last active, and what they own in all workspaces.
"""

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from app.domain.errors import InvalidMonth, InvalidReport
from app.domain.events import EARLIEST_ACCOUNT, Count, Name
from app.domain.months import Month
from app.domain.sizes import MEGABYTE
from app.domain.text import NUL

UNKNOWN_OWNER = "(unknown)"
"""Who owns what a report counts in a workspace and in none of its members."""

Megabytes = Annotated[float, Meta(ge=0, le=2**30)]
Experiments = Annotated[int, Meta(ge=0, le=10_000_000)]
Milliseconds = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Email = Annotated[str, Meta(max_length=512)]
MOST_PROBLEMS = 20


class Reported(Struct, rename="camel"):
    """The figures of a level."""

    number_of_experiments: Experiments
    total_size_in_mb: Megabytes

    @property
    def size(self) -> "Size":
        """The size, as far as two decimals tell it."""
        return Size.of(self.total_size_in_mb)


class ReportedMember(Reported, rename="camel", kw_only=True):
    """A member of a workspace."""

    user_name: Name
    email: Email | None = None


class ReportedProject(Reported, kw_only=True):
    """A project of a workspace."""

    name: Name


class ReportedWorkspace(Reported, rename="camel", kw_only=True):
    """A workspace with its members and projects."""

    name: Name
    number_of_members: int
    members: list[ReportedMember]
    projects: list[ReportedProject]


class ReportedUser(Struct, rename="camel", kw_only=True):
    """A licensed user; what newer documents alone say may be missing."""

    username: Name
    email: Email | None = None
    created_at_ms: Milliseconds | None = field(name="created_at", default=None)
    newer_created_at_ms: Milliseconds | None = field(name="createdAt", default=None)
    deleted_at_ms: Milliseconds | None = field(name="deletedAt", default=None)
    last_used_at_ms: Milliseconds | None = field(name="lastUsedAt", default=None)
    ui_usage_count: Count | None = None
    ui_usage_update_ts: Milliseconds | None = None
    sdk_usage_count: Count | None = None
    sdk_usage_update_ts: Milliseconds | None = None
    suspended: bool | None = None
    experiment_count: Experiments | None = None
    data_logged_mb: Megabytes | None = None

    @property
    def created_at(self) -> datetime | None:
        """When the account was created, if the document says so."""
        stated = self.created_at_ms
        return _instant(self.newer_created_at_ms if stated is None else stated)

    @property
    def deleted_at(self) -> datetime | None:
        """When the account was deleted, if the document says so."""
        return _instant(self.deleted_at_ms)

    @property
    def last_used_at(self) -> datetime | None:
        """The last use ever, if the document says so."""
        return _instant(self.last_used_at_ms)

    @property
    def ui_used_at(self) -> datetime | None:
        """What the document says of the last use of the UI; 0 there is never."""
        return _instant(self.ui_usage_update_ts or None)

    @property
    def sdk_used_at(self) -> datetime | None:
        """What the document says of the last use of the SDK; 0 there is never."""
        return _instant(self.sdk_usage_update_ts or None)


class ReportedUsers(Struct, rename="camel"):
    """The licensed users."""

    licensed_users: list[ReportedUser]
    number_of_users: int
    created_at: Milliseconds | None = None


class Document(Struct, rename="camel"):
    """The whole document."""

    report_date: str
    workspaces: list[ReportedWorkspace]
    users: ReportedUsers


@dataclass(frozen=True, slots=True)
class Size:
    """All sizes in bytes that are shown as one number of megabytes.

    Attributes:
        least: The smallest of them.
        most: The largest of them.
        likely: The one that the number itself is.
    """

    least: int
    most: int
    likely: int

    @classmethod
    def of(cls, megabytes: float) -> "Size":
        """Those shown as these megabytes: two decimals, half up."""
        hundredths = int(megabytes * 100 + 0.5)
        least = -((1 - 2 * hundredths) * MEGABYTE // 200) if hundredths else 0
        most = -((-1 - 2 * hundredths) * MEGABYTE // 200) - 1
        return cls(least, most, min(max(round(megabytes * MEGABYTE), least), most))

    def __contains__(self, size_bytes: int) -> bool:
        return self.least <= size_bytes <= self.most


@dataclass(frozen=True, slots=True)
class Report:
    """A checked document, folded up: years of them are in memory before one is stored.

    Attributes:
        origin: The file or address that it came from.
        month: Which month it reports.
        packed: Its text, gzipped.
        digest: SHA-256 of what it says, the same for any white space and order of keys.
        created_at: When it was made, if it says so.
    """

    origin: str
    month: Month
    packed: bytes
    digest: str
    created_at: datetime | None

    def opened(self) -> "OpenReport":
        """The document to be read."""
        text = gzip.decompress(self.packed)
        return OpenReport(self, msgspec.json.decode(text, type=Document))


@dataclass(frozen=True, slots=True)
class OpenReport:
    """A document, to be read.

    Attributes:
        report: The same folded up.
        document: What it says.
    """

    report: Report
    document: Document

    @property
    def month(self) -> Month:
        """Which month it reports."""
        return self.report.month

    @property
    def users(self) -> Sequence[ReportedUser]:
        """The licensed users."""
        return self.document.users.licensed_users

    @property
    def workspaces(self) -> Sequence[ReportedWorkspace]:
        """The workspaces."""
        return self.document.workspaces


def read_report(text: bytes, origin: str) -> Report:
    """Read a document.

    Raises:
        InvalidReport: It is no report, or one that no store could show again; says where.
    """
    try:
        document = msgspec.json.decode(text, type=Document)
        month = Month.parse(document.report_date)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidReport(f"{origin}: no chargeback report: {error}.") from None
    except InvalidMonth as error:
        raise InvalidReport(f"{origin}: reportDate: {error}") from None
    problems = list(_contradictions(document, text))
    if problems:
        more = len(problems) - MOST_PROBLEMS
        told = [*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else ())]
        raise InvalidReport("\n  ".join([f"{origin}: this report cannot be kept:", *told]))
    canonical = msgspec.json.encode(msgspec.json.decode(text), order="deterministic")
    return Report(
        origin,
        month,
        gzip.compress(text, 1),
        hashlib.sha256(canonical).hexdigest(),
        _instant(document.users.created_at),
    )


def _contradictions(document: Document, text: bytes) -> Iterator[str]:
    """What a store of rows with names as keys could not show again as it stands."""
    if b"\\u0000" in text:
        yield f"a name contains {NUL!r}, which cannot be stored"
    yield from _repeated("workspaces", (each.name for each in document.workspaces))
    for index, workspace in enumerate(document.workspaces):
        at = f"workspaces[{index}]"
        yield from _repeated(f"{at}.members", (each.user_name for each in workspace.members))
        yield from _repeated(f"{at}.projects", (each.name for each in workspace.projects))
        if workspace.number_of_members != len(workspace.members):
            yield (
                f"{at}.numberOfMembers is {workspace.number_of_members}, and "
                f"{len(workspace.members)} are listed"
            )
    users = document.users
    yield from _repeated("users.licensedUsers", (each.username for each in users.licensed_users))
    if users.number_of_users != len(users.licensed_users):
        yield (
            f"users.numberOfUsers is {users.number_of_users}, and "
            f"{len(users.licensed_users)} are listed"
        )
    yield from _two_emails(document)


def _repeated(where: str, names: Iterable[str]) -> Iterator[str]:
    counted = Counter(names)
    for name, count in counted.items():
        if count > 1:
            yield f"{where}: {name!r} is listed {count} times"
    if UNKNOWN_OWNER in counted and not where.endswith(("projects", "workspaces")):
        yield f"{where}: {UNKNOWN_OWNER!r} stands for owners who are not known"


def _two_emails(document: Document) -> Iterator[str]:
    known = {user.username: user.email or "" for user in document.users.licensed_users}
    for index, workspace in enumerate(document.workspaces):
        for member in workspace.members:
            email = known.setdefault(member.user_name, member.email or "")
            if email != (member.email or ""):
                yield (
                    f"workspaces[{index}].members: {member.user_name!r} has the email "
                    f"{member.email!r} here and {email!r} elsewhere"
                )


def _instant(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    return EARLIEST_ACCOUNT.astimezone(UTC) + timedelta(milliseconds=milliseconds)
