"""Replay of charges: compute a month's charges from its rows, by a second method.

Like `app/ingest/replay.py` it is deliberately independent: decimals instead of fractions, names
instead of ids, and no code of `app/domain/charges.py`, so that each verifies the other.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext
from typing import NamedTuple, TypeVar

from app.db.tariffs import AssignedRow, BookedCorrectionRow, RateRow
from app.domain.months import Month
from app.ingest.replay import MonthRows

_DIGITS = 80
_EXACT = Decimal(1).scaleb(-40)
"""Sums of quotients are rounded to this before they are compared or cut."""
_GIGABYTE = Decimal(2**30)


class LineKey(NamedTuple):
    """What identifies a line within its month: what is charged, and who pays."""

    rate: str
    origin: Month | None
    cost_centre: str | None
    workspace: str | None
    username: str | None

    @property
    def order(self) -> tuple[object, ...]:
        """The order of lines of one rate, which breaks ties."""
        payer = (self.cost_centre is None, self.cost_centre or "")
        return (*payer, self.workspace or "", self.username or "")


class ReplayedLine(NamedTuple):
    """A line: quantity and price, and once it is booked the amount in minor units."""

    quantity: Decimal
    price: Decimal
    booked: int = 0


_NOTHING = ReplayedLine(Decimal(0), Decimal(0))


class Tariff(NamedTuple):
    """What is in force in a month: rates with prices, and cost centres by name."""

    rates: Sequence[RateRow]
    workspaces: Mapping[str, str]
    users: Mapping[str, str]

    @classmethod
    def of(cls, rates: Sequence[RateRow], assigned: Iterable[AssignedRow]) -> "Tariff":
        """Return the tariff of these rows."""
        payers: dict[str, dict[str, str]] = {"WORKSPACE": {}, "USER": {}}
        for row in assigned:
            payers[row.kind][row.name] = row.cost_centre
        return cls(rates, payers["WORKSPACE"], payers["USER"])


class CorrectedMonth(NamedTuple):
    """A closed month that the month corrects.

    Attributes:
        tariff: What was in force in it.
        rows: Its rows, which never change.
        earlier: The corrections that earlier months booked.
        booked: Those that the month books.
        service_accounts: The usernames of its service accounts.
    """

    tariff: Tariff
    rows: MonthRows
    earlier: Sequence[BookedCorrectionRow]
    booked: Sequence[BookedCorrectionRow]
    service_accounts: set[str]


_Lines = dict[LineKey, ReplayedLine]
_RateKey = tuple[str, Month | None]
_Quantities = Mapping[str, Mapping[str, Decimal]]
"""By measure, then by the name of the workspace or user."""

WORKSPACE_MEASURES = ("STORAGE", "EXPERIMENTS_CREATED")
USER_MEASURES = ("SEATS", "SERVICE_ACCOUNTS", "UI_USES", "SDK_USES")


def replay_charges(
    month: Month,
    rows: MonthRows,
    tariff: Tariff,
    decimals: int,
    corrected: Mapping[Month, CorrectedMonth],
) -> _Lines:
    """Return the lines that a month should have.

    Args:
        month: The month in which the lines are booked.
        rows: The month's own rows.
        tariff: What is in force in the month.
        decimals: The number of decimals of the currency.
        corrected: The months that it corrects.
    """
    with localcontext(prec=_DIGITS):
        own = dict(_usage_lines(None, _quantities(rows, month), tariff, rows.members))
        own |= _direct_fees(tariff)
        direct = _book(own, decimals)
        fees = _book(dict(_split_fees(tariff, direct)), decimals)
        late: _Lines = {}
        for origin, closed in corrected.items():
            late |= dict(_changed_lines(origin, closed))
        return direct | fees | _book(late, decimals)


def _quantities(rows: MonthRows, month: Month) -> _Quantities:
    workspaces = {name: sums for (name,), sums in rows.figures["workspaces"].items()}
    users = {name: user for (name,), user in rows.users.items() if user.licensed}
    return {
        "STORAGE": {
            name: _gigabyte_months(sums.byte_microseconds, month)
            for name, sums in workspaces.items()
        },
        "EXPERIMENTS_CREATED": {
            name: Decimal(sums.experiments_created) for name, sums in workspaces.items()
        },
        "SEATS": {name: Decimal(not user.service_account) for name, user in users.items()},
        "SERVICE_ACCOUNTS": {name: Decimal(user.service_account) for name, user in users.items()},
        "UI_USES": {name: Decimal(user.ui_usage_count) for name, user in users.items()},
        "SDK_USES": {name: Decimal(user.sdk_usage_count) for name, user in users.items()},
    }


def _gigabyte_months(byte_microseconds: int | Decimal, month: Month) -> Decimal:
    return Decimal(byte_microseconds) / _GIGABYTE / month.microseconds


def _changed_lines(
    origin: Month, closed: CorrectedMonth
) -> Iterator[tuple[LineKey, ReplayedLine]]:
    """Yield the difference between the whole closed month after and before the corrections."""
    before = dict(_corrected_lines(origin, closed, closed.earlier))
    after = dict(_corrected_lines(origin, closed, [*closed.earlier, *closed.booked]))
    for key, line in {**before, **after}.items():
        was, is_now = (lines.get(key, _NOTHING).quantity for lines in (before, after))
        change = is_now - was
        if change.quantize(_EXACT):
            yield key, ReplayedLine(change, line.price)


def _corrected_lines(
    origin: Month, closed: CorrectedMonth, corrections: Sequence[BookedCorrectionRow]
) -> Iterator[tuple[LineKey, ReplayedLine]]:
    found: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for measure, values in _quantities(closed.rows, origin).items():
        found[measure].update(values)
    members = set(closed.rows.members)
    for row in corrections:
        workspace, username = row.workspace or "", row.username or ""
        if row.figure == "MEMBERS":
            (members.add if row.amount > 0 else members.discard)((workspace, username))
        elif row.figure == "LICENSED_USERS":
            is_service = username in closed.service_accounts
            found["SERVICE_ACCOUNTS" if is_service else "SEATS"][username] += row.amount
        elif row.figure == "BYTE_MICROSECONDS":
            found["STORAGE"][workspace] += _gigabyte_months(row.amount, origin)
        elif row.figure == "EXPERIMENTS_CREATED":
            found["EXPERIMENTS_CREATED"][workspace] += row.amount
        elif row.figure in _USES:
            found[_USES[row.figure]][username] += row.amount
    return _usage_lines(origin, found, closed.tariff, members)


_USES = {"UI_USAGE": "UI_USES", "SDK_USAGE": "SDK_USES"}


def _usage_lines(
    origin: Month | None, quantities: _Quantities, tariff: Tariff, members: set[tuple[str, ...]]
) -> Iterator[tuple[LineKey, ReplayedLine]]:
    """Yield the lines of workspaces and users, not booked yet."""
    workspaces_of: dict[str, list[str]] = defaultdict(list)
    for workspace, username in members:
        workspaces_of[username].append(workspace)
    for rate in tariff.rates:
        used = {name: value for name, value in quantities.get(rate.measure, {}).items() if value}
        for name, quantity in used.items():
            if rate.measure in WORKSPACE_MEASURES:
                key = LineKey(rate.code, origin, tariff.workspaces.get(name), name, None)
                yield key, ReplayedLine(quantity, rate.price)
                continue
            own = tariff.users.get(name)
            shared = [] if own is not None else workspaces_of[name]
            if not shared:
                yield (
                    LineKey(rate.code, origin, own, None, name),
                    ReplayedLine(quantity, rate.price),
                )
            for workspace in shared:
                key = LineKey(rate.code, origin, tariff.workspaces.get(workspace), workspace, name)
                yield key, ReplayedLine(quantity / len(shared), rate.price)


def _direct_fees(tariff: Tariff) -> _Lines:
    return {
        LineKey(rate.code, None, rate.cost_centre, None, None): ReplayedLine(
            Decimal(1), rate.price
        )
        for rate in tariff.rates
        if rate.measure == "FEE" and rate.split is None
    }


def _split_fees(tariff: Tariff, direct: _Lines) -> Iterator[tuple[LineKey, ReplayedLine]]:
    """Yield a line for each cost centre that shares a fee."""
    everybody = dict.fromkeys({*tariff.workspaces.values(), *tariff.users.values()}, Decimal(1))
    charged: dict[str, Decimal] = defaultdict(Decimal)
    for key, line in direct.items():
        if key.cost_centre is not None and line.booked:
            charged[key.cost_centre] += line.booked
    for rate in tariff.rates:
        if rate.measure != "FEE" or rate.split is None:
            continue
        shares = (charged if rate.split == "PROPORTIONAL" else None) or everybody
        whole = sum(shares.values(), Decimal(0))
        for cost_centre, share in shares.items():
            key = LineKey(rate.code, None, cost_centre, None, None)
            yield key, ReplayedLine(share / whole, rate.price)
        if not shares:
            yield LineKey(rate.code, None, None, None, None), ReplayedLine(Decimal(1), rate.price)


def _book(lines: _Lines, decimals: int) -> _Lines:
    """Round the total of each rate, and apportion it to cost centres and then to lines."""
    rates: dict[_RateKey, dict[str | None, dict[LineKey, Decimal]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for key in sorted(lines, key=lambda each: each.order):
        line = lines[key]
        exact = (line.quantity * line.price).scaleb(decimals)
        rates[key.rate, key.origin][key.cost_centre][key] = exact
    booked: dict[LineKey, int] = {}
    for payers in rates.values():
        sums = {payer: sum(exact.values(), Decimal(0)) for payer, exact in payers.items()}
        total = sum(sums.values(), Decimal(0)).quantize(_EXACT)
        for payer, amount in _share(int(total.quantize(1, ROUND_HALF_UP)), sums).items():
            booked |= _share(amount, payers[payer])
    return {key: line._replace(booked=booked[key]) for key, line in lines.items()}


_K = TypeVar("_K")


def _share(total: int, exact: Mapping[_K, Decimal]) -> dict[_K, int]:
    """Round each value down, and give the remaining units to the largest remainders."""
    sign = -1 if sum(exact.values()) < 0 else 1
    values = {key: (value * sign).quantize(_EXACT) for key, value in exact.items()}
    shares = {key: int(value.to_integral_value(ROUND_FLOOR)) for key, value in values.items()}
    by_loss = sorted(values, key=lambda key: shares[key] - values[key])
    for key in by_loss[: total * sign - sum(shares.values())]:
        shares[key] += 1
    return {key: share * sign for key, share in shares.items()}
