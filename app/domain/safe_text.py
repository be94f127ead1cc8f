"""Escape untrusted text before it is shown in a terminal or opened in a spreadsheet."""

import re
import unicodedata
from functools import lru_cache

_FORMULA_STARTS = frozenset("=+-@")
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_INVISIBLE_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks without a visible form, which can make two names look the same."""
_UNUSUAL = re.compile(r"[^ -~]")


def escape_for_terminal(text: str, *, keep: str = "") -> str:
    r"""Show control, escape, bidirectional and invisible characters as escape sequences.

    Characters in `keep`, such as the line breaks of our own messages, stay as they are.

    >>> print(escape_for_terminal("nlp \x1b[31m\u202e"))
    nlp \x1b[31m\u202e
    """
    if text.isascii() and text.isprintable():
        return text
    return _UNUSUAL.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


@lru_cache(4_096)
def _escape(character: str) -> str:
    if _is_invisible(character):
        return character.encode("unicode_escape").decode()
    return character


def _is_invisible(character: str) -> bool:
    return (
        unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _INVISIBLE_LETTERS
    )


def escape_for_spreadsheet(cell: str) -> str:
    """Quote a CSV cell that a spreadsheet could run as a formula.

    Spreadsheets skip blanks and invisible characters before a formula, and take full-width signs
    for the plain ones.

    >>> escape_for_spreadsheet(" =1+1"), escape_for_spreadsheet("a=b")
    ("' =1+1", 'a=b')
    """
    if cell[:1].isalnum():
        return cell
    if cell[:1] in {"\t", "\r", "\n"}:
        return f"'{cell}"
    first = next((each for each in cell if not (each.isspace() or _is_invisible(each))), "")
    folded = unicodedata.normalize("NFKC", first)
    return f"'{cell}" if folded[:1] in _FORMULA_STARTS and folded else cell
