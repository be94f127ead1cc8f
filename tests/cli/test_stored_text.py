"""Untrusted names are shown safely in terminals and spreadsheets."""

import io

import pytest
from rich.text import Text

from app.cli.tables import print_table
from app.console import PlainConsole
from app.domain.safe_text import escape_for_spreadsheet, escape_for_terminal


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("nlp [v2]", "nlp [v2]"),
        ("Łódź 日本 e\u0301", "Łódź 日本 e\u0301"),
        ("a\tb\nc", r"a\tb\nc"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("c1 \x9b31m", r"c1 \x9b31m"),
        ("abc\u202etxt.exe", r"abc\u202etxt.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("soft\u00adhyphen", r"soft\xadhyphen"),
        ("filler\u3164", r"filler\u3164"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("line\u2028separator", r"line\u2028separator"),
    ],
)
def test_invisible_characters_are_escaped(name: str, escaped: str) -> None:
    assert escape_for_terminal(name) == escaped


@pytest.mark.parametrize(
    "cell",
    [
        *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\t", " =1", "\u00a0=1"),
        *(
            "\u200b=1",
            "\ufeff+1",
            "\u202e@x",
            "\x00=1",
            "\uff1d1",
            "\uff0b1",
            "\uff0d1",
            "\uff20x",
            "\ufe631",
            " \u200b \uff1d1",
        ),
    ],
)
def test_cells_that_a_spreadsheet_could_run_are_quoted(cell: str) -> None:
    assert escape_for_spreadsheet(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a=b", "1.50", "vision", " a", "(-1)", "'=1", "日本"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert escape_for_spreadsheet(cell) == cell


@pytest.mark.parametrize("name", ["nlp [v2]", "[old]", "[bold]x", "archive [/mnt/nfs]", ":smile:"])
def test_markup_in_stored_text_is_not_interpreted(name: str) -> None:
    console = new_console(80)

    console.print(name)
    print_table([name], [[name]], title=name, console=console)

    assert output(console).count(name) == 4


def test_no_escape_sequence_reaches_the_terminal() -> None:
    console = new_console(80)

    console.print("two\nlines \x1b[2J")
    print_table(["Name"], [["\x1b[2J\nx"]], console=console)

    assert "\x1b" not in output(console)
    assert output(console).startswith("two\nlines \\x1b[2J\n")
    assert r"\x1b[2J\nx" in output(console)


def test_own_styles_are_kept() -> None:
    console = new_console(80, force_terminal=True)

    console.print(Text("total", style="bold"))

    assert output(console) == "\x1b[1mtotal\x1b[0m\n"


def test_a_narrow_terminal_drops_columns_and_wraps_text_but_truncates_nothing() -> None:
    console = new_console(40)

    print_table(
        ("Id", "Name", "Size", "Note"),
        [("08NzwuxWPJ21", "a-name-of-some-length-that-folds", "1,234,567.89", "long " * 5)],
        whole={"Id"},
        right={"Size"},
        drop=("Note",),
        console=console,
    )

    text = output(console)
    assert max(map(len, text.splitlines())) <= 40
    assert "Note" not in text
    assert "08NzwuxWPJ21" in text
    assert "1,234,567.89" in text
    cells = (line.split("│")[2].strip() for line in text.splitlines() if line.startswith("│"))
    assert "".join(cells) == "a-name-of-some-length-that-folds"


def new_console(width: int, *, force_terminal: bool = False) -> PlainConsole:
    return PlainConsole(
        file=io.StringIO(),
        width=width,
        force_terminal=force_terminal,
        color_system="standard" if force_terminal else None,
    )


def output(console: PlainConsole) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
