"""The events of a source: the same fact has the same id each time that it is told."""

from datetime import UTC, datetime
from typing import Any

import orjson


class EventWriter:
    """Writes events as lines of JSON.

    Args:
        source: The events' `source`.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def line(self, id_: str, type_: str, at_ms: int, **told: Any) -> bytes:
        """One event; `told` is its data, without what is None."""
        return orjson.dumps(
            {
                "specversion": "1.0",
                "id": id_,
                "source": self._source,
                "type": type_,
                "time": instant(at_ms),
                "data": {key: value for key, value in told.items() if value is not None},
            }
        )


def instant(at_ms: int) -> str:
    """Milliseconds since 1970, as events write them."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
