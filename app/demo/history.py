"""The calendar of a history: its months, and the hours at which people and machines work."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from app.demo.event_queue import Instant
from app.demo.seeded_random import SeededRandom
from app.domain.months import Month, microseconds

_SECOND = 1_000_000
HOUR = 3_600 * _SECOND
DAY = 24 * HOUR
POSITION_BITS = 40

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# By hour in UTC. Nothing happens before six: the founding on the first day takes until then.
_OFFICE_HOURS = (0, 0, 0, 0, 0, 0, 2, 5, 9, 12, 12, 10, 7, 10, 12, 12, 10, 7, 5, 4, 4, 3, 2, 1)
_NIGHT_HOURS = (0, 8, 10, 10, 6, 2) + 18 * (0,)
# In percent of an average working day, Monday first.
_WEEK = (95, 105, 105, 100, 95, 14, 10)
_FRIDAY = 4
_CRUNCH_DAYS, _CRUNCH_PERCENT = 5, 150
_HOLIDAY_PERCENT = 25


class Rhythm:
    """The distribution of a month's activity over its hours."""

    __slots__ = ("_starts", "_sums", "_weights")

    def __init__(self, starts: Sequence[Instant], weights: Sequence[Sequence[int]]) -> None:
        self._starts = starts
        self._weights = weights
        self._sums = [_sums_before(hours) for hours in weights]

    def instant(self, month: int, position: int) -> Instant:
        """Return when this part of the month's activity is done; 2**40 is all of it.

        A later position never gives an earlier time.
        """
        sums = self._sums[month]
        done = position * sums[-1]
        hour = bisect_right(sums, done >> POSITION_BITS) - 1
        rest = done - (sums[hour] << POSITION_BITS)
        offset = rest * HOUR // (self._weights[month][hour] << POSITION_BITS)
        return self._starts[month] + hour * HOUR + offset


def _sums_before(weights: Sequence[int]) -> list[int]:
    sums = [0]
    for weight in weights:
        sums.append(sums[-1] + weight)
    return sums


class History:
    """The period `[start, end)`: whole months, then the elapsed part of the last one."""

    __slots__ = ("_rng", "_starts", "end", "months", "night", "office", "start")

    def __init__(self, until: datetime, months: int, rng: SeededRandom) -> None:
        first = first_month(until, months)
        self._rng = rng
        self.start = to_instant(first.start)
        self.end = to_instant(until)
        self.months = [
            month
            for month in first.through(Month.containing(until))
            if to_instant(month.start) < self.end
        ]
        self._starts = [to_instant(month.start) for month in self.months]
        self.office = Rhythm(self._starts, [_office_hours(month) for month in self.months])
        self.night = Rhythm(self._starts, [_night_hours(month) for month in self.months])

    def month_at(self, at: Instant) -> int:
        """Return the index of an instant's month in `months`."""
        return bisect_right(self._starts, at) - 1

    def workday_after(self, at: Instant) -> Instant:
        """Return a random working hour of the next working day."""
        day = at // DAY + 1
        while _weekday(day) > _FRIDAY:
            day += 1
        return day * DAY + 8 * HOUR + self._rng.randbelow(8 * HOUR)

    def instant_after(self, now: Instant, least: int, most: int) -> Instant:
        """Return a working hour after a random percentage of the remaining time."""
        left = (self.end - now) * self._rng.randint(least * 100, most * 100) // 10_000
        return self.workday_after(now + left)


def first_month(until: datetime, months: int) -> Month:
    """Return the month in which a history of this length begins.

    Raises:
        ValueError: `until` has no time zone, or the history would begin before 2000.
    """
    if until.tzinfo is None:
        raise ValueError(f"until is {until.isoformat()}: allowed is a time with its time zone")
    earliest = Month.containing(_EARLIEST).plus(months)
    if Month.containing(until) < earliest:
        raise ValueError(f"until is {until.isoformat()}: allowed is from {earliest} on")
    return Month.containing(until).plus(-months)


def to_instant(time: datetime) -> Instant:
    """Convert a time to microseconds since 1970."""
    return microseconds(time - _EPOCH)


def format_instant(at: Instant) -> str:
    """Format an instant as events write times, with microseconds."""
    hour, rest = divmod(at, HOUR)
    seconds, microsecond = divmod(rest, _SECOND)
    minute, second = divmod(seconds, 60)
    return f"{_format_hour(hour)}:{minute:02}:{second:02}.{microsecond:06}Z"


@lru_cache(maxsize=1_000)
def _format_hour(hour: int) -> str:
    """Format the date and hour. Events come in time order, so thousands share a cached hour."""
    return (_EPOCH + timedelta(hours=hour)).isoformat()[:13]


def _office_hours(month: Month) -> list[int]:
    first_day, days = to_instant(month.start) // DAY, month.microseconds // DAY
    percents = [
        _WEEK[_weekday(first_day + day)] * _season_percent(month, day, days) for day in range(days)
    ]
    return [percent * hour for percent in percents for hour in _OFFICE_HOURS]


def _season_percent(month: Month, day: int, days: int) -> int:
    """Return the season's activity: quiet around New Year, busy at the ends of other months."""
    if (month.number == 12 and day >= 19) or (month.number == 1 and day < 2):
        return _HOLIDAY_PERCENT
    return _CRUNCH_PERCENT if day >= days - _CRUNCH_DAYS else 100


def _night_hours(month: Month) -> list[int]:
    return list(_NIGHT_HOURS) * (month.microseconds // DAY)


def _weekday(day: int) -> int:
    """Return the weekday, Monday as 0; 1 January 1970 was a Thursday."""
    return (day + 3) % 7
