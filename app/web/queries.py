"""How many queries of one key run at a time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from app.domain.errors import TooManyQueries


class RunningQueries:
    """Counts the queries that run in this process, by key."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

    @contextmanager
    def counting(self, key_id: str, most: int) -> Iterator[None]:
        """Count a query for the length of a block.

        Raises:
            TooManyQueries: As many of this key run already.
        """
        if self._running[key_id] >= most:
            raise TooManyQueries(limit=most, value=self._running[key_id] + 1)
        self._running[key_id] += 1
        try:
            yield
        finally:
            self._running[key_id] -= 1
            if not self._running[key_id]:
                del self._running[key_id]
