"""Check the FOCUS export with the official validator, in an environment of its own.

Run by `make focus`, which sets the environment up. The validator's exit code is 0 despite
failures, so its JUnit file is read. Two rules cannot pass: one fails when InvoiceId is filled,
the other when it is empty. A 1.4 file is checked by a third party's linter.
"""

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

from app.db.report_windows import ReportWindow
from app.domain.charges import ChargeLine, MonthCharges, Party
from app.domain.money import Currency
from app.domain.months import Month
from app.domain.rates import Measure, Rate, Split
from app.export.focus import write_focus_parquet
from resolvers.statements import Statement

EXPECTED_FAILURES: Mapping[str, str] = {
    "closed": "InvoiceId-C-004-C",
    "open": "InvoiceId-C-005-C",
}
CRITERIA = (
    "USAGE_MEASUREMENT_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED",
    "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED",
    "TAGGING_SUPPORTED",
    "ACCOUNT_NAMING_SUPPORTED",
    "NEGOTIATED_PRICING_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
    "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
)
MONTH = Month(2026, 10)
STORAGE = Rate("storage", "Storage", Measure.STORAGE)
SEATS = Rate("seat", "Seats", Measure.SEATS)
FEE = Rate("platform", "Platform", Measure.FEE, Split.PROPORTIONAL)


def sample(closed_at: datetime | None) -> Statement:
    """Return storage, a correction of it, an unassigned seat and a fee."""
    vision, ann = Party(UUID(int=1), "vision"), Party(UUID(int=2), "ann")
    price = Decimal("0.2300000000")
    lines = [
        ChargeLine(STORAGE, "4711", vision, None, None, Fraction(8, 3), price, 61),
        ChargeLine(STORAGE, "4711", vision, None, MONTH.plus(-1), Fraction(10, 3), price, 77),
        ChargeLine(SEATS, None, None, ann, None, Fraction(1), Decimal("24.99"), 2499),
        ChargeLine(FEE, "4711", None, None, None, Fraction(1), Decimal(100), 10000),
    ]
    charges = MonthCharges(MONTH, Currency.parse("EUR"), lines, {"4711": "Research"})
    window = ReportWindow(
        month=MONTH.first_day,
        rows_month=MONTH.first_day,
        carried=False,
        elapsed_microseconds=MONTH.microseconds,
        remaining_microseconds=0,
        ui_measured=True,
        sdk_measured=True,
        flows_known=True,
    )
    as_of = datetime(2026, 11, 5, tzinfo=UTC)
    return Statement(
        "default", (UUID(int=3), window), charges, lines, None, "Chargeback", closed_at, as_of
    )


def failed_rules(programs: Path, file: Path) -> list[str]:
    """Run the validator for FOCUS 1.2 on a file and return the names of the failed rules."""
    report = file.with_suffix(".xml")
    [packages] = programs.parent.glob("lib/python3.*/site-packages")
    command = [
        *(programs / "focus-validator", "--data-file", file, "--validate-version", "1.2"),
        *("--focus-dataset", "CostAndUsage", "--block-download"),
        *("--output-type", "unittest", "--output-destination", report),
        *("--applicability-criteria", ",".join(CRITERIA)),
    ]
    # The validator finds its rules in the working folder only.
    subprocess.run(command, cwd=packages, check=True, stdout=subprocess.DEVNULL)
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314  a file of our own
    if not cases:
        raise SystemExit("The validator ran no rule.")
    return [
        str(case.get("name"))
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]


def main(programs: Path, folder: Path) -> None:
    """Check an open and a closed month in 1.2, and a closed one in 1.4."""
    folder.mkdir(parents=True, exist_ok=True)
    closed_at = datetime(2026, 11, 3, tzinfo=UTC)
    unexpected: list[str] = []
    for name, closed in (("open", None), ("closed", closed_at)):
        file = folder / f"{name}.parquet"
        file.write_bytes(write_focus_parquet(sample(closed), "1.2"))
        failures = failed_rules(programs, file)
        failures = [each for each in failures if EXPECTED_FAILURES[name] not in each]
        print(f"FOCUS 1.2, {name} month: {len(failures)} unexpected failures")
        unexpected += failures
    file = folder / "closed-1.4.parquet"
    file.write_bytes(write_focus_parquet(sample(closed_at), "1.4"))
    lint = [programs / "focus-toolkit", "validate", file, "--dataset", "cost-and-usage"]
    is_clean = subprocess.run(lint, check=False).returncode == 0
    if unexpected or not is_clean:
        raise SystemExit("\n".join(unexpected) or "FOCUS 1.4: the linter found faults.")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
