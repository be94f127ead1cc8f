"""The charges of a month in FOCUS, the FinOps Open Cost and Usage Specification, 1.2 and 1.4.

For internal chargeback the provider, publisher and invoice issuer are one name. A line keeps
`quantity x price` unrounded in ContractedCost; BilledCost is the booked amount.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, NamedTuple

from app.domain.charges import ChargeLine, Party
from app.domain.months import Month
from app.domain.rates import Measure
from app.domain.safe_text import escape_for_spreadsheet
from app.export.extras import import_pyarrow
from app.export.rows import Fields
from resolvers.charge_lists import UNASSIGNED, round_decimal, trim
from resolvers.statements import Statement

_PRODUCT_DIGITS = 60
"""Enough for any quantity times any price, exactly."""
_COSTS = frozenset({"BilledCost", "EffectiveCost", "ListCost", "ContractedCost"})
_NUMBERS = _COSTS | {
    "PricingQuantity",
    "ConsumedQuantity",
    "ContractedUnitPrice",
    "ListUnitPrice",
}
_UNITS = {
    Measure.STORAGE: "GiB-Months",
    Measure.EXPERIMENTS_CREATED: "Experiments",
    Measure.SEATS: "User-Months",
    Measure.SERVICE_ACCOUNTS: "User-Months",
    Measure.UI_USES: "Uses",
    Measure.SDK_USES: "Uses",
    Measure.FEE: "Months",
}
_RECURRING = frozenset({Measure.SEATS, Measure.SERVICE_ACCOUNTS, Measure.FEE})
_CONTRACT_1_2 = ("ProviderName", "PublisherName", "InvoiceIssuerName")
_CONTRACT_1_4 = ("ServiceProviderName", "HostProviderName", "InvoiceIssuerName")
_COLUMNS = (
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "BilledCost",
    "EffectiveCost",
    "ListCost",
    "ContractedCost",
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "CommitmentDiscountStatus",
    "ServiceCategory",
    "ServiceSubcategory",
    "ServiceName",
    "InvoiceId",
    "SubAccountId",
    "SubAccountName",
    "SubAccountType",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "SkuId",
    "SkuPriceId",
    "SkuMeter",
    "SkuPriceDetails",
    "Tags",
    "x_CostCentre",
)


def focus_columns(version: str) -> Sequence[str]:
    """Return the columns of a version: `1.2` or `1.4`."""
    return (*_COLUMNS, *(_CONTRACT_1_2 if version == "1.2" else _CONTRACT_1_4))


class _Row(NamedTuple):
    """A line, or the share of a project in it."""

    line: ChargeLine
    project: Party | None
    quantity: Fraction
    booked: int


def _divide(statement: Statement) -> Iterator[_Row]:
    """Yield a row for each project of a line, or one row for a line that has no projects."""
    for line in statement.lines:
        shares = statement.shares.get(line)
        if not shares:
            yield _Row(line, None, line.quantity, line.booked)
        for share in shares or ():
            yield _Row(line, share.part, share.quantity, share.booked)


def focus_rows(statement: Statement) -> Iterator[Fields]:
    """Yield the rows: all columns of all versions."""
    for row in _divide(statement):
        yield {
            **_billing(statement, row.line),
            **_costs(statement, row),
            **_subject(row.line),
            **_resource(row),
            "ChargeCategory": "Usage",
            "ServiceCategory": "AI and Machine Learning",
            "ServiceSubcategory": "Machine Learning",
            "ServiceName": "Experiment tracking",
            "ProviderName": statement.provider,
            "PublisherName": statement.provider,
            "InvoiceIssuerName": statement.provider,
            "ServiceProviderName": statement.provider,
        }


def _billing(statement: Statement, line: ChargeLine) -> Fields:
    used_in = line.origin or statement.month
    payer = line.cost_centre or UNASSIGNED
    return {
        "BillingAccountId": str(statement.organization_id),
        "BillingAccountName": statement.organization,
        "BillingCurrency": statement.currency.code,
        "BillingPeriodStart": _format_start(statement.month),
        "BillingPeriodEnd": _format_start(statement.month.plus(1)),
        "ChargePeriodStart": _format_start(used_in),
        "ChargePeriodEnd": _format_start(used_in.plus(1)),
        "ChargeClass": None if line.origin is None else "Correction",
        "InvoiceId": None if statement.closed_at is None else str(statement.month),
        "Tags": json.dumps({"cost_centre": payer}),
        "x_CostCentre": payer,
    }


def _format_start(month: Month) -> str:
    return f"{month}-01T00:00:00Z"


def _costs(statement: Statement, row: _Row) -> Fields:
    line = row.line
    quantity, price = round_decimal(row.quantity), trim(line.price)
    booked = statement.currency.from_minor(row.booked)
    with localcontext(prec=_PRODUCT_DIGITS):
        product = quantity * price
    unit = _UNITS[line.rate.measure]
    return {
        "BilledCost": booked,
        "EffectiveCost": booked,
        "ListCost": product,
        "ContractedCost": product,
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ChargeFrequency": "Recurring" if line.rate.measure in _RECURRING else "Usage-Based",
    }


def _subject(line: ChargeLine) -> Fields:
    rate, workspace, user = line.rate, line.workspace, line.user
    of = workspace.name if workspace and not user else user.name if user else None
    return {
        "ChargeDescription": rate.name if of is None else f"{rate.name} of {of}",
        "SubAccountId": workspace and str(workspace.id),
        "SubAccountName": workspace and workspace.name,
        "SubAccountType": workspace and "Workspace",
        "SkuId": rate.code,
        "SkuPriceId": f"{rate.code}@{trim(line.price):f}",
        "SkuMeter": rate.name,
        "SkuPriceDetails": json.dumps({"x_Measure": rate.measure.value}),
    }


def _resource(row: _Row) -> Fields:
    """Return what a row is for, below its workspace: a project or a fee."""
    rate = row.line.rate
    if row.project is not None:
        found = (str(row.project.id), row.project.name, "Project")
    elif rate.measure is Measure.FEE:
        found = (rate.code, rate.name, "Fee")
    else:
        return {}
    return dict(zip(("ResourceId", "ResourceName", "ResourceType"), found, strict=True))


def write_focus_csv(statement: Statement, version: str) -> bytes:
    """Return CSV in UTF-8. Every number has a decimal point, which readers infer types from."""
    columns = focus_columns(version)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in focus_rows(statement):
        writer.writerow(_format_cell(row.get(column)) for column in columns)
    return text.getvalue().encode()


def _format_cell(value: Any) -> str:
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text if "." in text else f"{text}.0"
    return "" if value is None else escape_for_spreadsheet(value)


def write_focus_parquet(statement: Statement, version: str) -> bytes:
    """Return Parquet with exact decimals.

    Raises:
        InvalidArgument: The extra `parquet` is not installed.
    """
    pyarrow, parquet = import_pyarrow()
    # A product has 12 + 10 decimals.
    types = {True: pyarrow.decimal128(38, 22), False: pyarrow.string()}
    columns = focus_columns(version)
    schema = pyarrow.schema([(column, types[column in _NUMBERS]) for column in columns])
    rows = [{column: row.get(column) for column in columns} for row in focus_rows(statement)]
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), file)
    return file.getvalue()
