"""PostGraphile 5 on the store's own tables."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.domain.sizes import to_megabytes
from bench.processes import Client, serving
from bench.store import MONTH, say

_HERE = Path(__file__).parent
_MODULES = _HERE.parent / ".node"

_FULL = f"""{{
    workspaces: allWorkspaceMonthsList(
        condition: {{ month: "{MONTH.first_day}", present: true }}, orderBy: NAME_ASC
    ) {{
        name experiments sizeBytes
        members: membersList(condition: {{ present: true }}, orderBy: USERNAME_ASC) {{
            username account {{ email }} experiments sizeBytes
        }}
        projects: projectsList(condition: {{ present: true }}, orderBy: NAME_ASC) {{
            name experiments sizeBytes
        }}
    }}
    users: allUserMonthsList(
        condition: {{ month: "{MONTH.first_day}", licensed: true }}, orderBy: USERNAME_ASC
    ) {{
        username email createdAt uiUsageCount uiUsedAt sdkUsageCount sdkUsedAt suspended
    }}
}}"""
"""The figures of the full document; counting members and rounding bytes is left to the client."""


def install() -> None:
    """Node 22 and PostGraphile from npm, once, into a folder of their own."""
    wanted = (_HERE / "package.json").read_bytes()
    installed = _MODULES / "package.json"
    if (_MODULES / "installed").exists() and installed.read_bytes() == wanted:
        return
    npm = shutil.which("npm")
    assert npm is not None, "npm is missing: run with --without-postgraphile"
    say("Installing PostGraphile …")
    _MODULES.mkdir(exist_ok=True)
    installed.write_bytes(wanted)
    subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=_MODULES, check=True
    )
    (_MODULES / "installed").touch()


def version() -> str:
    """The installed version."""
    import orjson

    package = _MODULES / "node_modules/postgraphile/package.json"
    return str(orjson.loads(package.read_bytes())["version"])


@asynccontextmanager
async def postgraphile(url: str, log: Path) -> AsyncIterator[Client]:
    """PostGraphile on a database."""
    install()
    shutil.copy(_HERE / "server.mjs", _MODULES / "server.mjs")
    node = _MODULES / "node_modules/.bin/node"
    environment = {**_libpq(url), "NODE_ENV": "production"}
    async with serving([node, _MODULES / "server.mjs"], log=log, environment=environment) as found:
        yield found


def _libpq(url: str) -> Mapping[str, str]:
    """Where the database is, in the words of node-postgres; its host may be a socket's folder."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    found = {
        "PGHOST": options.get("host", [parts.hostname or "localhost"])[0],
        "PGPORT": options.get("port", [str(parts.port or 5432)])[0],
        "PGUSER": parts.username or "postgres",
        "PGDATABASE": parts.path.lstrip("/"),
    }
    return {**found, "PGPASSWORD": parts.password} if parts.password else found


async def full(client: Client) -> bytes:
    """The figures of the full document."""
    return await client.ask(_FULL)


def figures(answer: Any) -> Any:
    """The answer in the form in which full documents are compared."""
    found = answer["data"]
    return {
        "workspaces": [_workspace(each) for each in found["workspaces"]],
        "users": [_user(each) for each in found["users"]],
    }


def _workspace(found: Any) -> dict[str, Any]:
    members = [
        {"userName": each["username"], "email": each["account"]["email"], **_sizes(each)}
        for each in found["members"]
    ]
    projects = [{"name": each["name"], **_sizes(each)} for each in found["projects"]]
    return {
        "name": found["name"],
        "numberOfMembers": len(members),
        **_sizes(found),
        "members": members,
        "projects": projects,
    }


def _sizes(found: Any) -> dict[str, Any]:
    """PostGraphile writes 64-bit integers as text."""
    return {
        "numberOfExperiments": int(found["experiments"]),
        "totalSizeInMb": to_megabytes(int(found["sizeBytes"])),
    }


def _user(found: Any) -> dict[str, Any]:
    return {
        "username": found["username"],
        "email": found["email"],
        "createdAt": instant(found["createdAt"]),
        "uiUsageCount": int(found["uiUsageCount"]),
        "uiUsageUpdatedAt": instant(found["uiUsedAt"]),
        "sdkUsageCount": int(found["sdkUsageCount"]),
        "sdkUsageUpdatedAt": instant(found["sdkUsedAt"]),
        "suspended": found["suspended"],
    }


def instant(written: str | None) -> datetime | None:
    """An instant, however it is written."""
    return None if written is None else datetime.fromisoformat(written)
