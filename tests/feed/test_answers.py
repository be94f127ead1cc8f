"""The process that stores events says what became of each delivery, whatever that is."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from app.domain.errors import ChargebackError, InvalidArgument
from app.domain.ids import organization_id
from app.ingest.store import IngestResult
from app.server.ingest_worker.channel import Channel, WorkerRequest, WorkerResponse
from app.server.ingest_worker.worker import handle_requests
from app.services.group_commit import IngestRequest
from app.web.ingestor import Ingestor
from tests.conftest import NOW


@dataclass
class Telling:
    """Tells of each delivery what its body names."""

    outcomes: dict[bytes, Exception]
    is_up: bool = True
    restarts: int = 0

    async def ingest(self, request: IngestRequest) -> IngestResult:
        if request.body in self.outcomes:
            raise self.outcomes[request.body]
        return IngestResult(1, 0)


@asynccontextmanager
async def answered_by(intake: Ingestor) -> AsyncIterator[Channel]:
    """The other end of a line on which that answers."""
    ours, its = [await Channel.open(end) for end in socket.socketpair()]
    answering = asyncio.create_task(handle_requests(its, intake))
    async with asyncio.timeout(10):
        yield ours
        ours.close()
        await answering
        its.close()
        await asyncio.sleep(0)  # Sockets are closed in the loop's next turn.


async def outcome(line: Channel, body: bytes) -> IngestResult | ChargebackError | None:
    delivery = IngestRequest(organization_id("default"), "application/x-ndjson", b"", NOW)
    await line.send(WorkerRequest(7, delivery, {}), body)
    received = await line.receive()
    assert received is not None
    answer: WorkerResponse = received[0]
    assert answer.number == 7
    return answer.outcome


async def test_what_cannot_be_written_is_told_as_a_mistake_and_the_next_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unwritable = InvalidArgument("Something.")
    unwritable.__dict__["cause"] = lambda: None
    async with answered_by(Telling({b"bad": unwritable})) as line:
        assert await outcome(line, b"bad") is None
        assert await outcome(line, b"good") == IngestResult(1, 0)

    assert "unexpected error while sending a response" in caplog.text


async def test_an_unexpected_error_is_told_as_a_mistake_and_the_next_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with answered_by(Telling({b"bad": ZeroDivisionError("oh")})) as line:
        assert await outcome(line, b"bad") is None
        assert await outcome(line, b"good") == IngestResult(1, 0)

    assert "unexpected error while storing events" in caplog.text
    assert "ZeroDivisionError: oh" in caplog.text
