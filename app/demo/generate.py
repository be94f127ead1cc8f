"""Generate the events of a realistic organization for the demo, the tests and the benchmark.

The same seed, shape and end give the same bytes on every machine. Events are generated one by one,
so memory grows with the number of users, workspaces and experiments, not with that of events.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import astuple
from datetime import datetime

import orjson

from app.demo.event_queue import EventQueue, Fact, Instant
from app.demo.history import History, format_instant, to_instant
from app.demo.names import DEMO_ADMIN
from app.demo.plan import plan_users, plan_workspaces
from app.demo.scenario import Scenario
from app.demo.seeded_random import SeededRandom
from app.demo.shape import OrganizationShape
from app.demo.simulation import Simulation

__all__ = ["DEMO_ADMIN", "DEMO_SEED", "OrganizationShape", "generate_events"]

DEMO_SEED = 2026


def generate_events(shape: OrganizationShape, *, seed: int, until: datetime) -> Iterator[bytes]:
    """Yield the history of an organization as NDJSON lines, one CloudEvent each, in time order.

    Args:
        shape: How large the organization is.
        seed: Each seed gives a different organization of the same shape.
        until: The end of the history, with a time zone; all events are before it. The history
            begins with the month `shape.months` before the month of `until`.

    No two events have the same time, so sorting by time keeps this order. The first event creates
    `DEMO_ADMIN`, an admin who never leaves.

    Raises:
        ValueError: `seed` is negative, `until` has no time zone, or the history would begin before
            2000.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}: allowed is a whole number from 0")
    rng = SeededRandom(seed)
    history = History(until, shape.months, rng)
    simulation = Simulation(shape, rng, history, EventQueue(history.end))
    users = plan_users(shape, rng)
    Scenario(simulation, users, plan_workspaces(shape, rng, users)).begin()
    return _format_events(simulation.queue, history, _run_name(shape, seed, until))


def _run_name(shape: OrganizationShape, seed: int, until: datetime) -> str:
    """Return a prefix for event ids, so that two generated organizations share none."""
    text = f"{seed} {to_instant(until)} {astuple(shape)}"
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _format_events(queue: EventQueue, history: History, run_name: str) -> Iterator[bytes]:
    latest = history.start - 1
    for number, (due, fact) in enumerate(queue.run()):
        latest = max(due, latest + 1)
        if latest >= history.end:
            return
        yield _format_event(f"{run_name}-{number}", latest, fact)


def _format_event(event_id: str, at: Instant, fact: Fact) -> bytes:
    kind, source, data = fact
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": kind,
        "time": format_instant(at),
        "datacontenttype": "application/json",
        "data": data,
    }
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
