"""A realistic organization as usage events, from a seed: for the demo, tests and benchmark.

The same seed, shape and end give the same bytes on every machine. Events come one by one: what is
kept meanwhile grows with the users, workspaces and experiments that exist, not with the events.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import astuple
from datetime import datetime

import orjson

from app.demo.event_queue import EventQueue, Fact, Instant
from app.demo.history import History, instant_of, written
from app.demo.names import DEMO_ADMIN
from app.demo.plan import plan_users, plan_workspaces
from app.demo.scenario import Scenario
from app.demo.seeded_random import SeededRandom
from app.demo.shape import OrganizationShape
from app.demo.simulation import Simulation

__all__ = ["DEMO_ADMIN", "OrganizationShape", "generate_events"]


def generate_events(shape: OrganizationShape, *, seed: int, until: datetime) -> Iterator[bytes]:
    """The history of an organization: lines of NDJSON, one CloudEvent each, in order of time.

    Args:
        shape: How large it is.
        seed: Another seed gives another organization of the same shape.
        until: The end, with its time zone; no event is at or after it. The history begins with
            the month that is `shape.months` before the month of `until`.

    No two events have the same time, so that sorting them by it gives this order again. The
    first is the creation of `DEMO_ADMIN`, an admin who never leaves.

    Raises:
        ValueError: `seed` is negative, `until` says no time zone, or the history would begin
            before 2000.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}: allowed is a whole number from 0")
    rng = SeededRandom(seed)
    history = History(until, shape.months, rng)
    simulation = Simulation(shape, rng, history, EventQueue(history.end))
    users = plan_users(shape, rng)
    Scenario(simulation, users, plan_workspaces(shape, rng, users)).begin()
    return _lines(simulation.queue, history, _run_name(shape, seed, until))


def _run_name(shape: OrganizationShape, seed: int, until: datetime) -> str:
    """Part of each id, so that two generated organizations share none by accident."""
    told = f"{seed} {instant_of(until)} {astuple(shape)}"
    return hashlib.blake2b(told.encode(), digest_size=6).hexdigest()


def _lines(queue: EventQueue, history: History, run_name: str) -> Iterator[bytes]:
    latest = history.start - 1
    for number, (due, fact) in enumerate(queue.facts()):
        latest = max(due, latest + 1)
        if latest >= history.end:
            return
        yield _line(f"{run_name}-{number}", latest, fact)


def _line(event_id: str, at: Instant, fact: Fact) -> bytes:
    kind, source, said = fact
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": kind,
        "time": written(at),
        "datacontenttype": "application/json",
        "data": said,
    }
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
