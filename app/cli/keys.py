"""`chargeback keys`: create, list, rotate and revoke API keys."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from app.cli.help import command, command_group
from app.cli.operator import current_operator
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.cli.tables import print_table
from app.clock import system_clock
from app.console import print_error, print_line
from app.db.engine import Database
from app.db.keys import KeyRow
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.server.store import run_with_store
from app.services.keys import create_key, list_keys, revoke_key, rotate_key
from app.services.organizations import find_organization
from app.services.sessions import explain_denial
from app.settings import Settings

keys = command_group("Create, list, rotate and revoke API keys.")

_SCOPES = ", ".join(Scope)
KeyId = Annotated[
    str,
    typer.Argument(metavar="KEY_ID", help="The key's id: the part after cbk_."),
]


@command(
    keys,
    "create",
    examples=[
        "keys create --user ada --scope admin",
        "keys create --user connector --scope events:write --expires-in-days 90",
        "keys create --user directory --scope directory:write",
        "keys create --user grace --scope statement:read --cost-centre 4711",
    ],
)
def create(
    user: Annotated[str, typer.Option(metavar="USERNAME", help="The user whom the key is for.")],
    scope: Annotated[
        list[Scope],
        typer.Option(metavar="SCOPE", help=f"What the key may do: {_SCOPES}; repeatable."),
    ] = [  # noqa: B006  typer copies it
        Scope.REPORT_READ
    ],
    cost_centre: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE",
            help="A cost centre whose statements a key with the scope statement:read may read; "
            "repeatable.",
        ),
    ] = None,
    label: Annotated[
        str, typer.Option(metavar="TEXT", help="A note for `keys list`.")
    ] = "created on the command line",
    expires_in_days: Annotated[
        int | None,
        typer.Option(metavar="DAYS", help="When the key expires. Default: never.", min=1),
    ] = None,
    long_form: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Also print the long form of the key, which contains this URL of the service.",
        ),
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Create a key and print it. The store keeps only a hash, so it is never shown again."""
    now = system_clock()

    async def run(database: Database, settings: Settings) -> None:
        found = await find_organization(database, organization)
        minted = await create_key(
            database,
            found.organization_id,
            username=user,
            scopes=scope,
            cost_centres=cost_centre or (),
            label=label,
            expires_at=now + timedelta(days=expires_in_days) if expires_in_days else None,
            now=now,
            by=current_operator(),
        )
        print_line(f"API key: {minted.text}")
        if long_form is not None:
            print_line(f"Long form: {minted.text.long_form(long_form)}")
        if reason := await explain_denial(database, minted.text, settings):
            print_error(f"The key does not work yet: {reason}")

    run_with_store(data_dir, env_file, run)


@command(keys, "list", examples=["keys list"])
def list_(
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """List an organization's keys, newest first."""

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        _print_keys(await list_keys(database, found.organization_id))

    run_with_store(data_dir, env_file, run)


def _print_keys(found: Sequence[KeyRow]) -> None:
    headings = ("Id", "User", "Status", "Last used", "Scopes", "Label", "Created")
    rows = (
        (
            key.key_id,
            key.username,
            _format_status(key),
            f"{key.last_used_at:%Y-%m-%d}" if key.last_used_at else "never",
            ", ".join((*key.scopes, *key.cost_centres)),
            key.label,
            f"{key.created_at:%Y-%m-%d}",
        )
        for key in found
    )
    print_table(
        headings, rows, whole={"Id", "Created", "Last used"}, drop=("Created", "Label", "Scopes")
    )


def _format_status(key: KeyRow) -> str:
    if key.revoked_at is not None:
        return f"revoked {key.revoked_at:%Y-%m-%d}"
    return f"expires {key.expires_at:%Y-%m-%d}" if key.expires_at else "active"


@command(keys, "rotate", examples=["keys rotate 08NzwuxWPJ21 --overlap-hours 48"])
def rotate(
    key_id: KeyId,
    overlap_hours: Annotated[
        int,
        typer.Option(metavar="HOURS", help="How long the old key still works.", min=0, max=720),
    ] = 24,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Replace a key: create a copy, and let the old key expire."""

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        minted = await rotate_key(
            database,
            found.organization_id,
            key_id,
            overlap=timedelta(hours=overlap_hours),
            now=system_clock(),
            by=current_operator(),
        )
        print_line(f"API key: {minted.text}")

    run_with_store(data_dir, env_file, run)


@command(keys, "revoke", examples=["keys revoke 08NzwuxWPJ21"])
def revoke(
    key_id: KeyId,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Revoke a key at once, and end the browser sessions that were started with it."""

    async def run(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        await revoke_key(
            database, found.organization_id, key_id, system_clock(), current_operator()
        )
        print_line(f"revoked {key_id}")

    run_with_store(data_dir, env_file, run)
