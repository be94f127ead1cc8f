"""What the rows of an exported section are charged."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.charges import ChargeLine, MonthCharges
from app.domain.months import Month
from app.domain.sections import Section, SectionOrder
from app.export.comparisons import compare_amounts
from app.export.rows import ROW_CLASSES, CostCentreRow, ExportRow, Fields, RowType
from resolvers.context import Context
from resolvers.levels import ReportKey
from resolvers.sections import SectionQuery
from resolvers.shares import read_shares

UNASSIGNED = "Unassigned"
_PARTS = frozenset((Section.PROJECT, Section.MEMBER))


class _Place(NamedTuple):
    """The names of what a correction is booked for, as far as the section shows them."""

    origin: Month
    workspace: str | None
    part: str | None


class SectionAmounts:
    """What a month charges for the rows of a section, and for their corrections.

    Projects and members have a share of what their workspace is charged. These are read as the
    rows come, for the workspaces of a chunk, so that memory does not grow with the organization.

    Attributes:
        are_known: Whether the month is charged.
    """

    def __init__(
        self,
        context: Context,
        report: ReportKey,
        query: SectionQuery,
        charges: MonthCharges | None,
    ) -> None:
        self.are_known = charges is not None
        self._context, self._report, self._query = context, report, query
        self._charges = charges
        self._of_workspaces: dict[UUID, dict[UUID, int]] = {}
        self._sum = 0
        self._late: dict[_Place, int] = {}
        lines = [] if charges is None else [line for line in charges.lines if self._has(line)]
        self._own_lines = [line for line in lines if line.origin is None]
        self._late_lines = [line for line in lines if line.origin is not None]
        self._own: dict[UUID, int] = defaultdict(int)
        for line in self._own_lines:
            self._own[_entity_of(line)] += line.booked

    def _has(self, line: ChargeLine) -> bool:
        """Return whether a line belongs to the section."""
        if self._query.section is Section.USER:
            return line.user is not None
        if line.workspace is None or line.user is not None:
            return False
        return self._query.workspace in {None, line.workspace.name}

    async def prepare(self, workspaces: Collection[UUID]) -> None:
        """Read the shares of the parts of these workspaces, before `of_entity` is called."""
        if self._charges is None or self._query.section not in _PARTS:
            return
        known = self._of_workspaces
        if self._query.order is SectionOrder.NAME:
            # The rows of a workspace follow each other.
            known = {key: known[key] for key in workspaces if key in known}
        missing = set(workspaces) - known.keys()
        self._of_workspaces = {**known, **await self._read_shares(missing)}

    async def _read_shares(self, workspaces: Collection[UUID]) -> dict[UUID, dict[UUID, int]]:
        assert self._charges is not None  # noqa: S101  the amounts are known
        lines = [line for key in workspaces for line in self._charges.workspace_lines.get(key, ())]
        found: dict[UUID, dict[UUID, int]] = {key: defaultdict(int) for key in workspaces}
        shares = await read_shares(
            self._context, self._report, self._charges, lines, self._query.section
        )
        for line, of_line in shares.items():
            for share in of_line:
                found[_entity_of(line)][share.part.id] += share.booked
        return found

    def of_entity(self, id_: UUID | None, workspace_id: UUID | None) -> Fields:
        """Return the fields of an entity's row, and add its amount up."""
        amounts: Mapping[UUID, int] = self._own
        if self._query.section in _PARTS:
            amounts = {} if workspace_id is None else self._of_workspaces[workspace_id]
        minor = 0 if id_ is None else amounts.get(id_, 0)
        self._sum += minor
        return self._fields(minor)

    async def prepare_corrections(self) -> None:
        """Read what is charged for corrections, before `of_correction` is called."""
        if self._charges is None:
            return
        late: dict[_Place, int] = defaultdict(int)
        if self._query.section in _PARTS:
            shares = await read_shares(
                self._context, self._report, self._charges, self._late_lines, self._query.section
            )
            for line, of_line in shares.items():
                for share in of_line:
                    late[_place_of(line, share.part.name)] += share.booked
        else:
            for line in self._late_lines:
                late[_place_of(line, None)] += line.booked
        self._late = late

    def of_correction(self, origin: Month, names: Fields) -> Fields:
        """Return the fields of a correction's row."""
        if not self.are_known:
            return {}
        place = _Place(
            origin, names.get("workspace"), names.get("project") or names.get("username")
        )
        return self._fields(self._late.pop(place, 0))

    def other_corrections(self, month: Month) -> Iterator[ExportRow]:
        """Yield rows for corrections that change no figure of the section.

        Where a late membership moves a seat, rounding can leave a user with a cent.
        """
        row_class: Any = ROW_CLASSES[self._query.section]
        for place, minor in sorted(self._late.items()):
            if minor:
                names = {"workspace": place.workspace, "project": place.part}
                names["username"] = place.part
                shown = {name: names[name] for name in row_class._fields if name in names}
                row = row_class(RowType.CORRECTION, month, place.origin)
                yield row._replace(**shown, **self._fields(minor))

    def add_total(self, row: ExportRow) -> ExportRow:
        """Add the sum of all rows to a total; nothing if only some of the rows were read."""
        if not self.are_known:
            return row
        if self._query.first is None:
            return _replace(row, self._fields(self._sum))
        if self._query.idle_since is not None:
            return row
        return _replace(row, self._fields(sum(self._own.values())))

    def add_corrected_total(self, row: ExportRow, total: ExportRow) -> ExportRow:
        """Add the sum of a total and the corrections."""
        amount = getattr(total, "amount", None)
        if self._charges is None or amount is None:
            return row
        corrected = self._charges.currency.from_minor(
            sum(line.booked for line in self._late_lines)
        )
        return _replace(row, {**self._fields(0), "amount": amount + corrected})

    def _fields(self, minor: int) -> Fields:
        assert self._charges is not None  # noqa: S101  the amounts are known
        currency = self._charges.currency
        return {"amount": currency.from_minor(minor), "currency": currency.code}


def _entity_of(line: ChargeLine) -> UUID:
    party = line.user or line.workspace
    assert party is not None  # noqa: S101  fees are in no section
    return party.id


def _place_of(line: ChargeLine, part: str | None) -> _Place:
    assert line.origin is not None  # noqa: S101  the line is a correction
    if line.user is not None:
        return _Place(line.origin, None, line.user.name)
    return _Place(line.origin, line.workspace and line.workspace.name, part)


def _replace(row: Any, fields: Fields) -> ExportRow:
    replaced: ExportRow = row._replace(**fields)
    return replaced


def list_cost_centres(
    month: Month,
    charges: MonthCharges | None,
    before: MonthCharges | None,
    *,
    order: SectionOrder,
    is_descending: bool | None,
    first: int | None,
    is_compared: bool,
) -> Sequence[CostCentreRow]:
    """Return what each cost centre pays for a month, Unassigned last, and the total.

    Orders: by code, or by amount, or with GROWTH by its change; the largest first.
    """
    if charges is None:
        return []
    codes = sorted(
        {*charges.by_cost_centre, *(before.by_cost_centre if before else ())},
        key=lambda code: (code is None, code or ""),
    )

    def to_row(code: str | None) -> CostCentreRow:
        name = UNASSIGNED if code is None else _name_of(code, charges, before)
        row = CostCentreRow(RowType.COST_CENTRE, month, None, code, name)
        minor = charges.by_cost_centre.get(code, 0)
        return add(row, minor, before.by_cost_centre.get(code, 0) if before else 0)

    def add(row: CostCentreRow, minor: int, minor_before: int) -> CostCentreRow:
        amount, earlier = map(charges.currency.from_minor, (minor, minor_before))
        row = row._replace(amount=amount, currency=charges.currency.code)
        return row._replace(**compare_amounts(amount, earlier)) if is_compared else row

    rows = [to_row(code) for code in codes]
    if order is not SectionOrder.NAME:
        field = "amount_change" if order is SectionOrder.GROWTH else "amount"
        rows.sort(key=lambda row: getattr(row, field), reverse=is_descending is not False)
    elif is_descending:
        rows.reverse()
    total = add(CostCentreRow(RowType.TOTAL, month), charges.total, before.total if before else 0)
    return [*rows[:first], total]


def _name_of(code: str, *charges: MonthCharges | None) -> str:
    return next(each.cost_centre_names[code] for each in charges
                if each is not None and code in each.cost_centre_names)  # fmt: skip
