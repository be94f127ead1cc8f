"""`chargeback audit`: the audit log as NDJSON or CSV, the earliest line first."""

import csv
from collections.abc import Callable
from contextlib import aclosing
from enum import StrEnum
from typing import Any

import orjson

from app.cli.report import inert
from app.clock import system_clock
from app.console import stdout
from app.db.audit import EntriesMatching
from app.db.engine import Database
from app.domain.audit import OPERATOR, AuditEntry
from app.services.audit import export_audit_log
from app.services.organizations import find_organization


class AuditFormat(StrEnum):
    """How the log is written."""

    NDJSON = "ndjson"
    CSV = "csv"


async def print_audit_log(
    database: Database, organization: str, matching: EntriesMatching, form: AuditFormat
) -> None:
    """Write the lines that match to stdout, and note that they left."""
    found = await find_organization(database, organization)
    write = _csv() if form is AuditFormat.CSV else _ndjson
    lines = export_audit_log(database, found.organization_id, matching, OPERATOR, system_clock())
    async with aclosing(lines):
        async for line in lines:
            write(line)
    stdout.file.flush()


_WRITTEN = dict(
    zip(
        AuditEntry._fields,
        (
            "id",
            "happenedAt",
            "action",
            "target",
            "outcome",
            "username",
            "keyId",
            "address",
            "door",
            "detail",
        ),
        strict=True,
    )
)
"""The columns, spelled as in GraphQL."""


def _ndjson(line: Any) -> None:
    told = {name: getattr(line, column) for column, name in _WRITTEN.items()}
    stdout.file.write(orjson.dumps(told, default=str, option=orjson.OPT_UTC_Z).decode() + "\n")


def _csv() -> Callable[[Any], None]:
    writer = csv.writer(stdout.file, lineterminator="\n")
    writer.writerow(_WRITTEN.values())

    def write(line: Any) -> None:
        *cells, detail = (getattr(line, column) for column in _WRITTEN)
        told = [*map(_cell, cells), orjson.dumps(detail).decode()]
        writer.writerow([inert(cell) for cell in told])

    return write


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value.isoformat() if hasattr(value, "isoformat") else value)
