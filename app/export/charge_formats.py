"""The file formats of charges."""

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from app.export.charge_files import write_csv, write_json, write_parquet, write_xlsx
from app.export.focus import write_focus_csv
from resolvers.statements import Statement


class ChargeFormat(StrEnum):
    """A file format of charges."""

    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"
    FOCUS_1_2 = "focus-1.2"
    FOCUS_1_4 = "focus-1.4"

    @property
    def has_projects(self) -> bool:
        """Whether the rows of workspaces are divided among their projects."""
        return self in {ChargeFormat.FOCUS_1_2, ChargeFormat.FOCUS_1_4}


class ChargeFileType(NamedTuple):
    """How a format is written, and what HTTP and file systems call it."""

    write: Callable[[Statement], bytes]
    media_type: str
    suffix: str


_CSV_MEDIA_TYPE = "text/csv; charset=utf-8"

FILE_TYPES = {
    ChargeFormat.JSON: ChargeFileType(write_json, "application/json", "json"),
    ChargeFormat.CSV: ChargeFileType(write_csv, _CSV_MEDIA_TYPE, "csv"),
    ChargeFormat.XLSX: ChargeFileType(
        write_xlsx, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"
    ),
    ChargeFormat.PARQUET: ChargeFileType(
        write_parquet, "application/vnd.apache.parquet", "parquet"
    ),
    ChargeFormat.FOCUS_1_2: ChargeFileType(
        partial(write_focus_csv, version="1.2"), _CSV_MEDIA_TYPE, "focus-1.2.csv"
    ),
    ChargeFormat.FOCUS_1_4: ChargeFileType(
        partial(write_focus_csv, version="1.4"), _CSV_MEDIA_TYPE, "focus-1.4.csv"
    ),
}
