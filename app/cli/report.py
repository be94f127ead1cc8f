"""`chargeback report`: print or export a report."""

from contextlib import aclosing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from app.cli.operator import operator_context
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.cli.report_files import (
    create_folder,
    print_text,
    require_file,
    write_chunks,
    write_to_path,
    write_to_stdout,
)
from app.cli.report_split import write_cost_centres, write_workspaces
from app.cli.report_table import print_export
from app.console import print_line, stdout
from app.db.engine import Database
from app.domain.audit import Action
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.domain.sections import REPORT_SECTIONS, Direction, Section, SectionOrder
from app.domain.text import normalize_name
from app.export.charge_formats import ChargeFormat
from app.export.report import ExportQuery, read_export
from app.export.rows import SUM_CLASSES
from app.export.writers import FileFormat
from app.server.store import run_with_store
from app.settings import Settings
from app.web.report_document import read_report_header, stream_document
from resolvers.context import Context


class Format(StrEnum):
    """The formats of a printed report."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


class Split(StrEnum):
    """The entities that get a file each."""

    WORKSPACE = "workspace"
    COST_CENTRE = "cost-centre"


class ReportRequest(NamedTuple):
    """The options of the command.

    Attributes:
        by: The section; None is the format's default.
        output: The file to write; None is standard output.
        out: The directory of one file for each workspace, or cost centre; None is one file.
        split_by: What these files are for.
    """

    first_month: Month
    last_month: Month
    form: Format = Format.TABLE
    by: Section | None = None
    order: SectionOrder = SectionOrder.NAME
    top: int | None = None
    workspace: str | None = None
    output: Path | None = None
    out: Path | None = None
    skip: int = 0
    is_descending: bool | None = None
    compared_with: Month | None = None
    idle_days: int | None = None
    is_summed: bool = False
    split_by: Split = Split.WORKSPACE

    @property
    def query(self) -> ExportQuery:
        """The export to read."""
        return ExportQuery(
            self.first_month,
            self.last_month,
            self._sections,
            self.order,
            self.top,
            self.workspace,
            self.skip,
            self.is_descending,
            self.compared_with,
            self.idle_days,
            self.is_summed,
        )

    @property
    def _sections(self) -> tuple[Section, ...]:
        if self.by is not None:
            return (self.by,)
        if self.form not in {Format.XLSX, Format.JSON}:
            return (Section.WORKSPACE,)
        if self.is_summed:
            return tuple(SUM_CLASSES)
        has_users = self.workspace is None and self.out is None
        return tuple(each for each in REPORT_SECTIONS if has_users or each is not Section.USER)

    @property
    def is_document(self) -> bool:
        """Whether to print the REST document, which has a fixed shape."""
        is_json = self.form is Format.JSON and self.by is None and self.out is None
        return is_json and not self.is_summed


def show_report(
    month: Annotated[
        str | None, typer.Argument(metavar="MONTH", help="The month, YYYY-MM.", show_default=False)
    ] = None,
    by: Annotated[
        Section | None,
        typer.Option(
            metavar="|".join(Section),
            help="What there is a row for. Default: workspace; in XLSX a sheet for each.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(metavar="N", help="Only the first N rows; totals cover all.", min=1),
    ] = None,
    skip: Annotated[
        int, typer.Option(metavar="N", help="With --top, leave out the first N rows.", min=0)
    ] = 0,
    order: Annotated[
        SectionOrder | None,
        typer.Option(
            metavar="|".join(SectionOrder),
            help="By name, or the largest first. Default: name; with --top average. growth "
            "compares with the month before, unless --compare names another.",
        ),
    ] = None,
    direction: Annotated[
        Direction | None,
        typer.Option(metavar="|".join(Direction), help="Turn the order round."),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="MONTH",
            help="An earlier month: adds its average, or amount, and the change; what is gone is "
            "listed too.",
        ),
    ] = None,
    idle_days: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Only users, or projects, that were idle for N days when the month ended.",
            min=1,
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", metavar="MONTH", help="The first of several months.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="MONTH", help="The last of several months.")
    ] = None,
    is_summed: Annotated[
        bool,
        typer.Option(
            "--sum",
            help="Add the months up: one row for each workspace, project, user or cost centre, "
            "what was deleted and corrections included.",
        ),
    ] = False,
    workspace: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this workspace.")
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            metavar="|".join(Format),
            help="Default: by the suffix of --output, else a table. JSON without --by is the "
            "document of the REST route.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write.", dir_okay=False)
    ] = None,
    split_by: Annotated[
        Split | None,
        typer.Option(metavar="|".join(Split), help="Write a file for each, into --out."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where --split-by writes.", file_okay=False)
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Print a report as a table, or export it: deleted workspaces and corrections included."""
    if (split_by is None) != (out is None):
        raise InvalidArgument("--split-by and --out DIR go together.")
    if skip and top is None:
        raise InvalidArgument("--skip: give --top, the number of rows of a page, too.")
    default_order = SectionOrder.AVERAGE if top else SectionOrder.NAME
    first_month, last_month = _parse_months(month, since, until)
    request = ReportRequest(
        first_month,
        last_month,
        form or _format_of(output),
        by,
        order or default_order,
        top,
        None if workspace is None else normalize_name(workspace),
        output,
        out,
        skip,
        None if direction is None else direction is Direction.DESCENDING,
        _parse_compared(compare, order, first_month),
        idle_days,
        is_summed,
        split_by or Split.WORKSPACE,
    )
    _validate(request)
    run_with_store(
        data_dir,
        env_file,
        lambda database, settings: print_report(database, settings, organization, request),
    )


def _parse_months(month: str | None, since: str | None, until: str | None) -> tuple[Month, Month]:
    if month is not None and since is None and until is None:
        return Month.parse(month), Month.parse(month)
    if month is None and since is not None and until is not None:
        return Month.parse(since), Month.parse(until)
    raise InvalidArgument("Give one MONTH, or both --from MONTH and --to MONTH.")


def _parse_compared(compare: str | None, order: SectionOrder | None, month: Month) -> Month | None:
    if compare is not None:
        return Month.parse(compare)
    return month.plus(-1) if order is SectionOrder.GROWTH else None


def _format_of(output: Path | None) -> Format:
    if output is None:
        return Format.TABLE
    suffix = output.suffix.removeprefix(".").lower()
    if suffix in set(Format) - {Format.TABLE}:
        return Format(suffix)
    raise InvalidArgument(f"--output {output}: give --format, or a suffix such as .xlsx.")


def _validate(request: ReportRequest) -> None:
    """Reject options that do not go together.

    Raises:
        InvalidArgument: They do not.
    """
    if request.form is Format.TABLE and (request.output or request.out):
        raise InvalidArgument(
            "--format table is for the terminal: choose csv, json, xlsx or parquet."
        )
    if request.output and request.out:
        raise InvalidArgument("--output writes one file, --out one for each part.")
    if request.out:
        _validate_split(request)
    chosen = (request.workspace, request.top, request.compared_with, request.idle_days)
    if request.is_document and (any(chosen) or request.first_month != request.last_month):
        raise InvalidArgument(
            "--format json without --by is the document of one month: name a section with --by."
        )
    if request.form is not Format.TABLE and not (request.output or request.out):
        require_file(FileFormat(request.form))


def _validate_split(request: ReportRequest) -> None:
    if request.is_summed:
        raise InvalidArgument(f"--split-by {request.split_by} has no --sum.")
    if request.split_by is Split.COST_CENTRE:
        others = (request.by, request.workspace, request.top, request.compared_with)
        if any(others) or request.first_month != request.last_month:
            raise InvalidArgument(
                "--split-by cost-centre writes the charges of one month; it has no --by, "
                "--workspace, --top and --compare."
            )
    elif request.workspace or request.by in {Section.USER, Section.COST_CENTRE}:
        raise InvalidArgument(
            f"--split-by workspace has no --workspace and no --by {request.by or 'user'}."
        )


async def print_report(
    database: Database, settings: Settings, organization: str, request: ReportRequest
) -> None:
    """Print or export a report, and record the read in the audit log."""
    action = Action.REPORT_READ if request.form is Format.TABLE else Action.REPORT_EXPORTED
    async with operator_context(database, settings, organization, action) as context:
        if request.out is not None:
            await _write_split(context, request, request.out)
        elif request.is_document:
            await _write_document(context, request)
        else:
            await _write_export(context, request)


async def _write_document(context: Context, request: ReportRequest) -> None:
    header = await read_report_header(context, None, request.first_month)
    async with aclosing(stream_document(context, header)) as chunks:
        if request.output is not None:
            await write_chunks(chunks, request.output)
            print_line(f"wrote {request.output}")
            return
        await print_text(chunks)
        stdout.file.write("\n")


async def _write_export(context: Context, request: ReportRequest) -> None:
    export = await read_export(context, None, request.query)
    if request.form is Format.TABLE:
        await print_export(export)
    elif request.output is None:
        await write_to_stdout(export, FileFormat(request.form))
    else:
        await write_to_path(export, FileFormat(request.form), request.output)
        print_line(f"wrote {request.output}")


async def _write_split(context: Context, request: ReportRequest, folder: Path) -> None:
    create_folder(folder)
    if request.split_by is Split.COST_CENTRE:
        form = ChargeFormat(request.form)
        count = await write_cost_centres(context, request.first_month, form, folder)
    else:
        count = await write_workspaces(context, request.query, FileFormat(request.form), folder)
    print_line(f"wrote {count} files into {folder}")
