"""The questions of month-end and finance: commands and queries as printed answer alike."""

import csv
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import openpyxl
import pytest
from pyarrow import parquet

from app.server.demo import load_demo
from tests.charges.conftest import OWN
from tests.conftest import NOW, ClonedDatabase
from tests.documents.doc_shell import DocShell
from tests.documents.pages import QUESTION_PAGES, sections

WIDE = "220"
"""Columns of a terminal that shows all columns of a table."""


class Demo(NamedTuple):
    """The demo, loaded on 24 November 2026: September is closed, October has corrections."""

    shell: DocShell

    def query(self, text: str) -> Any:
        replacements = self.shell.replacements
        response = httpx.post(
            f"{replacements['http://127.0.0.1:8000']}/graphql",
            json={"query": text},
            headers={"Authorization": replacements["cbk_…"]},
        )
        answer = response.json()
        assert "errors" not in answer, answer
        return answer["data"]


@pytest.fixture(scope="module")
async def demo(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Demo]:
    clone = ClonedDatabase(postgres, template)
    async with clone as database:
        await load_demo(database, OWN, NOW)
        settings = {"DATABASE_URL": clone.url, "COLUMNS": WIDE}
        with DocShell(tmp_path_factory.mktemp("demo"), {}, settings=settings) as shell:
            shell.run("chargeback serve")
            shell.run("chargeback keys create --user ada --scope admin")
            yield Demo(shell)


class Answers(NamedTuple):
    """What the commands of a question printed, and what its query returned."""

    printed: Sequence[str]
    data: Any
    folder: Path

    def table(self, index: int = 0) -> list[dict[str, str]]:
        """Return the rows of a printed table, by heading."""
        lines = [
            [cell.strip() for cell in re.split("[│┃]", line)[1:-1]]
            for line in self.printed[index].splitlines()
            if line[:1] in {"│", "┃"}
        ]
        return [dict(zip(lines[0], cells, strict=True)) for cells in lines[1:]]

    def rows(self, index: int = 0) -> list[dict[str, str]]:
        """Return the rows of entities: those before the first total."""
        table = self.table(index)
        totals = [at for at, row in enumerate(table) if "Total" in row.values()]
        return table[: totals[0]]

    def total(self, index: int = 0) -> dict[str, str]:
        """Return the row `Total`."""
        return next(row for row in self.table(index) if "Total" in row.values())


def number(text: Any) -> Decimal:
    return Decimal(str(text).replace(",", "").removesuffix(" %"))


def numbers(rows: Sequence[Mapping[str, str]], heading: str) -> list[Decimal]:
    return [number(row[heading]) for row in rows]


def is_descending(values: Sequence[Decimal]) -> bool:
    return len(values) > 1 and list(values) == sorted(values, reverse=True)


def who_pays_most(answers: Answers) -> None:
    charges = answers.data["chargebackReport"]["charges"]
    assert {(row["Cost centre"] or None, number(row["Amount"])) for row in answers.rows()} == {
        (each["code"], number(each["amount"])) for each in charges["costCentres"]
    }
    assert is_descending(numbers(answers.rows(), "Amount"))
    assert number(answers.total()["Amount"]) == number(charges["total"]) > 4000


def who_uses_most(answers: Answers) -> None:
    found = answers.data["chargebackReport"]["workspaces"]
    assert [
        (row["Workspace"], number(row["Average in MB"]), number(row["Amount"]))
        for row in answers.rows()
    ] == [
        (each["name"], number(each["averageSizeInMb"]), number(each["amount"])) for each in found
    ]
    totals = {number(answers.total(index)["Average in MB"]) for index in range(3)}
    assert len(totals) == 1
    assert is_descending(numbers(answers.rows(1), "Average in MB"))
    assert is_descending(numbers(answers.rows(2), "Created"))
    assert [len(answers.rows(index)) for index in range(3)] == [10, 10, 10]


def who_uses_what(answers: Answers) -> None:
    workspace = answers.data["chargebackReport"]["workspace"]
    parts = [*workspace["members"], *workspace["formerMembers"]]
    assert {
        (row["User"].removesuffix(" (former)"), number(row["Amount"])) for row in answers.rows()
    } == {(each["userName"], number(each["amount"])) for each in parts}
    assert number(answers.total()["Amount"]) == number(workspace["amount"]) > 0
    assert sum(numbers(answers.rows(), "Amount")) == number(workspace["amount"])


def who_grew_most(answers: Answers) -> None:
    found = answers.data["chargebackReport"]["workspaces"]
    assert [(row["Workspace"], number(row["Change in MB"])) for row in answers.rows()] == [
        (each["name"], number(each["change"]["averageSizeInMb"]["absolute"])) for each in found
    ]
    for index, heading in enumerate(("Change in MB", "Change in MB", "Change in MB", "Change")):
        assert is_descending(numbers(answers.rows(index), heading))


def two_months(answers: Answers) -> None:
    report = answers.data["chargebackReport"]
    rows = {row["Workspace"]: row for row in answers.rows()}
    for each in report["workspaces"]:
        row, change = rows[each["name"]], each["change"]["averageSizeInMb"]
        assert number(row["Average in MB"]) == number(each["averageSizeInMb"])
        assert number(row["Change in MB"]) == number(change["absolute"])
        if change["percent"] is not None:
            assert number(row["Change in %"]) == number(change["percent"])
    total = answers.total()
    # Each average is rounded once, to a hundredth of a MB.
    whole, parts = number(total["Change in MB"]), numbers(answers.rows(), "Change in MB")
    of_report = number(report["change"]["averageSizeInMb"]["absolute"])
    assert abs(whole - sum(parts)) < Decimal("0.2")
    assert abs(whole - of_report) < Decimal("0.2")


def cost_centres_before(answers: Answers) -> None:
    report, total = answers.data["chargebackReport"], answers.total()
    assert number(total["Amount"]) == number(report["amount"])
    assert number(total["Amount before"]) == number(report["previous"]["amount"]) > 0
    assert number(total["Change"]) == number(report["change"]["amount"]["absolute"])
    assert sum(numbers(answers.rows(), "Change")) == number(total["Change"])


def who_is_idle(answers: Answers) -> None:
    report = answers.data["chargebackReport"]
    found = [each["username"] for each in report["users"]["licensedUsers"]]
    assert [row["User"] for row in answers.rows()] == found
    assert found
    assert all(each["lastUsedAt"] < "2026-08-03" for each in report["users"]["licensedUsers"])
    assert report["activityWarnings"] == []


def dead_weight(answers: Answers) -> None:
    found = {
        (workspace["name"], each["name"]): each
        for workspace in answers.data["chargebackReport"]["workspaces"]
        for each in workspace["projects"]
    }
    rows = {(row["Workspace"], row["Project"]): row for row in answers.rows()}
    assert rows.keys() == found.keys() != set()
    assert all(number(row["Amount"]) == number(found[key]["amount"]) for key, row in rows.items())
    assert all(each["lastActivityAt"] < "2026-08-03" for each in found.values())


def year_to_date(answers: Answers) -> None:
    range_ = answers.data["chargebackRange"]
    names = {row["Workspace"].removesuffix(" (deleted)"): row for row in answers.rows()}
    for each in range_["workspaces"]:
        row = names.pop(each["name"])
        assert number(row["Amount"]) == number(each["amount"])
        assert number(row["Average in MB"]) == number(each["averageSizeInMb"])
        assert row["Workspace"].endswith(" (deleted)") != each["exists"]
    assert names == {}
    total, totals = answers.total(), range_["totals"]
    assert number(total["Average in MB"]) == number(totals["averageSizeInMb"])
    assert number(total["Created"]) == totals["experimentsCreated"]
    assert number(answers.total(1)["Licensed months"]) == totals["licensedMonths"]
    assert number(answers.total(2)["Amount"]) == number(totals["amount"])
    book = openpyxl.load_workbook(answers.folder / "2026.xlsx")
    assert book.sheetnames[1:] == ["Workspaces", "Projects", "Users", "Cost centres"]
    of_sheets = {sheet: sum_of(book[sheet], "Amount") for sheet in book.sheetnames[1:]}
    assert of_sheets["Workspaces"] == of_sheets["Projects"] == number(total["Amount"])
    assert of_sheets["Cost centres"] == number(totals["amount"])


def sum_of(sheet: Any, heading: str) -> Decimal:
    headings, *lines = sheet.iter_rows(values_only=True)
    at = headings.index(heading)
    skipped = {"total", "status"}
    return sum((number(line[at]) for line in lines if line[0] not in skipped), Decimal(0))


def each_department(answers: Answers) -> None:
    assert answers.printed[0] == "wrote 7 files into by-cost-centre\n"
    files = sorted((answers.folder / "by-cost-centre").iterdir())
    assert [file.name for file in files] == [
        *(f"2026-10-{code}.xlsx" for code in range(4100, 4700, 100)), "2026-10-Unassigned.xlsx",
    ]  # fmt: skip
    amounts = [sum_of(openpyxl.load_workbook(file)["Charges"], "Amount") for file in files]
    assert sum(amounts) > 4000
    assert answers.printed[1] == "wrote 13 files into by-workspace\n"
    assert len(list((answers.folder / "by-workspace").iterdir())) == 13


def excel(answers: Answers) -> None:
    book = openpyxl.load_workbook(answers.folder / "2026-10.xlsx")
    sheets = ["Summary", "Workspaces", "Projects", "Members", "Users", "Corrections"]
    assert book.sheetnames == sheets
    amounts = {sum_of(book[sheet], "Average in MB") for sheet in ("Workspaces", "Projects")}
    assert len(amounts) <= 2


def another_system(answers: Answers) -> None:
    lines = list(csv.DictReader(answers.printed[0].splitlines()))
    table = parquet.read_table(answers.folder / "2026-10-projects.parquet").to_pylist()
    assert [line["Project"] for line in lines[:-1]] == [row["project"] or "" for row in table]
    assert [number(line["Amount"]) for line in lines[:-1]] == [row["amount"] for row in table]
    assert lines[-1]["Workspace"].startswith("OPEN, as of ")


def what_came_late(answers: Answers) -> None:
    report = answers.data["chargebackReport"]
    places = {
        (each["workspace"], each["project"], each["userName"]) for each in report["corrections"]
    }
    assert (
        {
            (row["Workspace"] or None, row["Project"] or None, row["User"] or None)
            for row in answers.table()
        }
        == places
        != set()
    )
    assert {each["originMonth"] for each in report["corrections"]} == {"2026-09"}
    assert number(report["charges"]["corrections"]) > 0


def are_they_right(answers: Answers) -> None:
    assert "2026-10" in answers.printed[0]
    assert "differ" not in answers.printed[0].replace("no differences", "")


def is_it_final(answers: Answers) -> None:
    months = {each["month"]: each for each in answers.data["months"]}
    assert (months["2026-09"]["status"], months["2026-10"]["status"]) == ("CLOSED", "OPEN")
    assert answers.printed[1] == f"CLOSED, sha256 {months['2026-09']['rowsHash']}\n"
    assert "2026-09" in answers.printed[0]


def ledger(answers: Answers) -> None:
    text = (answers.folder / "2026-09-ledger.csv").read_text()
    *lines, total, status = csv.DictReader(text.splitlines())
    assert sum(numbers(lines, "Amount")) == number(total["Amount"]) > 4000
    assert status["Cost centre"].startswith("CLOSED, sha256 ")


def pays(answers: Answers) -> None:
    assert sum(numbers(answers.rows(), "Amount")) == number(answers.total()["Amount"]) > 4000


def why(answers: Answers) -> None:
    text = answers.printed[0]
    assert text.startswith("Storage of vision, paid by 4100 Perception\nquantity ")
    assert all(word in text for word in ("times 0.23 EUR", "COST_CENTRE", "Latest events"))


def since_last_month(answers: Answers) -> None:
    assert sum(numbers(answers.rows(), "Change")) == number(answers.total()["Change"])


CHECKS: Mapping[str, Mapping[str, Callable[[Answers], None]]] = {
    "docs/month-end.md": {
        "Who pays most?": who_pays_most,
        "Who uses most?": who_uses_most,
        "Who uses what in one workspace?": who_uses_what,
        "Who grew most?": who_grew_most,
        "What do two months look like side by side?": two_months,
        "What do the cost centres look like against the month before?": cost_centres_before,
        "Who has been idle for 90 days?": who_is_idle,
        "Which projects are dead weight?": dead_weight,
        "How much is it in the year to date?": year_to_date,
        "How do I send each department its part?": each_department,
        "How do I get it into Excel?": excel,
        "How do I get it into another system?": another_system,
        "What came late?": what_came_late,
        "Are the figures right?": are_they_right,
        "Is it final, and with which hash?": is_it_final,
    },
    "docs/charges.md": {
        "Which file goes to the ledger?": ledger,
        "What does each cost centre pay?": pays,
        "Why is this line 13.33?": why,
        "What changed since last month?": since_last_month,
    },
}


@pytest.mark.parametrize("page", sorted(QUESTION_PAGES))
def test_every_question_with_a_command_has_a_check(page: str) -> None:
    asked = {
        heading
        for heading, blocks in sections(page).items()
        if any(block.language == "bash" for block in blocks)
    }

    assert asked == set(CHECKS[page])


@pytest.mark.timeout(900)  # Each command starts a program, which is slow on a busy machine.
@pytest.mark.parametrize(
    ("page", "heading"), [(page, heading) for page, of in CHECKS.items() for heading in of]
)
def test_a_question_is_answered_as_printed(page: str, heading: str, demo: Demo) -> None:
    printed: list[str] = []
    data: Any = None
    for block in sections(page)[heading]:
        if block.language == "bash":
            lines = block.text.replace("LINE_ID", find_line(demo)).splitlines()
            printed += [demo.shell.run(line) for line in lines]
        elif block.language == "graphql":
            data = demo.query(block.text)

    CHECKS[page][heading](Answers(printed, data, demo.shell.folder))


def find_line(demo: Demo) -> str:
    """Return the id of a line: October's storage of the workspace vision."""
    charges = demo.query(
        '{ chargebackReport(month: "2026-10") { charges { lines { id: lineId rate workspace '
        "originMonth } } } }"
    )["chargebackReport"]["charges"]
    [line] = (
        each["id"]
        for each in charges["lines"]
        if (each["rate"], each["workspace"], each["originMonth"]) == ("storage", "vision", None)
    )
    return str(line)
