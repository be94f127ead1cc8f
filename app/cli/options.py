"""Options and arguments that commands share."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from app.domain.months import Month

DataDir = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="The data directory of the embedded PostgreSQL.",
        envvar="CHARGEBACK_DATA_DIR",
    ),
]
EnvFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="The settings file. Default: /etc/default/chargeback, if it exists."
    ),
]
InOrganization = Annotated[
    str, typer.Option("--organization", metavar="NAME", help="The organization.")
]
MonthArgument = Annotated[str, typer.Argument(metavar="MONTH", help="The month, YYYY-MM.")]
DEFAULT_DATA_DIR = Path(".chargeback")


def parse_instant(text: str) -> datetime:
    """Parse an ISO 8601 time, UTC unless it has an offset, or a month, which means its start.

    Raises:
        InvalidArgument: The text is neither.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return Month.parse(text).start
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
