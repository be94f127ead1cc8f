"""`chargeback audit`: export the audit log as NDJSON or CSV, earliest entry first."""

import csv
from collections.abc import Callable
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, Any

import orjson
import typer

from app.cli.operator import current_operator
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization, parse_instant
from app.clock import system_clock
from app.console import stdout
from app.db.audit import AuditFilter
from app.db.engine import Database
from app.domain.audit import Action, AuditEntry
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.safe_text import escape_for_spreadsheet
from app.server.store import run_with_store
from app.services.audit import export_audit_log
from app.services.organizations import find_organization


class AuditFormat(StrEnum):
    """The formats of an exported audit log."""

    NDJSON = "ndjson"
    CSV = "csv"


def export_audit(
    form: Annotated[
        AuditFormat,
        typer.Option(
            "--format", metavar="|".join(AuditFormat), help="One JSON object per line, or CSV."
        ),
    ] = AuditFormat.NDJSON,
    action: Annotated[
        list[Action] | None,
        typer.Option(metavar="ACTION", help="Only this action; repeatable. Default: all."),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="USERNAME", help="Only this user's actions.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="MONTH|TIME", help="Only entries from then on; a month means its start."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="MONTH|TIME", help="Only entries before then.")
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Export the audit log to stdout: who did what, when, from where, with which key."""
    matching = AuditFilter(
        actions=action or None,
        username=user,
        since=parse_instant(since) if since else None,
        until=parse_instant(until) if until else None,
    )
    run_with_store(
        data_dir,
        env_file,
        lambda database, _: _print_entries(database, organization, matching, form),
    )


async def _print_entries(
    database: Database, organization: str, matching: AuditFilter, form: AuditFormat
) -> None:
    """Print the entries that match; the export itself is audited too."""
    found = await find_organization(database, organization)
    write = _csv_writer() if form is AuditFormat.CSV else _write_json
    entries = export_audit_log(
        database, found.organization_id, matching, current_operator(), system_clock()
    )
    async with aclosing(entries):
        async for entry in entries:
            write(entry)
    stdout.file.flush()


_COLUMNS = dict(
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
            "interface",
            "detail",
        ),
        strict=True,
    )
)
"""Attributes of an entry and the names of their columns, spelled as in GraphQL."""


def _write_json(entry: object) -> None:
    fields = {name: getattr(entry, attribute) for attribute, name in _COLUMNS.items()}
    stdout.file.write(orjson.dumps(fields, default=str, option=orjson.OPT_UTC_Z).decode() + "\n")


def _csv_writer() -> Callable[[Any], None]:
    writer = csv.writer(stdout.file, lineterminator="\n")
    writer.writerow(_COLUMNS.values())

    def write(entry: object) -> None:
        *values, detail = (getattr(entry, attribute) for attribute in _COLUMNS)
        cells = [*map(_format_cell, values), orjson.dumps(detail).decode()]
        writer.writerow([escape_for_spreadsheet(cell) for cell in cells])

    return write


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    return str(value.isoformat() if hasattr(value, "isoformat") else value)
