"""Why a statement differs from that of an earlier month."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum
from uuid import UUID

from app.domain.charges import ChargeLine
from app.domain.rates import Measure


class ChangeReason(StrEnum):
    """What a part of the difference comes from, in the order of a statement."""

    NEW = "NEW"
    GROWN = "GROWN"
    SHRUNK = "SHRUNK"
    GONE = "GONE"
    SEATS = "SEATS"
    USES = "USES"
    FEES = "FEES"
    CORRECTIONS = "CORRECTIONS"


_REASONS = {
    Measure.SEATS: ChangeReason.SEATS,
    Measure.SERVICE_ACCOUNTS: ChangeReason.SEATS,
    Measure.UI_USES: ChangeReason.USES,
    Measure.SDK_USES: ChangeReason.USES,
    Measure.FEE: ChangeReason.FEES,
}


def explain_difference(
    now: Iterable[ChargeLine], before: Iterable[ChargeLine]
) -> Mapping[ChangeReason, int]:
    """Return by reason the minor units that add up to the difference of both totals.

    What a workspace is charged for storage and experiments is new, grown, shrunk or gone. Reasons
    that change nothing are left out.
    """
    changes: dict[ChangeReason, int] = defaultdict(int)
    workspaces_now = _charge_workspaces(now, changes, sign=1)
    workspaces_before = _charge_workspaces(before, changes, sign=-1)
    for workspace in workspaces_now.keys() | workspaces_before.keys():
        change = workspaces_now.get(workspace, 0) - workspaces_before.get(workspace, 0)
        if workspace not in workspaces_before:
            reason = ChangeReason.NEW
        elif workspace not in workspaces_now:
            reason = ChangeReason.GONE
        else:
            reason = ChangeReason.GROWN if change > 0 else ChangeReason.SHRUNK
        changes[reason] += change
    return {reason: changes[reason] for reason in ChangeReason if changes[reason]}


def _charge_workspaces(
    lines: Iterable[ChargeLine], changes: dict[ChangeReason, int], *, sign: int
) -> Mapping[UUID | None, int]:
    """Add up the lines of workspaces by workspace, and all others by reason in `changes`."""
    workspaces: dict[UUID | None, int] = defaultdict(int)
    for line in lines:
        if line.origin is not None:
            changes[ChangeReason.CORRECTIONS] += sign * line.booked
        elif line.rate.measure in _REASONS:
            changes[_REASONS[line.rate.measure]] += sign * line.booked
        else:
            workspaces[line.workspace.id if line.workspace else None] += line.booked
    return workspaces
