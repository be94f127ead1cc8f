"""What `serve` prints once it is ready: addresses, and what a newcomer does next."""

from pathlib import Path

from app import __version__
from app.clock import system_clock
from app.console import stderr, stdout
from app.domain.months import Month


def print_welcome(address: str, demo_key: str | None, empty_store: Path | None) -> None:
    """Print the addresses and the next steps. Scripts read the line with the key.

    Args:
        address: The URL of the service.
        demo_key: The key of the demo's admin, if the demo is loaded.
        empty_store: The data directory, if the store has neither events nor keys.
    """
    last_month = Month.containing(system_clock()).plus(-1)
    report = f"{address}/api/admin/chargeback/report?reportMonth={last_month}"
    lines = [
        f"Chargeback admin API {__version__} is ready.",
        f"Pages: {address}/",
        f"GraphiQL: {address}/graphql",
        f"REST: {report}",
    ]
    if demo_key is not None:
        lines += [
            f"API key: {demo_key}",
            "Sign in to the pages or GraphiQL with the key, or try:",
            f"  curl -sS -H 'Authorization: {demo_key}' '{report}'",
        ]
    if empty_store is not None:
        lines += _next_steps(empty_store)
    stdout.print("\n".join(lines))
    stderr.print("Ctrl-C stops it.")


def _next_steps(data_dir: Path) -> list[str]:
    option = f"--data-dir {data_dir}"
    return [
        "The store is empty. Next, in another terminal:",
        f"  chargeback keys create --user you --scope admin {option}",
        "      a key to sign in with; start the service with ADMIN_USER_LIST=you",
        f"  chargeback import events.ndjson {option}",
        "      your first events; or users.csv with --table users, or chargeback import-mlflow",
        "Or look at a demo organization: chargeback serve --demo --data-dir demo",
    ]
