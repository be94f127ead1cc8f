"""The interface through which the web layer stores events."""

from typing import Protocol

from app.ingest.store import IngestResult
from app.services.group_commit import IngestRequest


class Ingestor(Protocol):
    """Stores batches of events: in this process, or in the ingest worker process."""

    @property
    def is_up(self) -> bool:
        """Whether it accepts batches, regardless of the store."""

    @property
    def restarts(self) -> int:
        """How often it was restarted."""

    async def ingest(self, request: IngestRequest) -> IngestResult:
        """Store a batch completely or not at all; return after the commit.

        Raises:
            InvalidBatch: At least one event is invalid; the error lists each problem.
            IngestQueueFull: Too many events are waiting already.
            StoreUnavailable: The store cannot be reached; the batch can be sent again.
        """
