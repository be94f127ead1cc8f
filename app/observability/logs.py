"""The service's log: a JSON object a line, or words for a person at a terminal.

Everything logs through the standard library, so that libraries' lines look like our own; fields go
into `extra`. No line holds a key or a database's password, wherever it came from.
"""

import logging
import re
import sys
from typing import Any, TextIO

import orjson
import structlog

from app.domain import keys
from app.settings import LogFormat

log = logging.getLogger("chargeback")

_PASSWORD = re.compile(r"(postgres(?:ql)?(?:\+\w+)?://[^\s:/@]*:)\S+@")
_QUIET = {
    # It tells of each connection that breaks, with a trace; that the store is away is said once.
    "sqlalchemy.pool": logging.CRITICAL,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
}

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.ExtraAdder(),
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
]


def configure_logs(form: LogFormat, level: str, stream: TextIO = sys.stderr) -> None:
    """Send every logger's lines to a stream; called once, by the process that serves."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form, colors=stream.isatty()))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)


def redact_secrets(line: str) -> str:
    """A line in which keys and passwords are cut short; a key's id stays, to find it by."""
    return _PASSWORD.sub(r"\1…@", keys.redact_secrets(line))


def formatter(form: LogFormat, *, colors: bool) -> logging.Formatter:
    """Writes a record as a line."""
    last: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_written)]
        if form is LogFormat.JSON
        else [structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time")]
    )
    first = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return _WithoutSecrets(foreign_pre_chain=_SHARED, processors=[first, *last])


class _WithoutSecrets(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact_secrets(super().format(record))


def _written(event: dict[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
