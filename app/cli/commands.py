"""The commands and their options."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
import uvloop
from rich.table import Table

from app import __version__
from app.cli.audit import AuditFormat, print_audit_log
from app.cli.database import backup, db, restore_backup
from app.cli.feed import print_feed, prune
from app.cli.imported_reports import import_report
from app.cli.imports import import_files
from app.cli.mlflow import import_from_mlflow
from app.cli.months import close, print_months, reopen, verify
from app.cli.options import DEFAULT_DATA_DIR, DataDir, EnvFile, InOrganization
from app.cli.report import Format, print_report
from app.cli.sources import sources
from app.cli.systemd import aio
from app.clock import system_clock
from app.console import stderr, stdout
from app.db.audit import EntriesMatching
from app.db.engine import Database
from app.demo.generate import OrganizationShape, generate_events
from app.domain.audit import Action
from app.domain.callers import DEFAULT_ORGANIZATION, Scope
from app.domain.errors import InvalidArgument
from app.domain.months import Month
from app.server.serve import DEMO_SEED
from app.server.serve import serve as serve_until_signal
from app.server.store import run_with_store
from app.services.keys import create_key, list_keys, revoke_key, rotate_key
from app.services.organizations import create_organization, find_organization, list_organizations
from app.services.retention import LEAST_DAYS
from app.services.sessions import explain_denial
from app.settings import Settings

cli = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The monthly chargeback report of a shared experiment platform: who used how much.",
)
keys = typer.Typer(no_args_is_help=True, help="API keys: create, list, rotate, revoke.")
organizations = typer.Typer(no_args_is_help=True, help="Organizations: create, list.")
months = typer.Typer(no_args_is_help=True, help="Months: list, close, reopen, verify.")
feed = typer.Typer(
    invoke_without_command=True, help="The feed: what arrived; archive old usage events."
)
cli.add_typer(months, name="months")
cli.add_typer(feed, name="feed")
cli.add_typer(sources, name="sources")
cli.add_typer(keys, name="keys")
cli.add_typer(organizations, name="organizations")
cli.add_typer(aio, name="aio")
cli.add_typer(db, name="db")
cli.command("import-mlflow")(import_from_mlflow)
cli.command("backup")(backup)
cli.command("restore")(restore_backup)
cli.command("import")(import_files)
cli.command("import-report")(import_report)


@cli.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=0, max=65535)] = 8000,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Load the demo organization into an empty store.")
    ] = False,
) -> None:
    """Serve GraphQL, REST and GraphiQL until Ctrl-C."""
    settings = Settings.load(env_file)
    uvloop.run(serve_until_signal(settings, host=host, port=port, data_dir=data_dir, demo=demo))


@cli.command()
def generate(
    seed: Annotated[int, typer.Option(help="Another seed, another organization.")] = DEMO_SEED,
    until: Annotated[
        str, typer.Option(help="The end of the history: a month (its start) or an instant.")
    ] = "2026-11",
    months: Annotated[int, typer.Option(help="Months of history.")] = 24,
    workspaces: Annotated[int, typer.Option(help="How many workspaces.")] = 14,
    users: Annotated[int, typer.Option(help="How many users.")] = 120,
    benchmark: Annotated[
        int, typer.Option(help="The benchmark's organization, so many times as large; 0: not it.")
    ] = 0,
) -> None:
    """Write the events of a made-up organization to stdout; the same options, the same bytes."""
    try:
        shape = (
            OrganizationShape.benchmark(benchmark)
            if benchmark
            else OrganizationShape(workspaces=workspaces, users=users, months=months)
        )
        lines = generate_events(shape, seed=seed, until=_instant(until))
    except ValueError as error:
        raise InvalidArgument(f"{error}.") from None
    try:
        for line in lines:
            sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        sys.stderr.close()  # `| head` has read enough.


def _instant(written: str) -> datetime:
    try:
        instant = datetime.fromisoformat(written)
    except ValueError:
        return Month.parse(written).start
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


@cli.command()
def report(
    month: Annotated[str, typer.Argument(help="The report month, YYYY-MM.")],
    form: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Print a month's report: a table, the REST document, or CSV."""
    chosen = Month.parse(month)
    run_with_store(
        data_dir,
        env_file,
        lambda database, settings: print_report(database, settings, chosen, organization, form),
    )


@keys.command("create")
def create(
    user: Annotated[str, typer.Option(help="Whose key it is: a username.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may be used for; repeatable.")] = [  # noqa: B006  typer copies it
        Scope.REPORT_READ
    ],
    label: Annotated[str, typer.Option(help="What it is for.")] = "created on the command line",
    expires_in_days: Annotated[
        int | None, typer.Option(help="When it stops working; without it, never.", min=1)
    ] = None,
    long_form: Annotated[
        str | None,
        typer.Option(help="Also print the key with this address of the service inside."),
    ] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Create a key. It is shown this once; the store keeps only a hash."""
    now = system_clock()

    async def command(database: Database, settings: Settings) -> None:
        found = await find_organization(database, organization)
        minted = await create_key(
            database,
            found.organization_id,
            username=user,
            scopes=scope,
            label=label,
            expires_at=now + timedelta(days=expires_in_days) if expires_in_days else None,
            now=now,
        )
        _print_key(str(minted.text), minted.text.long_form(long_form) if long_form else None)
        if why := await explain_denial(database, minted.text, settings):
            stderr.print(f"It does not work yet: {why}", markup=False, highlight=False)

    run_with_store(data_dir, env_file, command)


def _print_key(key: str, long_form: str | None) -> None:
    stdout.print(f"API key: {key}", markup=False, highlight=False)
    if long_form is not None:
        stdout.print(f"Long form: {long_form}", markup=False, highlight=False)


@keys.command("list")
def list_all(
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """List the keys of an organization, the newest first."""

    async def command(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        table = Table(
            "Id", "User", "Label", "Scopes", "Created", "Expires", "Revoked", "Last used"
        )
        for key in await list_keys(database, found.organization_id):
            moments = (key.created_at, key.expires_at, key.revoked_at, key.last_used_at)
            shown = [f"{moment:%Y-%m-%d %H:%M}" if moment else "" for moment in moments]
            table.add_row(key.key_id, key.username, key.label, ", ".join(key.scopes), *shown)
        stdout.print(table)

    run_with_store(data_dir, env_file, command)


@keys.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="The key's id: its part after cbk_.")],
    overlap_hours: Annotated[
        int, typer.Option(help="For how long the old key still works.", min=0, max=720)
    ] = 24,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Create a key like an old one, which goes on working for a while."""

    async def command(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        minted = await rotate_key(
            database,
            found.organization_id,
            key_id,
            overlap=timedelta(hours=overlap_hours),
            now=system_clock(),
        )
        _print_key(str(minted.text), None)

    run_with_store(data_dir, env_file, command)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id: its part after cbk_.")],
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """End a key at once, and the sessions begun with it."""

    async def command(database: Database, _: Settings) -> None:
        found = await find_organization(database, organization)
        await revoke_key(database, found.organization_id, key_id, system_clock())
        stdout.print(f"revoked {key_id}", markup=False, highlight=False)

    run_with_store(data_dir, env_file, command)


MonthArgument = Annotated[str, typer.Argument(metavar="MONTH", help="The month, YYYY-MM.")]


@months.command("list")
def list_all_months(
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """List the months, the latest first, and which are closed."""
    run_with_store(
        data_dir,
        env_file,
        lambda database, _: print_months(database, organization, system_clock()),
    )


@months.command("close")
def close_one(
    month: MonthArgument,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Close a month, and each earlier one: their reports never change again."""
    chosen = Month.parse(month)
    run_with_store(
        data_dir,
        env_file,
        lambda database, _: close(database, organization, chosen, system_clock()),
    )


@months.command("reopen")
def reopen_one(
    month: MonthArgument,
    reason: Annotated[str, typer.Option(help="Why; kept for good.")],
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Open the latest closed month again, with what came late for it."""
    chosen = Month.parse(month)
    run_with_store(
        data_dir,
        env_file,
        lambda database, _: reopen(database, organization, chosen, reason, system_clock()),
    )


@months.command("verify")
def verify_one(
    month: MonthArgument,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Work a month out again from its raw events, by a slow and independent route, and compare."""
    chosen = Month.parse(month)
    run_with_store(data_dir, env_file, lambda database, _: verify(database, organization, chosen))


@feed.callback()
def show_feed(
    context: typer.Context,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    days: Annotated[int, typer.Option(help="How many days, the latest first.")] = 31,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Show what each source sent, and what became of it by day."""
    if context.invoked_subcommand is None:
        run_with_store(
            data_dir, env_file, lambda database, _: print_feed(database, organization, days)
        )


@feed.command("prune")
def prune_feed(
    older_than_days: Annotated[
        int,
        typer.Option(help="Since the end of the year in which they arrived.", min=LEAST_DAYS),
    ],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Archive the sums of old usage events and drop the events; no report changes."""
    run_with_store(
        data_dir, env_file, lambda database, _: prune(database, older_than_days, system_clock())
    )


@organizations.command("create")
def create_named(
    name: Annotated[str, typer.Argument(help="A name that no other organization has.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Create an organization."""

    async def command(database: Database, _: Settings) -> None:
        await create_organization(database, name, system_clock())
        stdout.print(f"created {name}", markup=False, highlight=False)

    run_with_store(data_dir, env_file, command)


@organizations.command("list")
def list_names(data_dir: DataDir = DEFAULT_DATA_DIR, env_file: EnvFile = None) -> None:
    """List the organizations, by name, with the months that their events cover."""

    async def command(database: Database, _: Settings) -> None:
        table = Table("Name", "From", "To")
        for row in await list_organizations(database):
            months = [
                str(Month.containing(day)) if day else ""
                for day in (row.first_month, row.last_month)
            ]
            table.add_row(row.name, *months)
        stdout.print(table)

    run_with_store(data_dir, env_file, command)


@cli.command("audit")
def export_audit(
    form: Annotated[
        AuditFormat, typer.Option("--format", help="A JSON object a line, or CSV.")
    ] = AuditFormat.NDJSON,
    action: Annotated[
        list[Action] | None,
        typer.Option(help="Only this action; repeatable. Without it, all.", show_default=False),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only what this user did.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only from then on: a month (its start) or an instant.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only before then, written alike.")] = None,
    organization: InOrganization = DEFAULT_ORGANIZATION,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    env_file: EnvFile = None,
) -> None:
    """Write the audit log to stdout: who did what, when, from where, by which key."""
    matching = EntriesMatching(
        actions=action or None,
        username=user,
        since=_instant(since) if since else None,
        until=_instant(until) if until else None,
    )
    run_with_store(
        data_dir,
        env_file,
        lambda database, _: print_audit_log(database, organization, matching, form),
    )


def _print_version(wanted: bool) -> None:
    if wanted:
        stdout.print(__version__, highlight=False)
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Read before any command."""
