"""Charges and comparisons: a month charged, two months compared, and the memory of exports."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from app.clock import system_clock
from app.db.engine import Database
from app.db.report_windows import window_of_ended
from app.domain.audit import OPERATOR
from app.domain.charges import MonthCharges
from app.domain.rates import AssignedKind, CostCentre, Measure, Rate, Split
from app.postgres.database import with_database_name
from app.services.rate_card import AssignmentEntry, change_rate_card
from bench.measure import Contender, Timing, Timings, compare, measure_peak, time_run
from bench.ours import InProcess
from bench.processes import run_server, service_command
from bench.scaling import create_scaled_database, drop_database
from bench.store import MONTH, Store, say
from resolvers.charges import charges_of_report
from resolvers.charges_cache import ChargesCache

COMPARISON = "two months of 1,000 workspaces and 10,000 projects compared"
CHARGES = "a month charged: five rates, 1,000 workspaces, 20,000 users"
EXPORTS = "exports of the organization, \u00d7{scale}"
COMPARED, BOTH_READ = "compared", "both months read"
BY_HAND, COLD, CACHED = "by hand", "computed", "from the cache"

_PRICED = "chargeback_priced"
_FIRST = MONTH.plus(-1)
_CENTRES = ("4711", "4712", "4713", "4714", "4715", "4716")
_RATES = {
    Rate("created", "Experiments", Measure.EXPERIMENTS_CREATED): Decimal("0.05"),
    Rate("platform", "Platform", Measure.FEE, Split.PROPORTIONAL): Decimal(1000),
    Rate("sdk", "SDK uses", Measure.SDK_USES): Decimal("0.0031"),
    Rate("seats", "Seats", Measure.SEATS): Decimal("24.99"),
    Rate("storage", "Storage", Measure.STORAGE): Decimal("0.23"),
}
_FIGURES = "name averageSizeInMb experimentsCreated"
_MONTH_READ = """{ chargebackReport(month: "%s") {
    workspaces { %s projects { %s } } formerWorkspaces { %s } } }"""
_MONTH_COMPARED = """{ chargebackReport(month: "%s") {
    workspaces { %s previous { averageSizeInMb experimentsCreated }
        change { averageSizeInMb { absolute percent } }
        projects { %s previous { averageSizeInMb experimentsCreated }
            change { averageSizeInMb { absolute percent } } } }
    formerWorkspaces { %s } } }"""
EXPORT_ROUTES = {
    f"{by} as {form}": f"/api/admin/chargeback/export?reportMonth={MONTH}&by={by}&format={form}"
    for by in ("member", "user")
    for form in ("csv", "json", "parquet", "xlsx")
}


async def measure_charges(store: Store, rounds: int) -> dict[str, Timings]:
    """Measure a comparison of two months, and the charges of a month."""
    async with _open_priced(store) as (url, database):
        product = InProcess(database, store.caller)
        return {
            COMPARISON: await compare(COMPARISON, _comparison_contenders(product), rounds),
            CHARGES: await _compare_charges(store, product, url, rounds),
        }


@asynccontextmanager
async def _open_priced(store: Store) -> AsyncIterator[tuple[str, Database]]:
    """Open a clone of the database with a rate card: one in ten workspaces is unassigned."""
    await create_scaled_database(store.url, _PRICED, 1)
    url = with_database_name(store.url, _PRICED)
    database = Database(url, pool_size=2)
    try:
        await enter_rate_card(database, store.organization_id)
        yield url, database
    finally:
        await database.close()
        await drop_database(store.url, _PRICED)


async def enter_rate_card(database: Database, organization_id: UUID) -> None:
    """Enter five rates, and cost centres for nine of ten workspaces."""
    now = system_clock()
    async with database.owner_transaction() as tx:
        found = await tx.exec_driver_sql("SELECT name FROM workspace ORDER BY name")
        names = [row[0] for row in found]
    entries = [
        AssignmentEntry(AssignedKind.WORKSPACE, name, _CENTRES[number % len(_CENTRES)], _FIRST)
        for number, name in enumerate(names)
        if number % 10
    ]
    async with change_rate_card(database, organization_id, OPERATOR, now) as change:
        await change.set_currency("EUR")
        for code in _CENTRES:
            await change.set_cost_centre(CostCentre(code, code))
        for rate, price in _RATES.items():
            await change.set_rate(rate)
            await change.set_price(rate.code, _FIRST, price)
        await change.assign(entries)


def _comparison_contenders(product: InProcess) -> Sequence[Contender]:
    # The month after the events has the same workspaces and projects; the month before has none.
    months = MONTH.plus(1), MONTH
    reads = [_MONTH_READ % (month, *[_FIGURES] * 3) for month in months]
    compared = _MONTH_COMPARED % (months[0], *[_FIGURES] * 3)

    async def read_both() -> bytes:
        now, before = [await product.graphql(query) for query in reads]
        return b'{"now":%b,"before":%b}' % (now, before)

    return [
        Contender(BOTH_READ, read_both, _changes_of_both),
        Contender(COMPARED, partial(product.graphql, compared), _changes_of_one),
    ]


def _changes_of_both(document: Any) -> Mapping[str, float]:
    """Return the change of each workspace that exists now."""
    now, before = (document[name]["data"]["chargebackReport"] for name in ("now", "before"))
    earlier = {
        each["name"]: each["averageSizeInMb"]
        for each in (*before["workspaces"], *before["formerWorkspaces"])
    }
    return {
        each["name"]: round(each["averageSizeInMb"] - earlier.get(each["name"], 0), 2)
        for each in now["workspaces"]
    }


def _changes_of_one(document: Any) -> Mapping[str, float]:
    return {
        each["name"]: each["change"]["averageSizeInMb"]["absolute"]
        for each in document["data"]["chargebackReport"]["workspaces"]
    }


async def _compare_charges(store: Store, product: InProcess, url: str, rounds: int) -> Timings:
    cache = ChargesCache()
    pool = await asyncpg.create_pool(url, min_size=1, max_size=1)
    by_hand = HandwrittenCharges(pool, store.organization_id)

    async def charge(cached: ChargesCache | None) -> bytes:
        async with product.context() as context:
            chosen = replace(context, charges_cache=cached or ChargesCache())
            report = store.organization_id, window_of_ended(MONTH)
            return await _write(chosen, report)

    try:
        return await compare(
            CHARGES,
            [
                Contender(BY_HAND, by_hand.charge),
                Contender(COLD, partial(charge, None)),
                Contender(CACHED, partial(charge, cache)),
            ],
            rounds,
        )
    finally:
        await pool.close()


async def _write(context: Any, report: Any) -> bytes:
    charges: MonthCharges | None = await charges_of_report(context, report)
    assert charges is not None
    return _to_document(
        {rate.code: amount for rate, amount in charges.by_rate.items()}, charges.by_cost_centre
    )


def _to_document(rates: Mapping[str, int], payers: Mapping[str | None, int]) -> bytes:
    named = {code or "": amount for code, amount in payers.items()}
    return orjson.dumps({"rates": rates, "costCentres": named}, option=orjson.OPT_SORT_KEYS)


class _Line(NamedTuple):
    """A line by hand: what identifies it, and the exact amount in cents."""

    payer: str | None
    workspace: str
    user: str
    exact: Fraction


class HandwrittenCharges:
    """The charges of the month as one would write them for this rate card alone."""

    def __init__(self, pool: asyncpg.Pool, organization_id: UUID) -> None:
        self._pool, self._organization_id = pool, organization_id

    async def charge(self) -> bytes:
        """Return what each rate and each cost centre is charged."""
        workspaces = await self._fetch(_WORKSPACES)
        users = await self._fetch(_USERS)
        members = await self._fetch(_MEMBERS)
        payers = {row["name"]: row["cost_centre"] for row in await self._fetch(_PAYERS)}
        prices = {rate.measure: Fraction(price) * 100 for rate, price in _RATES.items()}
        of_user: dict[UUID, list[str]] = defaultdict(list)
        for row in members:
            of_user[row["user_id"]].append(row["name"])
        whole = 2**30 * MONTH.microseconds
        booked = {
            "storage": _book(
                _Line(payers.get(row["name"]), row["name"], "",
                      Fraction(int(row["byte_microseconds"]), whole) * prices[Measure.STORAGE])
                for row in workspaces
            ),
            "created": _book(
                _Line(payers.get(row["name"]), row["name"], "",
                      row["experiments_created"] * prices[Measure.EXPERIMENTS_CREATED])
                for row in workspaces
            ),
            "seats": _book(
                _Line(payers.get(name), name, row["username"], part * prices[Measure.SEATS])
                for row in users if not row["service_account"]
                for name, part in _shares(of_user[row["user_id"]])
            ),
            "sdk": _book(
                _Line(payers.get(name), name, row["username"],
                      part * row["sdk_usage_count"] * prices[Measure.SDK_USES])
                for row in users if row["sdk_usage_count"]
                for name, part in _shares(of_user[row["user_id"]])
            ),
        }  # fmt: skip
        direct: dict[str | None, int] = defaultdict(int)
        for amounts in booked.values():
            for payer, amount in amounts.items():
                direct[payer] += amount
        shared = {payer: amount for payer, amount in direct.items() if payer is not None}
        fee = prices[Measure.FEE]
        booked["platform"] = _book(
            _Line(payer, "", "", fee * amount / sum(shared.values()))
            for payer, amount in shared.items()
        )
        for payer, amount in booked["platform"].items():
            direct[payer] += amount
        return _to_document({rate: sum(of.values()) for rate, of in booked.items()}, direct)

    async def _fetch(self, statement: str) -> Sequence[Any]:
        rows: Sequence[Any] = await self._pool.fetch(
            statement, self._organization_id, MONTH.first_day
        )
        return rows


_WORKSPACES = """
    SELECT name, byte_microseconds, experiments_created FROM workspace_month
    WHERE organization_id = $1 AND month = $2
      AND (byte_microseconds <> 0 OR experiments_created <> 0)
"""
_USERS = """
    SELECT user_id, username, coalesce(service_account, false) AS service_account, sdk_usage_count
    FROM user_month WHERE organization_id = $1 AND month = $2 AND licensed
"""
_MEMBERS = """
    SELECT member_month.user_id, workspace.name FROM member_month
    JOIN workspace USING (organization_id, workspace_id)
    WHERE organization_id = $1 AND month = $2 AND present
"""
_PAYERS = """
    SELECT workspace.name, assignment.cost_centre FROM assignment
    JOIN workspace ON workspace.organization_id = assignment.organization_id
        AND workspace.workspace_id = assignment.entity_id
    WHERE assignment.organization_id = $1 AND assignment.from_month <= $2
"""


def _shares(workspaces: Sequence[str]) -> Iterable[tuple[str, Fraction]]:
    part = Fraction(1, len(workspaces) or 1)
    return [(name, part) for name in workspaces or [""]]


def _book(lines: Iterable[_Line]) -> dict[str | None, int]:
    """Round the sum, divide it among cost centres and their lines; return the former."""
    by_payer: dict[str | None, list[_Line]] = defaultdict(list)
    for line in lines:
        by_payer[line.payer].append(line)
    payers = sorted(by_payer, key=lambda payer: (payer is None, payer or ""))
    exact = [sum((line.exact for line in by_payer[payer]), Fraction()) for payer in payers]
    total = int(sum(exact, Fraction()) + Fraction(1, 2))
    booked = dict(zip(payers, _divide(total, exact), strict=True))
    for payer, amount in booked.items():
        of_payer = sorted(by_payer[payer], key=lambda line: line[1:3])
        _divide(amount, [line.exact for line in of_payer])
    return booked


def _divide(total: int, exact: Sequence[Fraction]) -> list[int]:
    """Round down, and give what is left to the largest remainders."""
    parts = [int(value) for value in exact]
    by_loss = sorted(range(len(exact)), key=lambda at: parts[at] - exact[at])
    for at in by_loss[: total - sum(parts)]:
        parts[at] += 1
    return parts


async def measure_export_memory(store: Store, scale: int) -> Timings:
    """Measure the time and the peak memory, beyond that of the idle service, of each export."""
    say(f"{EXPORTS.format(scale=scale)} …")
    name = "chargeback_exported"
    await create_scaled_database(store.url, name, scale)
    run_service = partial(
        run_server,
        service_command(store.folder),
        log=store.folder / "exports.log",
        environment={"DATABASE_URL": with_database_name(store.url, name)},
        headers={"Authorization": store.key},
    )
    timings: Timings = {}
    try:
        for title, route in EXPORT_ROUTES.items():
            # A service of its own: a process keeps the memory that it once used.
            async with run_service() as client:
                run = partial(client.get, route)
                timing = timings[title] = Timing()
                timing.peak_bytes = await measure_peak(run, client.pid, client.idle_bytes)
                timing.document_bytes = len(await run())
                timing.seconds.append(await time_run(run))
    finally:
        await drop_database(store.url, name)
    return timings
