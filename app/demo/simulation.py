"""What everything that happens has in common."""

from dataclasses import dataclass

from app.demo.event_queue import EventQueue
from app.demo.history import History
from app.demo.seeded_random import SeededRandom
from app.demo.shape import OrganizationShape


@dataclass(frozen=True, slots=True)
class Simulation:
    """The sizes, the chance, the time, and what is still to come."""

    shape: OrganizationShape
    rng: SeededRandom
    history: History
    queue: EventQueue
