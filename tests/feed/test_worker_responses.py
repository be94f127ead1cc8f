"""The ingest worker responds to each request, even if it cannot send the outcome."""

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
class StubIngestor:
    """Raises the error that belongs to a request's body; accepts other requests."""

    outcomes: dict[bytes, Exception]
    is_up: bool = True
    restarts: int = 0

    async def ingest(self, request: IngestRequest) -> IngestResult:
        if request.body in self.outcomes:
            raise self.outcomes[request.body]
        return IngestResult(1, 0)


@asynccontextmanager
async def connect_to_worker(ingestor: Ingestor) -> AsyncIterator[Channel]:
    """Yield a channel to a worker that handles requests with the ingestor."""
    client, server = [await Channel.open(end) for end in socket.socketpair()]
    worker = asyncio.create_task(handle_requests(server, ingestor))
    async with asyncio.timeout(10):
        yield client
        client.close()
        await worker
        server.close()
        await asyncio.sleep(0)  # The event loop closes the sockets in its next iteration.


async def send_request(channel: Channel, body: bytes) -> IngestResult | ChargebackError | None:
    """Send a request, and return the outcome in its response."""
    request = IngestRequest(organization_id("default"), "application/x-ndjson", b"", NOW)
    await channel.send(WorkerRequest(7, request, {}), body)
    received = await channel.receive()
    assert received is not None
    response: WorkerResponse = received[0]
    assert response.number == 7
    return response.outcome


async def test_an_outcome_that_cannot_be_pickled_is_logged_and_the_next_request_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unpicklable = InvalidArgument("Something.")
    unpicklable.__dict__["cause"] = lambda: None
    async with connect_to_worker(StubIngestor({b"bad": unpicklable})) as channel:
        assert await send_request(channel, b"bad") is None
        assert await send_request(channel, b"good") == IngestResult(1, 0)

    assert "unexpected error while sending a response" in caplog.text


async def test_an_unexpected_error_is_logged_and_the_next_request_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with connect_to_worker(StubIngestor({b"bad": ZeroDivisionError("oh")})) as channel:
        assert await send_request(channel, b"bad") is None
        assert await send_request(channel, b"good") == IngestResult(1, 0)

    assert "unexpected error while storing events" in caplog.text
    assert "ZeroDivisionError: oh" in caplog.text
