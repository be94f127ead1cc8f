"""One file for each workspace, or for each cost centre, of a report."""

from pathlib import Path

from app.cli.report_files import choose_file_name, replace_file, write_to_path
from app.domain.months import Month
from app.export.charge_formats import FILE_TYPES, ChargeFormat
from app.export.charges import read_charge_export
from app.export.report import ExportQuery, list_workspaces, read_export
from app.export.writers import FileFormat
from resolvers.charge_lists import UNASSIGNED
from resolvers.context import Context


async def write_workspaces(
    context: Context, query: ExportQuery, form: FileFormat, folder: Path
) -> int:
    """Write a file for each workspace that exists or was used; return how many.

    Raises:
        InvalidArgument: A file cannot be written.
    """
    first, last = query.first_month, query.last_month
    months = f"{first}" if first == last else f"{first}-to-{last}"
    written: set[str] = set()
    for name in await list_workspaces(context, query):
        file_name = choose_file_name(months, name, form, written)
        export = await read_export(context, None, query._replace(workspace=name))
        await write_to_path(export, form, folder / file_name)
        written.add(file_name)
    return len(written)


async def write_cost_centres(
    context: Context, month: Month, form: ChargeFormat, folder: Path
) -> int:
    """Write the charges of each cost centre, and of Unassigned; return how many files.

    Raises:
        InvalidArgument: A file cannot be written.
        NotFound: The month has no charges.
    """
    whole = await read_charge_export(context, None, month)
    type_ = FILE_TYPES[form]
    written: set[str] = set()
    for code in whole.charges.by_cost_centre:
        name = whole.charges.name_of(code) or UNASSIGNED
        statement = whole._replace(lines=whole.charges.lines_of(code or ""), cost_centre_name=name)
        file_name = choose_file_name(f"{month}", code or name, type_.suffix, written)
        with replace_file(folder / file_name) as file:
            file.write(type_.write(statement))
        written.add(file_name)
    return len(written)
