"""Asking a service all the time while something happens to it or to its store."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

_EVERY_SECONDS = 0.05
_SIDE_BY_SIDE = 40


@dataclass(frozen=True)
class Answer:
    """One answer, or none: `status` 0 is a connection that was refused or broke."""

    asked_at: float
    seconds: float
    status: int
    body: str
    retry_after: str | None = None

    @property
    def answered_at(self) -> float:
        return self.asked_at + self.seconds


@dataclass
class Asking:
    """Asks an address every 50 ms, whether or not earlier answers have come, in a block."""

    url: str
    key: str
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stopped = threading.Event()
        self._client = httpx.Client(
            headers={"Authorization": self.key},
            timeout=30,
            limits=httpx.Limits(max_connections=_SIDE_BY_SIDE),
        )
        self._pool = ThreadPoolExecutor(_SIDE_BY_SIDE)
        self._clockwork = threading.Thread(target=self._ask_all_the_time)
        self._clockwork.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self._clockwork.join()
        self._pool.shutdown()
        self._client.close()

    def _ask_all_the_time(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            self._pool.submit(self._ask)

    def _ask(self) -> None:
        asked_at = time.monotonic()
        try:
            answer = self._client.get(self.url)
            status, body = answer.status_code, answer.text
            retry_after = answer.headers.get("Retry-After")
        except httpx.HTTPError as error:
            status, body, retry_after = 0, repr(error), None
        seconds = time.monotonic() - asked_at
        self.answers.append(Answer(asked_at, seconds, status, body, retry_after))

    def between(self, start: float, end: float) -> list[Answer]:
        """The answers to what was asked within a span of time."""
        return [answer for answer in self.answers if start <= answer.asked_at < end]

    def until_served(self, since: float, patience_seconds: float = 30) -> float:
        """Seconds from a moment to the first good answer after it."""
        while time.monotonic() < since + patience_seconds:
            good = [a.answered_at for a in self.answers if a.status == 200 and a.asked_at > since]
            if good:
                return min(good) - since
            time.sleep(0.01)
        raise AssertionError(f"not served within {patience_seconds} s: {self.answers[-3:]}")
