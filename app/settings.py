"""Settings: the environment and the settings file, read here alone."""

import difflib
import os
import re
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

DEFAULT_ENV_FILE = Path("/etc/default/chargeback")

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


class SettingsError(Exception):
    """A setting has a bad value: one line that names it, the value, and what is allowed."""


def _switch(value: object) -> object:
    written = str(value).strip().lower()
    if written in _TRUE + _FALSE:
        return written in _TRUE
    raise ValueError(f"one of {', '.join(_TRUE + _FALSE)}")


def _names(value: object) -> object:
    if isinstance(value, str):
        return frozenset(name.strip() for name in value.split(",") if name.strip())
    return value


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        written = [each.strip() for each in value.split(",") if each.strip()]
        return tuple(str(ip_network(each)) for each in written)
    except ValueError:
        raise ValueError("addresses or networks such as 10.0.0.0/8, comma separated") from None


def _postgres_url(value: object) -> object:
    """An empty line in a settings file means the same as none: the embedded PostgreSQL."""
    if value in (None, ""):
        return None
    url = str(value)
    if url.split("://")[0] not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        raise ValueError("a URL that begins with postgresql://")
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def _or_none(value: object) -> object:
    """An empty line in a settings file means the same as none."""
    return None if value == "" else value


class LogFormat(StrEnum):
    """How the service writes its log."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least that the service logs: `info` has a line for each request."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _existing_file(value: object) -> object:
    if value in (None, ""):
        return None
    if not os.access(str(value), os.R_OK) or not Path(str(value)).is_file():
        raise ValueError("a file that is there and can be read")
    return Path(str(value))


Switch = Annotated[bool, BeforeValidator(_switch)]


class Settings(BaseSettings):
    """What an install may choose; every name is an environment variable in capitals."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, env_ignore_empty=False, hide_input_in_errors=False
    )

    database_url: Annotated[str | None, BeforeValidator(_postgres_url)] = Field(
        None, description="A PostgreSQL ≥ 15; without it the service runs its own."
    )
    database_pool_size: int = Field(
        10,
        ge=2,
        le=1000,
        description="Connections to PostgreSQL at the most, per process that answers requests.",
    )
    database_shared_snapshots: Switch = Field(
        True,
        description="Whether a request's statements run side by side; switch it off behind "
        "pgbouncer in transaction mode and on Citus.",
    )
    database_prepared_statements: Switch = Field(
        True,
        description="Whether statements are prepared; switch it off behind pgbouncer in "
        "transaction mode.",
    )
    admin_user_list: Annotated[frozenset[str], NoDecode, BeforeValidator(_names)] = Field(
        frozenset(),
        description="Usernames or emails, comma separated, who are admins of every organization.",
    )
    chargeback_usage_report_enabled: Switch = Field(
        True, description="Whether the report is served."
    )
    month_close_after_days: int | None = Field(
        None,
        ge=0,
        le=365,
        description="Close each month so many days after its end; by default never by itself.",
    )
    event_retention_days: int | None = Field(
        None,
        ge=400,
        le=36_500,
        description="Archive and drop the usage events of each year of arrival that ended so many "
        "days ago; by default never. For so long, duplicates are known as such.",
    )
    feed_max_body_bytes: int = Field(
        33_554_432,
        ge=1_000,
        le=134_217_728,
        description="The largest body that POST /api/events takes, as sent and as unpacked.",
    )
    graphql_max_body_bytes: int = Field(
        1_000_000, ge=1_000, le=100_000_000, description="The largest body of a GraphQL request."
    )
    graphql_max_tokens: int = Field(
        4_000, ge=100, le=1_000_000, description="The most tokens of a GraphQL query."
    )
    graphql_max_depth: int = Field(
        12, ge=5, le=100, description="How deep a GraphQL query may nest fields."
    )
    graphql_max_aliases: int = Field(
        50, ge=1, le=100_000, description="The most aliases of a GraphQL query."
    )
    graphql_max_directives: int = Field(
        100, ge=1, le=100_000, description="The most directives of a GraphQL query."
    )
    graphql_max_cost: int = Field(
        50_000_000,
        ge=1_000,
        le=10_000_000_000,
        description="The most that a GraphQL query may cost: values that its answer may hold.",
    )
    graphql_timeout_seconds: int = Field(
        8, ge=1, le=3600, description="How long a GraphQL query may take."
    )
    max_concurrent_queries_per_key: int = Field(
        50,
        ge=1,
        le=10_000,
        description="How many queries of a key may run at a time, by whatever route but that of "
        "the feed, in each process.",
    )
    graphiql_enabled: Switch = Field(
        True, description="Whether GraphiQL is served, with the way to sign in to it."
    )
    graphql_introspection_enabled: Switch = Field(
        True,
        description="Whether GraphQL tells its schema, also by suggestions after misspelt names.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_networks)] = Field(
        (),
        description="Addresses or networks of proxies, comma separated, whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed.",
    )
    body_timeout_seconds: int = Field(
        20,
        ge=1,
        le=3600,
        description="How long a request's body may take to arrive, beside a second per 50 kB.",
    )
    session_lifetime_hours: int = Field(
        12, ge=1, le=720, description="How long a sign-in lasts in the browser."
    )
    log_format: Annotated[LogFormat | None, BeforeValidator(_or_none)] = Field(
        None,
        description="How the log is written: a JSON object a line, or text. By default text on "
        "a terminal, JSON elsewhere.",
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="The least that is logged.")
    request_id_header: str = Field(
        "X-Request-ID",
        pattern=r"^[0-9A-Za-z-]{0,64}$",
        description="The header from which a request's id is taken when it is well-formed; "
        "empty: from none.",
    )
    slow_query_seconds: float = Field(
        1.0, gt=0, le=3600, description="From when on a request is logged as slow."
    )
    metrics_token: Annotated[str | None, BeforeValidator(_or_none)] = Field(
        None,
        pattern=r"^[\x21-\x7e]{16,}$",
        description="With it /metrics can be read without a key, and without the store.",
    )
    traces_endpoint: Annotated[str | None, BeforeValidator(_or_none)] = Field(
        None,
        pattern=r"^https?://",
        description="Where OpenTelemetry traces are sent, by OTLP over HTTP; by default nowhere.",
    )
    sources_file: Annotated[Path | None, BeforeValidator(_existing_file)] = Field(
        None, description="A file of TOML that lists sources to read, and how often."
    )

    @property
    def shown(self) -> dict[str, Any]:
        """The settings as they may be told; no token and no password."""
        shown: dict[str, Any] = self.model_dump(mode="json")
        if self.database_url is not None:
            shown["database_url"] = _without_password(self.database_url)
        shown["metrics_token"] = None if self.metrics_token is None else _HIDDEN
        return shown

    @classmethod
    def load(cls, env_file: Path | None = None, **overrides: Any) -> Self:
        """The environment, then the settings file; the environment wins.

        Args:
            env_file: The settings file; by default /etc/default/chargeback when it exists.
            overrides: Values that win over both.

        Raises:
            SettingsError: A bad value, or a settings file that cannot be read.
        """
        if env_file is not None and not env_file.is_file():
            raise SettingsError(f"--env-file {env_file}: there is no such file.")
        chosen = env_file or (DEFAULT_ENV_FILE if DEFAULT_ENV_FILE.is_file() else None)
        if chosen is not None and not os.access(chosen, os.R_OK):
            raise SettingsError(f"{chosen}: the settings file cannot be read.")
        try:
            return cls(_env_file=chosen, **overrides)
        except ValidationError as error:
            raise SettingsError(_one_line(error)) from None


_HIDDEN = "…"


@dataclass(frozen=True)
class SettingsFile:
    """The lines of a settings file; of several lines of a setting the last one counts."""

    text: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """An empty one when there is no such file."""
        return cls(file.read_text(encoding="utf-8") if file.exists() else "")

    def with_setting(self, name: str, value: str) -> Self:
        """The setting's lines replaced by one, in the place of the last; without a value by none.

        Raises:
            SettingsError: There is no such setting, or a file cannot hold the value.
        """
        if name not in _setting_names():
            near = difflib.get_close_matches(name.upper(), _setting_names(), n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise SettingsError(f"There is no setting {name!r}.{hint}")
        if "\n" in value or "${" in value:
            raise SettingsError(
                f"{name}: a value in a settings file holds no line break and no ${{."
            )
        lines = self.text.splitlines()
        own = [number for number, line in enumerate(lines) if _names_setting(line, name)]
        place = own[-1] if own else len(lines)
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        lines[place : place + 1] = [f"{name}='{escaped}'"] if value else []
        kept = [line for number, line in enumerate(lines) if number not in own[:-1]]
        return type(self)("".join(f"{line}\n" for line in kept))

    def insist_on_good_values(self) -> None:
        """Refuse what would stop the next start.

        Raises:
            SettingsError: A bad value.
        """
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(self.text)
            file.flush()
            Settings.load(Path(file.name))


def _names_setting(line: str, name: str) -> bool:
    written, equals, _ = line.partition("=")
    return bool(equals) and written.strip().removeprefix("export ").strip() == name


def _setting_names() -> list[str]:
    return [name.upper() for name in Settings.model_fields]


def settings_file_of_defaults() -> str:
    """A settings file that says of each setting what it is and its default, and sets none."""
    lines = ["# Settings of the chargeback admin API. A later line overrides an earlier one."]
    for name, described in Settings.model_fields.items():
        default = described.default
        shown = "" if not default and default is not False else str(default)
        lines += ["", f"# {described.description}", f"#{name.upper()}='{shown}'"]
    return "\n".join([*lines, ""])


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]).upper() if first["loc"] else "settings"
    allowed = first["msg"].removeprefix("Value error, ")
    value = _HIDDEN if name == "METRICS_TOKEN" else repr(_without_password(str(first["input"])))
    return f"{name}={value} is not allowed: {allowed}."


def _without_password(url: str) -> str:
    """An address as a log may have it."""
    hidden = re.sub(r"(://[^/?#]*?:)[^/?#]*(?=@)", r"\1…", url)
    return re.sub(r"(?i)((?:^|[?&])(?:ssl)?password=)[^&]*", r"\1…", hidden)
