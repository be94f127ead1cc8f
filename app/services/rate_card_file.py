"""A file of the whole rate card (TOML), applied repeatedly: it changes only what differs."""

import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from app.db.engine import Database
from app.db.rate_card import read_rate_card
from app.domain.audit import Actor
from app.domain.decimals import parse_decimal
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.domain.rates import AssignedKind, CostCentre, Measure, Rate, RateCard, Split
from app.domain.text import normalize_document
from app.services.rate_card import AssignmentEntry, RateCardChange, change_rate_card, entity_id

E = TypeVar("E", bound=StrEnum)


class PriceEntry(NamedTuple):
    """The price of a rate from a month on; None ends it."""

    rate: str
    from_month: Month
    amount: Decimal | None


class RateCardFile(NamedTuple):
    """What a file states. What it does not name stays as it is."""

    currency: str | None
    cost_centres: list[CostCentre]
    rates: list[Rate]
    prices: list[PriceEntry]
    assignments: list[AssignmentEntry]


class Difference(NamedTuple):
    """What applying a file changes: the entry, its value before and after."""

    entry: str
    before: str
    after: str


def parse_rate_card(text: str) -> RateCardFile:
    """Parse a rate card in TOML; docs/charges.md describes its form.

    Raises:
        InvalidArgument: It is not TOML, has an unknown key, or a value of a wrong form.
        InvalidMonth: A month is not written `YYYY-MM`.
    """
    try:
        document = normalize_document(tomllib.loads(text, parse_float=Decimal))
    except tomllib.TOMLDecodeError as error:
        raise InvalidArgument(f"rate card: not TOML: {error}.") from None
    known = {"currency", "cost_centres", "rates", "workspaces", "users"}
    _require_keys("rate card", document, known)
    currency = document.get("currency")
    if currency is not None and not isinstance(currency, str):
        raise InvalidArgument('currency: must be text, such as "EUR".')
    rates = _tables(document, "rates")
    return RateCardFile(
        currency,
        [
            CostCentre(code, _text(f"cost_centres.{code}", name))
            for code, name in _table("cost_centres", document.get("cost_centres", {})).items()
        ],
        [_parse_rate(code, fields) for code, fields in rates],
        [price for code, fields in rates for price in _parse_prices(code, fields)],
        [
            *_parse_assignments(document, "workspaces", AssignedKind.WORKSPACE),
            *_parse_assignments(document, "users", AssignedKind.USER),
        ],
    )


async def apply_rate_card(
    database: Database,
    organization_id: UUID,
    file: RateCardFile,
    *,
    by: Actor,
    now: datetime,
    dry_run: bool = False,
) -> list[Difference]:
    """Apply a file, all or nothing, and return what it changes; a dry run stores nothing.

    Entries that are already in force are skipped, also in closed months.

    Raises:
        ChargebackError: As for the methods of `RateCardChange`.
    """
    differences: list[Difference] = []
    async with change_rate_card(database, organization_id, by, now, dry_run=dry_run) as change:
        card = await read_rate_card(change.read)
        differences += await _apply_currency(change, card, file)
        differences += await _apply_cost_centres(change, card, file)
        differences += await _apply_rates(change, card, file)
        differences += await _apply_prices(change, card, file)
        differences += await _apply_assignments(change, card, file)
    return differences


async def _apply_currency(
    change: RateCardChange, card: RateCard, file: RateCardFile
) -> list[Difference]:
    before = card.currency.code if card.currency else ""
    if file.currency is None or file.currency == before:
        return []
    await change.set_currency(file.currency)
    return [Difference("currency", before, file.currency)]


async def _apply_cost_centres(
    change: RateCardChange, card: RateCard, file: RateCardFile
) -> list[Difference]:
    differences = []
    for centre in file.cost_centres:
        before = card.cost_centres.get(centre.code)
        if centre != before:
            await change.set_cost_centre(centre)
            old = before.name if before else ""
            differences.append(Difference(f"cost centre {centre.code}", old, centre.name))
    return differences


async def _apply_rates(
    change: RateCardChange, card: RateCard, file: RateCardFile
) -> list[Difference]:
    differences = []
    stored = {rate.code: rate for rate in card.rates}
    for rate in file.rates:
        before = stored.get(rate.code)
        if rate != before:
            await change.set_rate(rate)
            old = _format_rate(before) if before else ""
            differences.append(Difference(f"rate {rate.code}", old, _format_rate(rate)))
    return differences


def _format_rate(rate: Rate) -> str:
    payer = rate.split or rate.cost_centre
    return f"{rate.name}, {rate.measure}" + (f", {payer}" if payer else "")


async def _apply_prices(
    change: RateCardChange, card: RateCard, file: RateCardFile
) -> list[Difference]:
    differences = []
    for price in file.prices:
        history = card.prices.get(price.rate, {})
        is_stored = price.from_month in history
        before = history.get(price.from_month)
        if not is_stored or before != price.amount:
            await change.set_price(price.rate, price.from_month, price.amount)
            entry = f"price of {price.rate} from {price.from_month}"
            old = _format_price(before) if is_stored else ""
            differences.append(Difference(entry, old, _format_price(price.amount)))
    return differences


def _format_price(amount: Decimal | None) -> str:
    return "none" if amount is None else f"{amount:f}"


async def _apply_assignments(
    change: RateCardChange, card: RateCard, file: RateCardFile
) -> list[Difference]:
    differences, entries = [], []
    for entry in file.assignments:
        of_kind = card.workspaces if entry.kind is AssignedKind.WORKSPACE else card.users
        history = of_kind.get(entity_id(entry), {})
        is_stored = entry.from_month in history
        before = history.get(entry.from_month)
        if not is_stored or before != entry.cost_centre:
            entries.append(entry)
            what = f"{entry.kind.lower()} {entry.name} from {entry.from_month}"
            old = (before or "none") if is_stored else ""
            differences.append(Difference(what, old, entry.cost_centre or "none"))
    if entries:
        await change.assign(entries)
    return differences


def _parse_rate(code: str, fields: Mapping[str, Any]) -> Rate:
    where = f"rates.{code}"
    _require_keys(where, fields, {"name", "measure", "split", "cost_centre", "prices"})
    split, cost_centre = fields.get("split"), fields.get("cost_centre")
    return Rate(
        code,
        _text(f"{where}.name", fields.get("name", code)),
        _member(f"{where}.measure", Measure, fields.get("measure")),
        None if split is None else _member(f"{where}.split", Split, split),
        None if cost_centre is None else _text(f"{where}.cost_centre", cost_centre),
    )


def _parse_prices(code: str, fields: Mapping[str, Any]) -> Iterator[PriceEntry]:
    where = f"rates.{code}.prices"
    for month, amount in _table(where, fields.get("prices", {})).items():
        yield PriceEntry(code, Month.parse(month), parse_price(f"{where}.{month}", str(amount)))


def parse_price(where: str, text: str) -> Decimal | None:
    """Parse a price; `none` ends it.

    Raises:
        InvalidArgument: The text is neither a number nor `none`.
    """
    if text == "none":
        return None
    number = parse_decimal(text)
    if number is None:
        raise InvalidArgument(
            f"{where}: must be a number or none, which ends the price; got {text[:40]!r}."
        )
    return number


def _parse_assignments(
    document: Mapping[str, Any], section: str, kind: AssignedKind
) -> Iterator[AssignmentEntry]:
    for name, history in _tables(document, section):
        for month, code in history.items():
            cost_centre = _text(f"{section}.{name}.{month}", code)
            yield AssignmentEntry(kind, name, to_cost_centre(cost_centre), Month.parse(month))


def to_cost_centre(code: str) -> str | None:
    """Return the code of a cost centre; `none` ends an assignment."""
    return None if code == "none" else code


def _tables(document: Mapping[str, Any], section: str) -> list[tuple[str, Mapping[str, Any]]]:
    entries = _table(section, document.get(section, {}))
    return [(key, _table(f"{section}.{key}", value)) for key, value in entries.items()]


def _table(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{where}: must be a table; got {repr(value)[:40]}.")
    return value


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(
            f'{where}: must be text in quotes, such as "4711"; got {repr(value)[:40]}.'
        )
    return value


def _member(where: str, members: type[E], value: Any) -> E:
    try:
        return members(value)
    except ValueError:
        allowed = ", ".join(members)
        raise InvalidArgument(
            f"{where}: must be one of {allowed}; got {str(value)[:40]!r}."
        ) from None


def _require_keys(where: str, table: Mapping[str, Any], known: set[str]) -> None:
    for key in table:
        if key not in known:
            raise InvalidArgument(
                f"{where}: unknown key {key[:40]!r}; allowed are {', '.join(sorted(known))}."
            )
