"""What the tests of reports ask: every field of a report, and the parts of it by name."""

from collections.abc import Iterator
from typing import Any

FIGURES = """
    numberOfExperiments unmeasuredExperiments experimentsCreated
    totalSizeInMb totalSizeBytes averageSizeInMb
"""

FULL_REPORT = f"""
fragment full on ChargebackReport {{
    reportDate status closedAt changedAt: createdAt organization {{ id organization: name }}
    numberOfWorkspaces numberOfExperiments unmeasuredExperiments totalSizeInMb totalSizeBytes
    users {{ numberOfUsers changedAt: createdAt licensedUsers {{ ...user }} }}
    workspaces {{ ...workspace }}
    formerWorkspaces {{ ...workspace }}
    corrections {{ originMonth figure amount workspace project userName }}
}}
fragment workspace on Workspace {{
    id name numberOfMembers numberOfProjects {FIGURES}
    members {{ ...member }}
    formerMembers {{ ...member }}
    projects {{ ...project }}
    formerProjects {{ ...project }}
}}
fragment project on Project {{ id name {FIGURES} }}
fragment member on Member {{ userName email {FIGURES} user {{ ...user }} }}
fragment user on LicensedUser {{
    username email role createdAt createdAtIsInferred deletedAt suspended serviceAccount
    uiUsageCount uiUsageUpdatedAt sdkUsageCount sdkUsageUpdatedAt lastUsedAt {FIGURES}
}}
"""
"""Every field of a report. Its `createdAt` is asked for as `changedAt`, that of users as such."""

ONE = f"""
query ($month: Month!, $organization: String) {{
    chargebackReport(month: $month, organization: $organization) {{ ...full }}
}}
{FULL_REPORT}
"""
SEVERAL = f"""
query ($from: Month!, $to: Month!, $organization: String) {{
    chargebackReports(from: $from, to: $to, organization: $organization) {{ ...full }}
}}
{FULL_REPORT}
"""

STORING = frozenset({"id", "organization", "changedAt", "status", "closedAt", "corrections"})
"""What a report says that does not follow from the events of an open month."""


def less(shown: Any, names: frozenset[str] = STORING) -> Any:
    """A report without some of its fields, at every level."""
    if isinstance(shown, dict):
        return {key: less(value, names) for key, value in shown.items() if key not in names}
    return [less(each, names) for each in shown] if isinstance(shown, list) else shown


def differences(found: Any, expected: Any, path: str = "report") -> list[str]:
    """Where two reports differ, each place on a line: short enough to read, quick to work out."""
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
