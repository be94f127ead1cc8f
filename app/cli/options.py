"""Options that commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path,
    typer.Option(
        help="Where the embedded PostgreSQL keeps its files.", envvar="CHARGEBACK_DATA_DIR"
    ),
]
EnvFile = Annotated[
    Path | None,
    typer.Option(help="A file of settings; by default /etc/default/chargeback when it exists."),
]
InOrganization = Annotated[str, typer.Option("--organization", help="Which organization.")]
DEFAULT_DATA_DIR = Path(".chargeback")
