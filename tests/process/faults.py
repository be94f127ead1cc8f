"""Helpers for fault tests: poll a service continuously, and find or await its PostgreSQL."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

_INTERVAL_SECONDS = 0.05
_MAX_CONCURRENT = 40


@dataclass(frozen=True)
class PollResult:
    """The outcome of one request; `status` is 0 if the connection was refused or broke."""

    sent_at: float
    seconds: float
    status: int
    body: str
    retry_after: str | None = None

    @property
    def completed_at(self) -> float:
        return self.sent_at + self.seconds


@dataclass
class Poller:
    """Requests a URL every 50 ms during a `with` block, without waiting for earlier responses."""

    url: str
    key: str
    results: list[PollResult] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopped = threading.Event()
        self._client = httpx.Client(
            headers={"Authorization": self.key},
            timeout=30,
            limits=httpx.Limits(max_connections=_MAX_CONCURRENT),
        )
        self._pool = ThreadPoolExecutor(_MAX_CONCURRENT)
        self._timer = threading.Thread(target=self._run)
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._timer.join()
        self._pool.shutdown()
        self._client.close()

    def _run(self) -> None:
        while not self._stopped.wait(_INTERVAL_SECONDS):
            self._pool.submit(self._poll)

    def _poll(self) -> None:
        sent_at = time.monotonic()
        try:
            response = self._client.get(self.url)
            status, body = response.status_code, response.text
            retry_after = response.headers.get("Retry-After")
        except httpx.HTTPError as error:
            status, body, retry_after = 0, repr(error), None
        seconds = time.monotonic() - sent_at
        self.results.append(PollResult(sent_at, seconds, status, body, retry_after))

    def sent_between(self, start: float, end: float) -> list[PollResult]:
        """Return the results of the requests that were sent in a span of time."""
        return [result for result in self.results if start <= result.sent_at < end]

    def wait_until_served(self, since: float, timeout_seconds: float = 30) -> float:
        """Return the seconds from `since` until a request sent after it succeeds."""
        while time.monotonic() < since + timeout_seconds:
            completed = [
                result.completed_at
                for result in self.results
                if result.status == 200 and result.sent_at > since
            ]
            if completed:
                return min(completed) - since
            time.sleep(0.01)
        raise AssertionError(f"not served within {timeout_seconds} s: {self.results[-3:]}")


def postmaster_pid(data_dir: Path) -> int:
    """Return the process id of the data folder's PostgreSQL."""
    return int((data_dir / "postgres/cluster/postmaster.pid").read_text().split("\n")[0])


def process_and_children(pid: int) -> list[int]:
    """Return the ids of a process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def wait_for_new_postmaster(data_dir: Path, old_pid: int) -> None:
    """Wait until another PostgreSQL process is ready."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            lines = (data_dir / "postgres/cluster/postmaster.pid").read_text().split("\n")
            if len(lines) > 7 and lines[7].strip() == "ready" and lines[0] != str(old_pid):
                return
        time.sleep(0.01)
    raise AssertionError("PostgreSQL did not come back")
