"""When experiments were last created, moved or resized, by month and placement."""

from collections.abc import Iterable
from datetime import datetime

from app.domain.experiments import ExperimentFact, ExperimentStep, Placement
from app.domain.months import Month

LastActivity = dict[tuple[Month, Placement], datetime]


def find_last_activity(facts: Iterable[ExperimentFact]) -> LastActivity:
    """Return when one experiment was last active in each month at each of its placements.

    A resize counts at every placement that the experiment has had by then, and it counts even if
    the experiment has been deleted. So a fact never takes an activity away, and the latest
    activities of any sets of facts merge by their maximum, in any order.
    """
    last: LastActivity = {}
    placements: set[Placement] = set()
    for fact in sorted(facts):
        if fact.placement is not None:
            placements.add(fact.placement)
            active = {fact.placement}
        else:
            active = placements if fact.step is ExperimentStep.RESIZED else set()
        if active:
            month = Month.containing(fact.occurred_at)
            last |= {(month, placement): fact.occurred_at for placement in active}
    return last
