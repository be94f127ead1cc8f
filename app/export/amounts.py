"""What the rows of an exported section are charged."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from app.domain.charges import ChargeLine, MonthCharges, Party
from app.domain.months import Month
from app.domain.sections import Section, SectionOrder
from app.export.comparisons import compare_amounts
from app.export.rows import CostCentreRow, ExportRow, RowType
from resolvers.sections import SectionQuery

UNASSIGNED = "Unassigned"


class SectionAmounts:
    """What a month charges for workspaces, or users, and for their corrections.

    Attributes:
        are_known: Whether the section has amounts.
    """

    def __init__(
        self,
        charges: MonthCharges | None = None,
        party_of: Callable[[ChargeLine], Party | None] = lambda _: None,
    ) -> None:
        self.are_known = charges is not None
        self._charges = charges
        self._own: dict[UUID, int] = {}
        self._corrections: dict[tuple[Month, str], int] = {}
        self._sum = 0
        self._corrected = 0
        for line in charges.lines if charges else ():
            party = party_of(line)
            if party is not None and line.origin is None:
                self._own[party.id] = self._own.get(party.id, 0) + line.booked
            elif party is not None and line.origin is not None:
                key = (line.origin, party.name)
                self._corrections[key] = self._corrections.get(key, 0) + line.booked

    @classmethod
    def of(cls, section: Section, charges: MonthCharges | None) -> "SectionAmounts":
        """Return the amounts of a section; projects and members have none of their own."""
        party_of = _PARTIES.get(section)
        return cls() if charges is None or party_of is None else cls(charges, party_of)

    def of_entity(self, id_: UUID | None) -> dict[str, Any]:
        """Return the fields of an entity's row, and add its amount up."""
        minor = 0 if id_ is None else self._own.get(id_, 0)
        self._sum += minor
        return self._fields(minor)

    def of_correction(self, origin: Month, names: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a correction's row, and add its amount up."""
        if not self.are_known:
            return {}
        name = names.get("workspace") or names.get("username")
        minor = self._corrections.get((origin, str(name)), 0)
        self._corrected += minor
        return self._fields(minor)

    def add_total(self, row: ExportRow, query: SectionQuery) -> ExportRow:
        """Add the sum of all rows to a total; nothing if only some of the rows were read."""
        if not self.are_known:
            return row
        is_part = query.workspace is not None or query.idle_since is not None
        if query.first is None:
            return _replace(row, self._fields(self._sum))
        return row if is_part else _replace(row, self._fields(sum(self._own.values())))

    def add_corrected_total(self, row: ExportRow, total: ExportRow) -> ExportRow:
        """Add the sum of a total and the corrections."""
        amount = getattr(total, "amount", None)
        if self._charges is None or amount is None:
            return row
        corrected = self._charges.currency.from_minor(self._corrected)
        return _replace(row, {**self._fields(0), "amount": amount + corrected})

    def _fields(self, minor: int) -> dict[str, Any]:
        assert self._charges is not None  # noqa: S101  the amounts are known
        currency = self._charges.currency
        return {"amount": currency.from_minor(minor), "currency": currency.code}


def _replace(row: Any, fields: Mapping[str, Any]) -> ExportRow:
    replaced: ExportRow = row._replace(**fields)
    return replaced


def _workspace_of(line: ChargeLine) -> Party | None:
    return line.workspace if line.user is None else None


_PARTIES: Mapping[Section, Callable[[ChargeLine], Party | None]] = {
    Section.WORKSPACE: _workspace_of,
    Section.USER: lambda line: line.user,
}


def list_cost_centres(
    month: Month,
    charges: MonthCharges | None,
    before: MonthCharges | None,
    *,
    order: SectionOrder,
    is_descending: bool | None,
    first: int | None,
    is_compared: bool,
) -> Sequence[ExportRow]:
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
