"""The command line: each command calls a service or a resolver and prints the result."""

import sys

from app.cli.commands import cli
from app.console import stderr
from app.domain.errors import ChargebackError
from app.postgres.programs import EmbeddedPostgresError
from app.settings import SettingsError


def main() -> None:
    """Run a command. An error that its user can cause ends it with one line and status 1."""
    try:
        cli()
    except (ChargebackError, EmbeddedPostgresError, SettingsError) as error:
        stderr.print(f"Error: {error}", style="red")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
