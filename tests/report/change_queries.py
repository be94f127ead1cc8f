"""The query that compares reports, and an independent calculation of its answer."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from math import floor
from typing import Any

ReportPart = dict[str, Any]

SIZES = ("totalSizeInMb", "averageSizeInMb")
FIGURES = (
    *("numberOfExperiments", "unmeasuredExperiments", "experimentsCreated", "totalSizeBytes"),
    *SIZES,
)
OF_WORKSPACES = (*FIGURES, "numberOfMembers", "numberOfProjects")
OF_USERS = (*FIGURES, "uiUsageCount", "sdkUsageCount")
OF_REPORTS = (*FIGURES, "numberOfWorkspaces")


def _changes(figures: Iterable[str]) -> str:
    return " ".join(f"{name} {{ absolute percent }}" for name in figures)


def _compared(key: str, figures: Iterable[str]) -> str:
    names = " ".join(figures)
    return f"""{{
        {key} {names}
        previous(months: $months) {{ {key} {names} }}
        change(months: $months) {{ presence {_changes(figures)} }}
    }}"""


_WORKSPACE = _compared("name", OF_WORKSPACES)
_PROJECT = _compared("name", FIGURES)
_MEMBER = _compared("userName", FIGURES)
_USER = _compared("username", OF_USERS)
QUERY = f"""
query ($from: Month!, $to: Month!, $months: Int!, $organization: String) {{
    chargebackReports(from: $from, to: $to, organization: $organization) {{
        {" ".join(OF_REPORTS)}
        previous(months: $months) {{ reportDate {" ".join(OF_REPORTS)} }}
        change(months: $months) {{ {_changes(OF_REPORTS)} }}
        workspaces {{ ...workspace }}
        formerWorkspaces {{ ...workspace }}
        goneWorkspaces(months: $months) {_WORKSPACE}
        users {{
            licensedUsers {_USER}
            goneUsers(months: $months) {_USER}
        }}
    }}
}}
fragment workspace on Workspace {{
    name
    own: change(months: $months) {{ presence {_changes(OF_WORKSPACES)} }}
    previous(months: $months) {{ name {" ".join(OF_WORKSPACES)} }}
    members {_MEMBER}
    formerMembers {_MEMBER}
    projects {_PROJECT}
    formerProjects {_PROJECT}
    goneProjects(months: $months) {_PROJECT}
}}
"""


def select(part: ReportPart, names: Iterable[str]) -> ReportPart:
    """Return these figures of a part of a report."""
    return {name: part[name] for name in names}


def change(now: ReportPart | None, before: ReportPart | None, names: Sequence[str]) -> ReportPart:
    """Return the changes of figures; what does not exist has 0 of each."""
    return {
        name: _change(name, now[name] if now else 0, before[name] if before else 0)
        for name in names
    }


def _change(name: str, now: Any, before: Any) -> ReportPart:
    if now is None or before is None:
        return {"absolute": None, "percent": None}
    scale = 100 if name in SIZES else 1
    exact = Fraction(round(now * scale) - round(before * scale), scale)
    absolute = float(exact) if name in SIZES else int(exact)
    if not before:
        return {"absolute": absolute, "percent": None}
    percent = abs(exact) * 100 / Fraction(round(before * scale), scale)
    rounded = floor(percent * 100 + Fraction(1, 2)) / 100
    return {"absolute": absolute, "percent": rounded if exact >= 0 else -rounded}
