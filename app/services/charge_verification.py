"""Verify the charges of a month: compare them line by line with a replay."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, localcontext
from uuid import UUID

from app.db.charges import read_booked_charges
from app.db.engine import Transaction
from app.db.report_windows import window_of_ended
from app.db.row_reader import read_from_transaction
from app.db.tariffs import (
    BookedCorrectionRow,
    RateRow,
    select_assignments_in_force,
    select_charges_hash,
    select_corrections_through,
    select_rates_in_force,
    select_service_account_names,
)
from app.domain.charges import ChargeLine, MonthCharges
from app.domain.months import Month
from app.ingest.charge_replay import CorrectedMonth, LineKey, ReplayedLine, Tariff, replay_charges
from app.ingest.month_rows import load_rows
from app.ingest.replay import MonthRows
from resolvers.charges import compute_charges

_QUANTITY = Decimal(1).scaleb(-20)


async def verify_open_charges(
    tx: Transaction, organization_id: UUID, month: Month, rows: MonthRows
) -> list[str]:
    """Compare the charges that a close would book with a replay; one sentence per difference.

    Args:
        tx: The transaction.
        organization_id: The organization.
        month: An open month.
        rows: What the month's rows should be.
    """
    read = read_from_transaction(tx, organization_id)
    charges = await compute_charges(read, window_of_ended(month))
    if charges is None:
        return []
    return await _compare(tx, organization_id, charges, rows)


async def verify_closed_charges(tx: Transaction, organization_id: UUID, month: Month) -> list[str]:
    """Compare the charges that a close booked with a replay of its rows, and with their hash."""
    charges = await read_booked_charges(read_from_transaction(tx, organization_id), month)
    if charges is None:
        return []
    rows = await load_rows(tx, organization_id, month)
    found = await _compare(tx, organization_id, charges, rows)
    if charges.sha256 != await select_charges_hash(tx, organization_id, month):
        found.append("charges changed after the month was closed")
    return found


async def _compare(
    tx: Transaction, organization_id: UUID, charges: MonthCharges, rows: MonthRows
) -> list[str]:
    tariff = await _read_tariff(tx, organization_id, charges.month)
    expected = replay_charges(
        charges.month,
        rows,
        tariff._replace(rates=_as_booked(tariff.rates, charges)),
        charges.currency.exponent,
        await _read_corrected_months(tx, organization_id, charges.month),
    )
    return list(_describe_differences(expected, charges))


async def _read_tariff(tx: Transaction, organization_id: UUID, month: Month) -> Tariff:
    return Tariff.of(
        await select_rates_in_force(tx, organization_id, month),
        await select_assignments_in_force(tx, organization_id, month),
    )


def _as_booked(rates: Sequence[RateRow], charges: MonthCharges) -> list[RateRow]:
    """Return rates with the split and payer of fees that the lines were booked with.

    These may change for later months; measure and price of a closed month may not.
    """
    booked = {line.rate.code: line.rate for line in charges.lines if line.origin is None}
    return [
        row._replace(split=booked[row.code].split, cost_centre=booked[row.code].cost_centre)
        if row.code in booked
        else row
        for row in rates
    ]


async def _read_corrected_months(
    tx: Transaction, organization_id: UUID, month: Month
) -> Mapping[Month, CorrectedMonth]:
    corrections = await select_corrections_through(tx, organization_id, month)
    found = {}
    for origin in sorted({row.origin_month for row in corrections}):
        of_origin = [row for row in corrections if row.origin_month == origin]
        found[origin] = CorrectedMonth(
            await _read_tariff(tx, organization_id, origin),
            await load_rows(tx, organization_id, origin),
            [row for row in of_origin if row.booked_month != month],
            [row for row in of_origin if row.booked_month == month],
            await _find_service_accounts(tx, organization_id, origin, of_origin),
        )
    return found


async def _find_service_accounts(
    tx: Transaction,
    organization_id: UUID,
    origin: Month,
    corrections: Sequence[BookedCorrectionRow],
) -> set[str]:
    """Return the service accounts of a closed month, or of the first month that licenses them."""
    found = dict(await select_service_account_names(tx, organization_id, origin))
    for booked in sorted({row.booked_month for row in corrections}):
        then = dict(await select_service_account_names(tx, organization_id, booked))
        for row in corrections:
            if (row.booked_month, row.figure) == (booked, "LICENSED_USERS"):
                name = row.username or ""
                found.setdefault(name, then.get(name, False))
    return {name for name, is_service in found.items() if is_service}


def _describe_differences(
    expected: Mapping[LineKey, ReplayedLine], charges: MonthCharges
) -> Iterator[str]:
    booked = {_to_key(line): _to_replayed(line) for line in charges.lines}
    for key in sorted({*expected, *booked}, key=lambda each: (each.rate, *each.order)):
        name, should, found = _format_key(key), expected.get(key), booked.get(key)
        if found is None:
            yield f"{name} is missing"
        elif should is None:
            yield f"{name} should not exist"
        else:
            for field in ReplayedLine._fields:
                wanted, value = getattr(should, field), getattr(found, field)
                if not _is_equal(wanted, value):
                    yield f"{name}: {field} is {value}, and should be {wanted}"


def _is_equal(wanted: Decimal, value: Decimal) -> bool:
    return abs(wanted - value) < _QUANTITY


def _to_key(line: ChargeLine) -> LineKey:
    workspace, username = line.workspace and line.workspace.name, line.user and line.user.name
    return LineKey(line.rate.code, line.origin, line.cost_centre, workspace, username)


def _to_replayed(line: ChargeLine) -> ReplayedLine:
    with localcontext(prec=60):
        quantity = Decimal(line.quantity.numerator) / line.quantity.denominator
    return ReplayedLine(quantity, line.price, line.booked)


def _format_key(key: LineKey) -> str:
    of = " as a member of ".join(filter(None, (key.username, key.workspace)))
    late = f", correction of {key.origin}" if key.origin else ""
    payer = key.cost_centre or "Unassigned"
    return f"charge line {key.rate!r}{f' of {of!r}' if of else ''} for {payer}{late}"
