"""Read-only access to the database of another system: PostgreSQL, MySQL or SQLite."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, bindparam, create_engine, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.domain.errors import InvalidArgument, SourceUnavailable

_CONNECT_SECONDS = 10
_POSTGRESQL = ("postgres", "postgresql")
_MYSQL = ("mysql", "mariadb")
_SQLITE = ("sqlite",)


class ExternalDatabase:
    """A database of another system, read with the same statements whatever its kind.

    Args:
        url: An SQLAlchemy URL. The driver that it names (`postgresql+psycopg2`) is replaced by the
            one that this service uses.

    Raises:
        InvalidArgument: The URL is malformed or of another kind, or a driver is missing.
    """

    def __init__(self, url: str) -> None:
        self._async: AsyncEngine | None = None
        self._sync: Engine | None = None
        try:
            parsed = make_url(url)
            kind = parsed.drivername.split("+")[0]
            self.display_url = parsed.render_as_string(hide_password=True)
            if kind in _POSTGRESQL:
                self._async = create_async_engine(
                    parsed.set(drivername="postgresql+asyncpg"),
                    # Some poolers reject prepared statements.
                    connect_args={"statement_cache_size": 0, "timeout": _CONNECT_SECONDS},
                    execution_options={"postgresql_readonly": True},
                    pool_size=1,
                    hide_parameters=True,
                )
            elif kind in _MYSQL:
                self._sync = create_engine(
                    parsed.set(drivername="mysql+pymysql"), pool_size=1, hide_parameters=True
                )
            elif kind in _SQLITE:
                self._sync = _create_sqlite_engine(parsed.database)
            else:
                raise InvalidArgument(
                    f"The database must be PostgreSQL, MySQL or SQLite; got {self.display_url}."
                )
        except (ArgumentError, NoSuchModuleError):
            raise InvalidArgument(
                "The database must be a URL such as postgresql://user:password@host/name, "
                "mysql://… or sqlite:////path/to/mlflow.db."
            ) from None
        except ModuleNotFoundError as missing:
            raise InvalidArgument(
                f"{self.display_url}: the driver {missing.name} is not installed. Install "
                "chargeback-admin-api[mysql]."
            ) from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._async is not None:
            await self._async.dispose()
        if self._sync is not None:
            self._sync.dispose()

    async def fetch_rows(
        self, statement: str, parameters: Mapping[str, Any] | None = None
    ) -> Sequence[Any]:
        """Execute a statement and return all its rows.

        Args:
            statement: SQL with `:name` parameters; write `IN :name` for a list.
            parameters: Their values.

        Raises:
            SourceUnavailable: The database cannot be reached, or rejects the statement.
        """
        lists = [name for name, value in (parameters or {}).items() if isinstance(value, list)]
        prepared = text(statement).bindparams(*(bindparam(name, expanding=True) for name in lists))

        def read(connection: Connection) -> Sequence[Any]:
            return connection.execute(prepared, parameters or {}).all()

        found: Sequence[Any] = await self._run(read)
        return found

    async def list_tables(self) -> frozenset[str]:
        """Return the names of the tables."""
        found: frozenset[str] = await self._run(
            lambda connection: frozenset(inspect(connection).get_table_names())
        )
        return found

    def quote_name(self, name: str) -> str:
        """Quote a name that is a keyword in some databases."""
        engine = self._async.sync_engine if self._async is not None else self._sync
        assert engine is not None  # noqa: S101  one of the two is set
        return str(engine.dialect.identifier_preparer.quote_identifier(name))

    async def _run(self, read: Any) -> Any:
        try:
            if self._async is not None:
                async with self._async.connect() as connection:
                    return await connection.run_sync(read)
            return await asyncio.to_thread(self._read_sync, read)
        except (DBAPIError, OSError) as error:
            reason = str(getattr(error, "orig", None) or error)
            raise SourceUnavailable(f"{self.display_url} cannot be read: {reason}") from error

    def _read_sync(self, read: Any) -> Any:
        assert self._sync is not None  # noqa: S101  one of the two is set
        with self._sync.connect() as connection:
            if self._sync.dialect.name == "mysql":
                connection.execute(text("SET TRANSACTION READ ONLY"))
            return read(connection)


def _create_sqlite_engine(file: str | None) -> Engine:
    """Open the file read-only. Otherwise SQLite creates a missing file and locks a present one."""
    if not file or not Path(file).is_file():
        raise InvalidArgument(f"sqlite:///{file or ''}: no such file.")
    path = Path(file).resolve().as_uri()
    return create_engine(f"sqlite:///{path}?mode=ro&uri=true", hide_parameters=True)
