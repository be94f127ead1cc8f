"""The state that all parts of the simulation share."""

from dataclasses import dataclass

from app.demo.event_queue import EventQueue
from app.demo.history import History
from app.demo.seeded_random import SeededRandom
from app.demo.shape import OrganizationShape


@dataclass(frozen=True, slots=True)
class Simulation:
    """The sizes, the random numbers, the calendar, and the queue of scheduled actions."""

    shape: OrganizationShape
    rng: SeededRandom
    history: History
    queue: EventQueue
