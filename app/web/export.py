"""Exports of reports over REST: the tables of `chargeback report`, streamed as files."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from app.domain.audit import Action
from app.domain.callers import Caller, Scope
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.domain.sections import REPORT_SECTIONS, Direction, Section, SectionOrder
from app.domain.text import normalize_name
from app.export.report import ExportQuery, read_export
from app.export.rows import SUM_CLASSES
from app.export.writers import FileFormat, stream_export
from app.web.app_state import get_app_state
from app.web.audit import record_report_reads
from app.web.auth import AuthenticatedRoute
from app.web.context import create_context
from app.web.rest import SnapshotResponse

PARAMETERS = (
    *("reportMonth", "from", "to", "by", "format", "order", "direction", "top", "skip"),
    *("workspace", "compare", "idleDays", "sum", "organization"),
)


class _ExportRequest(NamedTuple):
    query: ExportQuery
    form: FileFormat
    organization: str | None

    @property
    def file_name(self) -> str:
        """The name under which browsers save the file."""
        first, last, sections = self.query[:3]
        months = f"{first}" if first == last else f"{first}-to-{last}"
        name = f"-{sections[0]}" if len(sections) == 1 else ""
        return f"chargeback-{months}{name}.{self.form}"


async def export_report(request: Request, caller: Caller) -> Response:
    """A report's rows as a file: workspaces, projects, members, users or corrections."""
    state = get_app_state(request)
    wanted = _parse_request(request.query_params, Month.containing(state.now))
    async with AsyncExitStack() as resources:
        await resources.enter_async_context(state.download_slots.acquire(caller.organization_id))
        snapshot = await resources.enter_async_context(
            state.database.snapshot(caller.organization_id)
        )
        context = create_context(request, caller, snapshot)
        export = await read_export(context, wanted.organization, wanted.query)
        chunks = stream_export(export, wanted.form)
        record_report_reads(request, context, Action.REPORT_EXPORTED)
        headers = {
            "Cache-Control": "private, no-cache",
            "Content-Disposition": f'attachment; filename="{wanted.file_name}"',
        }
        return SnapshotResponse(
            resources.pop_all(), chunks, headers, media_type=wanted.form.media_type
        )


def _parse_request(parameters: Mapping[str, str], current: Month) -> _ExportRequest:
    form = _choose(FileFormat, parameters, "format") or FileFormat.CSV
    top = _parse_count(parameters, "top")
    skip = _parse_count(parameters, "skip")
    if skip is not None and top is None:
        raise InvalidArgument("skip: give top, the number of rows of a page, too.")
    first, last = _parse_months(parameters, current)
    order = _choose(SectionOrder, parameters, "order")
    direction = _choose(Direction, parameters, "direction")
    query = ExportQuery(
        first,
        last,
        _choose_sections(parameters, form),
        order or (SectionOrder.AVERAGE if top else SectionOrder.NAME),
        top,
        normalize_name(parameters["workspace"]) if "workspace" in parameters else None,
        skip or 0,
        None if direction is None else direction is Direction.DESCENDING,
        _parse_compared(parameters.get("compare"), order, first),
        _parse_count(parameters, "idleDays"),
        _parse_flag(parameters, "sum"),
    )
    return _ExportRequest(query, form, parameters.get("organization"))


def _choose_sections(parameters: Mapping[str, str], form: FileFormat) -> tuple[Section, ...]:
    by = _choose(Section, parameters, "by")
    if by is not None:
        return (by,)
    if form.has_one_section:
        return (Section.WORKSPACE,)
    if _parse_flag(parameters, "sum"):
        return tuple(SUM_CLASSES)
    return tuple(
        each
        for each in REPORT_SECTIONS
        if each is not Section.USER or "workspace" not in parameters
    )


def _parse_months(parameters: Mapping[str, str], current: Month) -> tuple[Month, Month]:
    month, first, last = (parameters.get(name) for name in ("reportMonth", "from", "to"))
    if first is None and last is None:
        chosen = current if month is None else Month.parse(month)
        return chosen, chosen
    if month is not None or first is None or last is None:
        raise InvalidArgument("reportMonth: give it alone, or from and to together.")
    return Month.parse(first), Month.parse(last)


def _parse_compared(written: str | None, order: SectionOrder | None, month: Month) -> Month | None:
    """Return the month to compare with; growth compares with the month before."""
    if written is not None:
        return Month.parse(written)
    return month.plus(-1) if order is SectionOrder.GROWTH else None


def _parse_count(parameters: Mapping[str, str], name: str) -> int | None:
    written = parameters.get(name)
    if written is None:
        return None
    if not (written.isascii() and written.isdigit() and len(written) <= 9):
        raise InvalidArgument(f"{name}: must be a whole number from 1 on; got {written[:40]!r}.")
    return int(written)


def _parse_flag(parameters: Mapping[str, str], name: str) -> bool:
    written = parameters.get(name, "false")
    if written not in {"true", "false"}:
        raise InvalidArgument(f"{name}: must be true or false; got {written[:40]!r}.")
    return written == "true"


_Choice = TypeVar("_Choice", bound=StrEnum)


def _choose(kind: type[_Choice], parameters: Mapping[str, str], name: str) -> _Choice | None:
    written = parameters.get(name)
    if written is None:
        return None
    try:
        return kind(written)
    except ValueError:
        raise InvalidArgument(
            f"{name}: must be one of {', '.join(kind)}; got {written[:40]!r}."
        ) from None


routes = [
    AuthenticatedRoute(
        "/api/admin/chargeback/export",
        export_report,
        scope=Scope.REPORT_READ,
        parameters=PARAMETERS,
    )
]
