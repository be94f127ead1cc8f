"""Compare two versions of a month's rows, and describe the differences."""

from collections.abc import Iterator
from typing import Any

from app.ingest.replay import LEVELS, FigureTotals, MonthRows, Name, UserRow


def describe_differences(
    expected: MonthRows, found: MonthRows, *, figures_only: bool
) -> Iterator[str]:
    """Yield one sentence per difference between two versions of a month.

    With `figures_only`, properties of users such as their emails are not compared.
    """
    for level in LEVELS[:3]:
        for name in sorted(expected.present[level] ^ found.present[level]):
            problem = "is missing" if name in expected.present[level] else "should not exist"
            yield f"{level[:-1]} {_format_name(name)} {problem}"
    for level in LEVELS:
        yield from _compare_values(
            level,
            expected.figures[level],
            found.figures[level],
            FigureTotals(),
            FigureTotals._fields,
        )
    if not figures_only:
        yield from _compare_last_experiments(expected, found)
    fields = _USER_FIGURES if figures_only else UserRow._fields
    yield from _compare_values("users", expected.users, found.users, UserRow(), fields)


def _compare_last_experiments(expected: MonthRows, found: MonthRows) -> Iterator[str]:
    """Compare the last activity of what a report can show: what exists or has figures."""
    for level in LEVELS:
        shown = {*expected.present.get(level, ()), *expected.figures[level]}
        shown |= {*expected.users} if level == "users" else set()
        for name in sorted(shown):
            right, stored = (each.last_experiments[level].get(name) for each in (expected, found))
            if stored != right:
                yield (
                    f"{level[:-1]} {_format_name(name)}: last_experiment_at is {stored}, "
                    f"and should be {right}"
                )


_USER_FIGURES = ("licensed", "ui_usage_count", "sdk_usage_count")


def _compare_values(
    level: str,
    expected: dict[Name, Any],
    found: dict[Name, Any],
    default: object,
    fields: tuple[str, ...],
) -> Iterator[str]:
    for name in sorted({*expected, *found}):
        expected_row, found_row = expected.get(name, default), found.get(name, default)
        for field in fields:
            expected_value, found_value = getattr(expected_row, field), getattr(found_row, field)
            if found_value != expected_value:
                yield (
                    f"{level[:-1]} {_format_name(name)}: {field} is {found_value}, "
                    f"and should be {expected_value}"
                )


def _format_name(name: Name) -> str:
    return " / ".join(map(repr, name))
