"""What everything that happens has in common."""

from dataclasses import dataclass

from app.demo.event_queue import Agenda
from app.demo.history import History
from app.demo.seeded_random import Draws
from app.demo.shape import OrganizationShape


@dataclass(frozen=True, slots=True)
class Stage:
    """The sizes, the chance, the time, and what is still to come."""

    shape: OrganizationShape
    draws: Draws
    history: History
    agenda: Agenda
