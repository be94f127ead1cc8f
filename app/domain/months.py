"""The report month: a calendar month in UTC, half open."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Self

from app.domain.errors import InvalidMonth

_MONTH_PATTERN = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])", re.ASCII)
_DAY_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class Month(NamedTuple):
    """A calendar month in UTC, from its first instant up to but excluding the next month's.

    >>> str(Month.parse("2026-12").plus(1))
    '2027-01'
    >>> [str(month) for month in Month(2026, 11).through(Month(2027, 1))]
    ['2026-11', '2026-12', '2027-01']
    """

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `YYYY-MM`.

        Raises:
            InvalidMonth: The text has another form.
        """
        match = _MONTH_PATTERN.fullmatch(text)
        if match is None or match[1] == "0000":
            if _DAY_PATTERN.fullmatch(text):
                raise InvalidMonth(
                    f"{text!r} is a day: write the month as YYYY-MM, {text[:7]}. Reports, prices "
                    "and assignments start with a month."
                )
            raise InvalidMonth(f"{text[:40]!r} is not a month: write YYYY-MM, such as 2026-09.")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def containing(cls, instant: datetime | date) -> Self:
        """Return the month of an instant in UTC, or of a day."""
        if isinstance(instant, datetime) and instant.tzinfo is not UTC:
            instant = instant.astimezone(UTC)
        return cls(instant.year, instant.month)

    @property
    def first_day(self) -> date:
        """The first day, by which the database identifies the month."""
        return date(self.year, self.number, 1)

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first instant of the next month; for 9999-12, its own last instant."""
        return _end(self)

    @property
    def microseconds(self) -> int:
        """The month's length."""
        return microseconds(self.end - self.start)

    def plus(self, count: int) -> "Month":
        """Return the month `count` months later, or earlier if negative."""
        year, index = divmod(self.year * 12 + self.number - 1 + count, 12)
        return Month(year, index + 1)

    def through(self, last: "Month") -> Iterator["Month"]:
        """Yield this month and each following one up to `last`; nothing if `last` is earlier."""
        month = self
        while month <= last:
            yield month
            month = month.plus(1)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


def count_months(first: Month, last: Month) -> int:
    """Return how many months later `last` is than `first`.

    >>> count_months(Month(2025, 11), Month(2026, 2))
    3
    """
    return (last.year - first.year) * 12 + last.number - first.number


_LAST = Month(9999, 12)


@lru_cache(maxsize=1_000)
def _end(month: Month) -> datetime:
    return datetime.max.replace(tzinfo=UTC) if month == _LAST else month.plus(1).start


def report_end(month: Month, now: datetime) -> datetime:
    """Return the instant at which stocks are taken: the month's end, or now if it is current.

    Raises:
        InvalidMonth: The month is in the future.
    """
    current = Month.containing(now)
    if month > current:
        raise InvalidMonth(f"{month} is in the future: the latest report month is {current}.")
    return month.end if month < current else now


def microseconds(span: timedelta) -> int:
    """Return a duration in microseconds, exactly."""
    return span // _MICROSECOND


_MICROSECOND = timedelta(microseconds=1)


def to_epoch_milliseconds(instant: datetime) -> int:
    """Return whole milliseconds since 1970, the format of instants in the REST document."""
    return microseconds(instant - _EPOCH) // 1000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
