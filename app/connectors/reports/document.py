"""Read and check a report document that another service wrote.

Older documents call a user's creation `created_at`, newer ones `createdAt` or both. Newer ones
also state when a user was deleted and was last active, and what the user owns in all workspaces.
"""

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from app.domain.errors import InvalidMonth, InvalidReport
from app.domain.events import EARLIEST, EARLIEST_ACCOUNT, Count, Name
from app.domain.months import Month
from app.domain.sizes import MEGABYTE
from app.domain.text import NUL, normalize_document
from app.domain.validation_messages import (
    MALFORMED_JSON,
    describe_malformed_json,
    describe_validation_error,
)

Megabytes = Annotated[float, Meta(ge=0, le=2**30)]
Experiments = Annotated[int, Meta(ge=0, le=10_000_000)]
Milliseconds = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Email = Annotated[str, Meta(max_length=512)]
MAX_PROBLEMS = 20
_FIRST_MONTH = Month.containing(EARLIEST)


def to_bytes(megabytes: float) -> int:
    """Return the whole bytes that are nearest to a number of megabytes."""
    return round(megabytes * MEGABYTE)


class ReportedFigures(Struct, rename="camel"):
    """The figures of a workspace, project or member."""

    number_of_experiments: Experiments
    total_size_in_mb: Megabytes

    @property
    def size_bytes(self) -> int:
        """The size in bytes."""
        return to_bytes(self.total_size_in_mb)


class ReportedMember(ReportedFigures, rename="camel", kw_only=True):
    """A member of a workspace."""

    user_name: Name
    email: Email | None = None


class ReportedProject(ReportedFigures, kw_only=True):
    """A project of a workspace."""

    name: Name


class ReportedWorkspace(ReportedFigures, rename="camel", kw_only=True):
    """A workspace with its members and projects."""

    name: Name
    number_of_members: int
    members: list[ReportedMember]
    projects: list[ReportedProject]


class ReportedUser(Struct, rename="camel", kw_only=True):
    """A licensed user. What only some documents state is None if it is missing."""

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
        """When the account was created."""
        if self.created_at_ms is None:
            return _to_instant(self.newer_created_at_ms)
        return _to_instant(self.created_at_ms)

    @property
    def deleted_at(self) -> datetime | None:
        """When the account was deleted."""
        return _to_instant(self.deleted_at_ms)

    @property
    def last_used_at(self) -> datetime | None:
        """The last use of any channel; if the document lacks it, the later of the two uses."""
        if self.last_used_at_ms is not None:
            return _to_instant(self.last_used_at_ms)
        return max(filter(None, (self.ui_used_at, self.sdk_used_at)), default=None)

    @property
    def ui_used_at(self) -> datetime | None:
        """The last use of the UI; documents write 0 if there was none."""
        return _to_instant(self.ui_usage_update_ts or None)

    @property
    def sdk_used_at(self) -> datetime | None:
        """The last use of the SDK; documents write 0 if there was none."""
        return _to_instant(self.sdk_usage_update_ts or None)


class ReportedUsers(Struct, rename="camel"):
    """The licensed users."""

    licensed_users: list[ReportedUser]
    number_of_users: int
    created_at: Milliseconds | None = None


class Document(Struct, rename="camel"):
    """A whole document."""

    report_date: str
    workspaces: list[ReportedWorkspace]
    users: ReportedUsers


@dataclass(frozen=True, slots=True)
class Report:
    """A checked document, compressed: one import may keep years of them in memory.

    Attributes:
        origin: The file or address that it came from.
        month: The month that it reports.
        compressed: Its text, gzipped.
        sha256: The hash of its content, independent of white space and the order of keys.
        created_at: When it was made, if it states that.
    """

    origin: str
    month: Month
    compressed: bytes
    sha256: str
    created_at: datetime | None

    def decode(self) -> Document:
        """Return the document."""
        return msgspec.json.decode(gzip.decompress(self.compressed), type=Document)


def read_report(text: bytes, origin: str) -> Report:
    """Decode and check a document.

    Raises:
        InvalidReport: It is not a report, or contradicts itself; the message names the place.
    """
    try:
        content = msgspec.json.decode(text)
    except MALFORMED_JSON as error:
        reason = describe_malformed_json(error)
        raise InvalidReport(f"{origin}: not a chargeback report: {reason}.") from None
    if not text.isascii() or b"\\u" in text:
        content = normalize_document(content)
        text = msgspec.json.encode(content)
    try:
        document = msgspec.json.decode(text, type=Document)
        month = Month.parse(document.report_date)
    except msgspec.ValidationError as error:
        problem = describe_validation_error(error, content)
        raise InvalidReport(f"{origin}: not a chargeback report: {problem}.") from None
    except InvalidMonth as error:
        raise InvalidReport(f"{origin}: reportDate: {error}") from None
    if problems := list(_find_problems(document, month, text)):
        listed = problems[:MAX_PROBLEMS]
        if len(problems) > MAX_PROBLEMS:
            listed.append(f"and {len(problems) - MAX_PROBLEMS} more")
        raise InvalidReport("\n  ".join([f"{origin}: this report cannot be imported:", *listed]))
    canonical = msgspec.json.encode(content, order="deterministic")
    return Report(
        origin,
        month,
        gzip.compress(text, 1),
        hashlib.sha256(canonical).hexdigest(),
        _to_instant(document.users.created_at),
    )


def _find_problems(document: Document, month: Month, text: bytes) -> Iterator[str]:
    """Yield what month rows, whose keys are names, cannot represent."""
    if month < _FIRST_MONTH:
        yield f"reportDate is {month}: the earliest month is {_FIRST_MONTH}"
    if b"\\u0000" in text:
        yield f"a text contains {NUL!r}, which cannot be stored"
    yield from _find_repeated("workspaces", (each.name for each in document.workspaces))
    for index, workspace in enumerate(document.workspaces):
        place, members = f"workspaces[{index}]", workspace.members
        yield from _find_repeated(f"{place}.members", (each.user_name for each in members))
        yield from _find_repeated(f"{place}.projects", (each.name for each in workspace.projects))
        yield from _find_miscount(
            f"{place}.numberOfMembers", workspace.number_of_members, len(members)
        )
    users = document.users.licensed_users
    yield from _find_repeated("users.licensedUsers", (each.username for each in users))
    yield from _find_miscount("users.numberOfUsers", document.users.number_of_users, len(users))
    yield from _find_conflicting_emails(document)


def _find_repeated(place: str, names: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{place}: {name!r} is listed {count} times"


def _find_miscount(place: str, stated: int, listed: int) -> Iterator[str]:
    if stated != listed:
        yield f"{place} is {stated}, but {listed} are listed"


def _find_conflicting_emails(document: Document) -> Iterator[str]:
    """Yield members whose email differs from another of the same user; null is no email."""
    known = {user.username: user.email for user in document.users.licensed_users if user.email}
    for index, workspace in enumerate(document.workspaces):
        for member in workspace.members:
            if member.email and known.setdefault(member.user_name, member.email) != member.email:
                yield (
                    f"workspaces[{index}].members: {member.user_name!r} has the email "
                    f"{member.email!r} here and {known[member.user_name]!r} elsewhere"
                )


def _to_instant(milliseconds: int | None) -> datetime | None:
    if milliseconds is None:
        return None
    return EARLIEST_ACCOUNT.astimezone(UTC) + timedelta(milliseconds=milliseconds)
