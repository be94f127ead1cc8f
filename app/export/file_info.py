"""What a file says besides its rows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from app.domain.months import Month


class SummaryLine(NamedTuple):
    """A line of a workbook's first sheet: a heading, and a value for each month."""

    heading: str
    values: Sequence[str | int | float | None]


class FileInfo(NamedTuple):
    """What a file says besides its rows.

    Attributes:
        statuses: The status of each month, which ends the file.
        dated: The date of the file: when its months were closed or read.
        decimals: Those of the currency.
        summary: The lines of a workbook's sheet Summary; none, no sheet.
        months: The figures of each month, for JSON.
        metadata: What a Parquet file says besides the statuses.
    """

    statuses: Mapping[Month, str]
    dated: datetime
    decimals: int = 2
    summary: Sequence[SummaryLine] = ()
    months: Sequence[Mapping[str, object]] = ()
    metadata: Mapping[str, str] = {}

    @property
    def created_at(self) -> datetime:
        """The date of the file in UTC, to the second, without an offset."""
        return self.dated.astimezone(UTC).replace(tzinfo=None, microsecond=0)
