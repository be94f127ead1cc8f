"""The messages between the supervisor and a worker."""

from pathlib import Path
from typing import NamedTuple

from app.settings import LogFormat, Settings


class WebWorkerSetup(NamedTuple):
    """The first message to a worker.

    Attributes:
        settings: The settings of this installation.
        url: The URL of the store, which the supervisor has migrated.
        data_dir: The data directory of the embedded PostgreSQL.
        log_format: The format of the worker's log.
        metrics_dir: The folder of the sockets on which workers give each other their metrics.
        number: The number of the worker. The first, 1, runs the background jobs and the sources.
    """

    settings: Settings
    url: str
    data_dir: Path
    log_format: LogFormat
    metrics_dir: Path
    number: int = 0


class Ready(NamedTuple):
    """The worker accepts connections."""
