"""Format a source's events. A fact gets the same event id each time that it is reported."""

from datetime import UTC, datetime

import orjson


class EventWriter:
    """Formats events as JSON lines.

    Args:
        source: The `source` of the events.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def format_event(self, id_: str, type_: str, at_ms: int, **data: object) -> bytes:
        """Return one event as JSON; omits data fields that are None."""
        return orjson.dumps(
            {
                "specversion": "1.0",
                "id": id_,
                "source": self._source,
                "type": type_,
                "time": format_timestamp(at_ms),
                "data": {key: value for key, value in data.items() if value is not None},
            }
        )


def format_timestamp(at_ms: int) -> str:
    """Format milliseconds since 1970 as events write times."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
