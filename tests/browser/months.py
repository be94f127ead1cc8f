"""The months of the demo organization, which ends now.

A long run can start in one month and end in the next, so tests ask for a month when they need it.
"""

from datetime import UTC, datetime, timedelta


def latest_month() -> datetime:
    """Return the last day of the latest month that is over, which the start page opens."""
    first_day = datetime.now(UTC).replace(day=1)
    return first_day - timedelta(days=1)


def month_before() -> datetime:
    """Return the last day of the month before `latest_month()`."""
    return latest_month().replace(day=1) - timedelta(days=1)
