"""The queries of the report tests, with every field of a report, and how to compare reports."""

from collections.abc import Iterator
from typing import Any

FIGURES = """
    numberOfExperiments unmeasuredExperiments experimentsCreated
    totalSizeInMb totalSizeBytes averageSizeInMb
"""

FULL_REPORT = f"""
fragment full on ChargebackReport {{
    reportDate status closedAt changedAt: createdAt organization {{ id organization: name }}
    numberOfWorkspaces {FIGURES}
    users {{ numberOfUsers changedAt: createdAt licensedUsers {{ ...user }} }}
    workspaces {{ ...workspace }}
    formerWorkspaces {{ ...workspace }}
    corrections {{ originMonth figure amount workspace project userName }}
}}
fragment workspace on Workspace {{
    id name numberOfMembers numberOfProjects lastActivityAt {FIGURES}
    members {{ ...member }}
    formerMembers {{ ...member }}
    projects {{ ...project }}
    formerProjects {{ ...project }}
}}
fragment project on Project {{ id name lastActivityAt {FIGURES} }}
fragment member on Member {{ userName email lastActivityAt {FIGURES} user {{ ...user }} }}
fragment user on LicensedUser {{
    username email role createdAt createdAtIsInferred deletedAt suspended serviceAccount
    uiUsageCount uiUsageUpdatedAt sdkUsageCount sdkUsageUpdatedAt lastUsedAt lastActivityAt
    {FIGURES}
}}
"""
"""Every field of a report; its `createdAt` has the alias `changedAt`, unlike that of users."""

REPORT_QUERY = f"""
query ($month: Month!, $organization: String) {{
    chargebackReport(month: $month, organization: $organization) {{ ...full }}
}}
{FULL_REPORT}
"""
REPORTS_QUERY = f"""
query ($from: Month!, $to: Month!, $organization: String) {{
    chargebackReports(from: $from, to: $to, organization: $organization) {{ ...full }}
}}
{FULL_REPORT}
"""

STORE_FIELDS = frozenset({"id", "organization", "changedAt", "status", "closedAt", "corrections"})
"""The fields of a report that do not follow from the events of an open month."""


def without_fields(report: Any, names: frozenset[str] = STORE_FIELDS) -> Any:
    """Return a report without these fields, at every level."""
    if isinstance(report, dict):
        return {
            key: without_fields(value, names) for key, value in report.items() if key not in names
        }
    return [without_fields(each, names) for each in report] if isinstance(report, list) else report


def differences(found: Any, expected: Any, path: str = "report") -> list[str]:
    """Return one line for each place where two reports differ."""
    return list(_differences(found, expected, path))


def _differences(found: Any, expected: Any, path: str) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        for name in found:
            yield from _differences(found[name], expected[name], f"{path}.{name}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif found != expected:
        yield f"{path}: {found!r:.300}, and should be {expected!r:.300}"
