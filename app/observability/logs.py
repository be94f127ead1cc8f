"""Logging: one JSON object per line, or readable text on a terminal.

Everything logs through the standard library, so lines of third-party libraries look like ours.
Pass fields in `extra`. API keys and database passwords are masked in every line.
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

_DATABASE_URL = re.compile(r"(postgres(?:ql)?(?:\+\w+)?://[^\s:/@]*:)(\S+)")
"""A URL with what may be a password, to the next blank: no part of a line is searched twice."""
_LIBRARY_LEVELS = {
    # The pool logs a traceback per broken connection; we log once that the store is down.
    "sqlalchemy.pool": logging.CRITICAL,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
}

_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.ExtraAdder(),
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
]


def configure_logs(log_format: LogFormat, level: str, stream: TextIO = sys.stderr) -> None:
    """Send the lines of every logger to `stream`. Each process calls this once, at its start."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(create_formatter(log_format, colors=stream.isatty()))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name, library_level in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(library_level)


def redact_secrets(line: str) -> str:
    """Mask API keys and passwords; the id of a key stays, so that the key can be found."""
    return _DATABASE_URL.sub(_mask_password, keys.redact_secrets(line))


def _mask_password(url: re.Match[str]) -> str:
    _, at, rest = url[2].rpartition("@")
    return f"{url[1]}…@{rest}" if at else url[0]


def create_formatter(log_format: LogFormat, *, colors: bool) -> logging.Formatter:
    """Return a formatter that renders each record as one line."""
    renderers: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dump_json)]
        if log_format is LogFormat.JSON
        else [structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time")]
    )
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return _MaskingFormatter(foreign_pre_chain=_PROCESSORS, processors=[remove_meta, *renderers])


class _MaskingFormatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact_secrets(super().format(record))


def _dump_json(event: dict[str, Any], **_: object) -> str:
    return orjson.dumps(event, default=str).decode()
