"""The command line: each command calls a service or a resolver and prints the result."""

import sys

from app import __version__


def main() -> None:
    """Run a command. An error that its user can cause ends it with one line and status 1.

    Imports are local: printing the version and completing a word must not take seconds.
    """
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{__version__}\n")
        return
    from app.cli.completion import complete_command_name

    names = complete_command_name()
    if names is not None:
        sys.stdout.write(f"{names}\n")
        return
    from app.cli.commands import cli

    try:
        cli()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not _is_expected(error):
            raise
        from app.console import stderr

        stderr.print(f"Error: {error}", style="red")
        sys.exit(1)


def _is_expected(error: Exception) -> bool:
    from app.domain.errors import ChargebackError
    from app.postgres.programs import EmbeddedPostgresError
    from app.settings import SettingsError

    return isinstance(error, ChargebackError | EmbeddedPostgresError | SettingsError)
