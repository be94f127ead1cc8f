"""What everything that happens has in common."""

from dataclasses import dataclass

from app.feed.demo.agenda import Agenda
from app.feed.demo.draws import Draws
from app.feed.demo.history import History
from app.feed.demo.shape import OrganizationShape


@dataclass(frozen=True, slots=True)
class Stage:
    """The sizes, the chance, the time, and what is still to come."""

    shape: OrganizationShape
    draws: Draws
    history: History
    agenda: Agenda
