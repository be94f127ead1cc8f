"""Settings: the only reader of the environment and of the settings file."""

import difflib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.domain.text import normalize_name

DEFAULT_ENV_FILE = Path("/etc/default/chargeback")
PASSWORD_VARIABLE = "PGPASSWORD"  # noqa: S105  the name of a variable
"""PostgreSQL's own variable; `db move` takes the new database's password from it."""

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


class SettingsError(Exception):
    """A setting is invalid: a line for each names the setting, the value and what is allowed."""


def _parse_bool(value: object) -> object:
    text = str(value).strip().lower()
    if text in _TRUE + _FALSE:
        return text in _TRUE
    raise ValueError(f"one of {', '.join(_TRUE + _FALSE)}")


def _parse_names(value: object) -> object:
    if isinstance(value, str):
        return frozenset(normalize_name(name.strip()) for name in value.split(",") if name.strip())
    return value


def _parse_networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        networks = [each.strip() for each in value.split(",") if each.strip()]
        return tuple(str(ip_network(each)) for each in networks)
    except ValueError:
        raise ValueError("addresses or networks such as 10.0.0.0/8, comma separated") from None


def _parse_origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    origins = tuple(each.strip() for each in value.split(",") if each.strip())
    if not all(_ORIGIN.fullmatch(each) for each in origins):
        raise ValueError("origins such as https://reports.example.com, comma separated")
    return origins


def _parse_postgres_url(value: object) -> object:
    if value in (None, ""):
        return None
    url = str(value)
    if url.split("://")[0] not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        raise ValueError("a URL that begins with postgresql://")
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def _empty_to_none(value: object) -> object:
    """Read an empty line of a settings file as unset."""
    return None if value == "" else value


def _require_readable_file(value: object) -> object:
    if value in (None, ""):
        return None
    if not os.access(str(value), os.R_OK) or not Path(str(value)).is_file():
        raise ValueError("a file that exists and can be read")
    return Path(str(value))


class LogFormat(StrEnum):
    """The formats of the log."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The lowest level to log; `info` has a line for each request."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


Boolean = Annotated[bool, BeforeValidator(_parse_bool)]


class Settings(BaseSettings):
    """The settings of an installation. Each is an environment variable of the same name."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, env_ignore_empty=False, hide_input_in_errors=False
    )

    database_url: Annotated[str | None, BeforeValidator(_parse_postgres_url)] = Field(
        None, description="URL of a PostgreSQL database, 15 or newer. Unset: embedded PostgreSQL."
    )
    database_pool_size: int = Field(
        10,
        ge=2,
        le=1000,
        description="Maximum connections to PostgreSQL per service process.",
    )
    database_shared_snapshots: Boolean = Field(
        True,
        description="Run a request's statements in parallel, on connections that share a "
        "snapshot. Turn it off behind pgbouncer in transaction mode.",
    )
    database_prepared_statements: Boolean = Field(
        True,
        description="Use prepared statements. Turn it off behind pgbouncer in transaction mode.",
    )
    admin_user_list: Annotated[frozenset[str], NoDecode, BeforeValidator(_parse_names)] = Field(
        frozenset(),
        description="Usernames or emails of admins of every organization, comma separated.",
    )
    chargeback_usage_report_enabled: Boolean = Field(True, description="Serve the report.")
    month_close_after_days: int | None = Field(
        None,
        ge=0,
        le=365,
        description="Close each month automatically this many days after its end. Unset: never.",
    )
    focus_provider_name: str = Field(
        "Chargeback",
        min_length=1,
        max_length=100,
        description="The provider, publisher and invoice issuer in FOCUS files of charges.",
    )
    event_retention_days: int | None = Field(
        None,
        ge=400,
        le=36_500,
        description="Archive and delete the usage events that arrived in a year this many days "
        "after the year's end. Unset: never. Until then duplicates are recognized.",
    )
    feed_max_body_bytes: int = Field(
        33_554_432,
        ge=1_000,
        le=134_217_728,
        description="Maximum body of POST /api/events in bytes, as sent and as decompressed.",
    )
    feed_max_age_days: int = Field(
        1_095,
        ge=1,
        le=36_500,
        description="How many days ago an event of POST /api/events may have happened. Imports "
        "and connectors may go further back.",
    )
    feed_max_batch_rows: int = Field(
        250_000,
        ge=1_000,
        le=100_000_000,
        description="Maximum month rows that a batch of POST /api/events may write.",
    )
    free_space_reserve_mb: int = Field(
        512,
        ge=0,
        le=1_000_000,
        description="Refuse events while the disk of the embedded PostgreSQL has less free space, "
        "so that reports and the revoking of keys go on.",
    )
    graphql_max_body_bytes: int = Field(
        1_000_000,
        ge=1_000,
        le=100_000_000,
        description="Maximum body of a GraphQL request in bytes.",
    )
    graphql_max_tokens: int = Field(
        4_000, ge=100, le=1_000_000, description="Maximum tokens of a GraphQL query."
    )
    graphql_max_depth: int = Field(
        12, ge=5, le=100, description="Maximum nesting of fields of a GraphQL query."
    )
    graphql_max_aliases: int = Field(
        50, ge=1, le=100_000, description="Maximum aliases of a GraphQL query."
    )
    graphql_max_directives: int = Field(
        100, ge=1, le=100_000, description="Maximum directives of a GraphQL query."
    )
    graphql_max_cost: int = Field(
        60_000_000,
        ge=1_000,
        le=10_000_000_000,
        description="Maximum cost of a GraphQL query: the values that its response may hold.",
    )
    graphql_timeout_seconds: int = Field(
        8, ge=1, le=3600, description="Timeout of a GraphQL query."
    )
    max_concurrent_queries_per_key: int = Field(
        50,
        ge=1,
        le=10_000,
        description="Maximum concurrent requests of one API key per service process, not "
        "counting POST /api/events.",
    )
    graphiql_enabled: Boolean = Field(True, description="Serve the pages and GraphiQL.")
    graphql_introspection_enabled: Boolean = Field(
        True,
        description="Allow GraphQL introspection and suggestions for misspelt names.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_networks)] = (
        Field(
            (),
            description="Addresses or networks of proxies, comma separated, whose "
            "X-Forwarded-For and X-Forwarded-Proto are trusted.",
        )
    )
    cors_allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parse_origins)] = (
        Field(
            (),
            description="Origins of web pages, comma separated, that may call the API from a "
            "browser with an API key. Unset: none.",
        )
    )
    body_timeout_seconds: int = Field(
        20,
        ge=1,
        le=3600,
        description="Timeout for receiving a request's body, plus one second per 50 kB.",
    )
    session_lifetime_hours: int = Field(
        12, ge=1, le=720, description="How long a browser session lasts."
    )
    log_format: Annotated[LogFormat | None, BeforeValidator(_empty_to_none)] = Field(
        None,
        description="Log format. Unset: text on a terminal, JSON elsewhere.",
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="Lowest level to log.")
    request_id_header: str = Field(
        "X-Request-ID",
        pattern=r"^[0-9A-Za-z-]{0,64}$",
        description="Header that carries a request's id. Empty: ignore ids of clients.",
        json_schema_extra={"allowed": "a name of at most 64 letters, digits and hyphens"},
    )
    slow_query_seconds: float = Field(
        1.0, gt=0, le=3600, description="Log requests that take longer as slow."
    )
    metrics_token: Annotated[str | None, BeforeValidator(_empty_to_none)] = Field(
        None,
        pattern=r"^[\x21-\x7e]{16,}$",
        description="Token for /metrics. With it /metrics needs neither an API key nor the store.",
        json_schema_extra={"allowed": "16 or more printable ASCII characters, no spaces"},
    )
    traces_endpoint: Annotated[str | None, BeforeValidator(_empty_to_none)] = Field(
        None,
        pattern=r"^https?://",
        description="URL to send OpenTelemetry traces to, by OTLP over HTTP. Unset: no traces.",
        json_schema_extra={"allowed": "a URL that begins with http:// or https://"},
    )
    sources_file: Annotated[Path | None, BeforeValidator(_require_readable_file)] = Field(
        None, description="TOML file that lists sources to read, and how often."
    )

    @property
    def redacted(self) -> dict[str, Any]:
        """The settings as JSON values, with tokens and passwords removed."""
        values = {
            name: redact_password(value) if isinstance(value, str) else value
            for name, value in self.model_dump(mode="json").items()
        }
        values["metrics_token"] = None if self.metrics_token is None else _REDACTED
        return values

    @classmethod
    def load(cls, env_file: Path | None = None, **overrides: Any) -> Self:
        """Read the environment and the settings file; the environment takes precedence.

        Args:
            env_file: The settings file. None: /etc/default/chargeback, if it exists.
            overrides: Values that take precedence over both.

        Raises:
            SettingsError: A value is invalid, or the settings file cannot be read.
        """
        if env_file is not None and not env_file.is_file():
            raise SettingsError(f"--env-file {env_file}: the file does not exist.")
        chosen = env_file or (DEFAULT_ENV_FILE if DEFAULT_ENV_FILE.is_file() else None)
        if chosen is not None and not os.access(chosen, os.R_OK):
            raise SettingsError(f"{chosen}: the settings file cannot be read.")
        try:
            return cls(_env_file=chosen, **overrides)
        except ValidationError as error:
            raise SettingsError(_format_errors(error)) from None


_REDACTED = "…"


@dataclass(frozen=True)
class SettingsFile:
    """The text of a settings file. If a setting has several lines, the last one counts."""

    text: str

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file; a file that does not exist is empty."""
        return cls(file.read_text(encoding="utf-8") if file.exists() else "")

    def with_setting(self, name: str, value: str) -> Self:
        """Return a copy that sets the setting once, where its last line was.

        An empty value removes the setting.

        Raises:
            SettingsError: The setting does not exist, or a file cannot hold the value.
        """
        if name not in _setting_names():
            matches = difflib.get_close_matches(name.upper(), _setting_names(), n=1)
            hint = f" Did you mean {matches[0]}?" if matches else ""
            raise SettingsError(f"There is no setting {name!r}.{hint}")
        if "\n" in value or "${" in value:
            raise SettingsError(f"{name}: a settings file cannot hold a line break or ${{.")
        lines = self.text.splitlines()
        existing = [index for index, line in enumerate(lines) if _is_line_of(line, name)]
        position = existing[-1] if existing else len(lines)
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        lines[position : position + 1] = [f"{name}='{escaped}'"] if value else []
        kept = [line for index, line in enumerate(lines) if index not in existing[:-1]]
        return type(self)("".join(f"{line}\n" for line in kept))

    def validate(self) -> None:
        """Reject values with which the service would not start.

        Raises:
            SettingsError: A value is invalid.
        """
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(self.text)
            file.flush()
            Settings.load(Path(file.name))


def _is_line_of(line: str, name: str) -> bool:
    key, equals, _ = line.partition("=")
    return bool(equals) and key.strip().removeprefix("export ").strip() == name


def _setting_names() -> list[str]:
    return [name.upper() for name in Settings.model_fields]


def default_settings_file() -> str:
    """Return a settings file with each setting's description and default, all commented out."""
    lines = ["# Settings of the chargeback admin API. A later line overrides an earlier one."]
    for name, field in Settings.model_fields.items():
        default = field.default
        text = "" if not default and default is not False else str(default)
        lines += ["", f"# {field.description}", f"#{name.upper()}='{text}'"]
    return "\n".join([*lines, ""])


def _format_errors(error: ValidationError) -> str:
    """Return a line for each invalid setting, in our own words."""
    schema = Settings.model_json_schema()
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0])
        text = repr(redact_password(str(problem["input"])))
        value = _REDACTED if name == "metrics_token" else text
        own_words = problem.get("ctx", {}).get("error")
        allowed = own_words or _describe_allowed(schema["properties"][name], schema["$defs"])
        lines.append(f"{name.upper()}={value} is not allowed: use {allowed}.")
    return "\n".join(lines)


def _describe_allowed(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Describe a JSON schema's values, such as "a whole number from 1 to 720"."""
    if "allowed" in schema:
        return str(schema["allowed"])
    if "$ref" in schema:
        return _describe_allowed(definitions[schema["$ref"].rsplit("/")[-1]], definitions)
    if "anyOf" in schema:
        (schema,) = (each for each in schema["anyOf"] if each.get("type") != "null")
        return _describe_allowed(schema, definitions)
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    kind = "a whole number" if schema["type"] == "integer" else "a number"
    lower = f"from {schema['minimum']:,}" if "minimum" in schema else "above 0"
    return f"{kind} {lower} to {schema['maximum']:,}"


def read_password() -> str | None:
    """Return the password that PostgreSQL's own programs would use."""
    return os.environ.get(PASSWORD_VARIABLE)


def read_sudo_user() -> str | None:
    """Return the user who called sudo; None without sudo."""
    return os.environ.get("SUDO_USER")


def redact_password(text: str) -> str:
    """Replace the secrets of a URL or a connection string by an ellipsis.

    These are its password, parameters that are named like secrets, and a user without a password
    over HTTP, which is a token.
    """
    redacted = re.sub(r"(://[^/?#]*?:)[^/?#]*(?=@)", r"\1…", text)
    redacted = re.sub(r"(https?://)[^/?#:]*(?=@)", r"\1…", redacted)
    return re.sub(r"(?i)((?:^|[?&])[^=&]*(?:password|key|token|secret)=)[^&]*", r"\1…", redacted)
