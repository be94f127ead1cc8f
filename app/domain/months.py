"""The report month: a calendar month in UTC, half open."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Self

from app.domain.errors import InvalidMonth

_WRITTEN = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)


class Month(NamedTuple):
    """`[first instant, first instant of the next)` in UTC, written `YYYY-MM`."""

    year: int
    number: int

    @classmethod
    def parse(cls, written: str) -> Self:
        """Read `YYYY-MM`.

        Raises:
            InvalidMonth: It is written otherwise.
        """
        match = _WRITTEN.fullmatch(written)
        if match is None or match[1] == "0000":
            raise InvalidMonth(f"{written[:40]!r} is not a month: write YYYY-MM, such as 2026-09.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def containing(cls, instant: datetime | date) -> Self:
        """The month of an instant in UTC, or of a day."""
        if isinstance(instant, datetime) and instant.tzinfo is not UTC:
            instant = instant.astimezone(UTC)
        return cls(instant.year, instant.month)

    @property
    def first_day(self) -> date:
        """How the store names the month."""
        return date(self.year, self.number, 1)

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first instant that is no longer in it; of the last there is, its last instant."""
        return _end(self)

    @property
    def microseconds(self) -> int:
        """Its length."""
        return microseconds(self.end - self.start)

    def plus(self, count: int) -> "Month":
        """The month `count` months later; earlier when negative."""
        year, index = divmod(self.year * 12 + self.number - 1 + count, 12)
        return Month(year, index + 1)

    def through(self, last: "Month") -> Iterator["Month"]:
        """This month and each one after it, up to `last`; none when `last` is earlier."""
        month = self
        while month <= last:
            yield month
            month = month.plus(1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


_LAST = Month(9999, 12)


@lru_cache(maxsize=1_000)
def _end(month: Month) -> datetime:
    return datetime.max.replace(tzinfo=UTC) if month == _LAST else month.plus(1).start


def report_end(month: Month, now: datetime) -> datetime:
    """The instant at which stocks are taken: the month's end, or now while it is current.

    Raises:
        InvalidMonth: The month is in the future.
    """
    current = Month.containing(now)
    if month > current:
        raise InvalidMonth(f"{month} is in the future: the latest report month is {current}.")
    return month.end if month < current else now


def microseconds(span: timedelta) -> int:
    """A span of time, exactly."""
    return span // _MICROSECOND


_MICROSECOND = timedelta(microseconds=1)


def to_epoch_milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970, as the REST document writes an instant."""
    return microseconds(instant - _EPOCH) // 1000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
