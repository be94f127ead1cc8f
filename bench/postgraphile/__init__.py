"""PostGraphile 5 on the tables of the store."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from app.domain.sizes import to_megabytes
from bench.processes import Client, run_server
from bench.store import MONTH, say

_HERE = Path(__file__).parent
_MODULES = _HERE.parent / ".node"

_WORKSPACE = """
    name experiments sizeBytes
    members: membersList(condition: { present: true }, orderBy: USERNAME_ASC) {
        username account { email } experiments sizeBytes
    }
    projects: projectsList(condition: { present: true }, orderBy: NAME_ASC) {
        name experiments sizeBytes
    }
"""


def _select_workspaces(selection: str, *, first: int | None = None) -> str:
    page = "" if first is None else f", first: {first}"
    return f"""
        workspaces: allWorkspaceMonthsList(
            condition: {{ month: "{MONTH.first_day}", present: true }}, orderBy: NAME_ASC{page}
        ) {{ {selection} }}
    """


NARROW = f"{{ {_select_workspaces('name sizeBytes')} }}"
PAGE = f"{{ {_select_workspaces(_WORKSPACE, first=50)} }}"
FIRST_MEMBERS = f"""{{ {
    _select_workspaces('''
    name
    members: membersList(condition: { present: true }, orderBy: USERNAME_ASC, first: 10) {
        username experiments sizeBytes
    }
''')
} }}"""
FULL = f"""{{
    {_select_workspaces(_WORKSPACE)}
    users: allUserMonthsList(
        condition: {{ month: "{MONTH.first_day}", licensed: true }}, orderBy: USERNAME_ASC
    ) {{
        username email createdAt uiUsageCount uiUsedAt sdkUsageCount sdkUsedAt suspended
    }}
}}"""
"""The figures of the full document. The client counts members and rounds sizes."""


def install() -> None:
    """Install Node 22 and PostGraphile from npm into `bench/.node`, unless they are there."""
    manifest = (_HERE / "package.json").read_bytes()
    installed = _MODULES / "package.json"
    if (_MODULES / "installed").exists() and installed.read_bytes() == manifest:
        return
    npm = shutil.which("npm")
    assert npm is not None, "npm is missing: run with --without-postgraphile"
    say("Installing PostGraphile …")
    _MODULES.mkdir(exist_ok=True)
    installed.write_bytes(manifest)
    subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=_MODULES, check=True
    )
    (_MODULES / "installed").touch()


def read_version() -> str:
    """Return the installed version."""
    import orjson

    package = _MODULES / "node_modules/postgraphile/package.json"
    return str(orjson.loads(package.read_bytes())["version"])


@asynccontextmanager
async def run_postgraphile(url: str, log: Path) -> AsyncIterator[Client]:
    """Run PostGraphile on a database."""
    install()
    shutil.copy(_HERE / "server.mjs", _MODULES / "server.mjs")
    node = _MODULES / "node_modules/.bin/node"
    environment = {**_libpq_environment(url), "NODE_ENV": "production"}
    async with run_server(
        [node, _MODULES / "server.mjs"], log=log, environment=environment
    ) as client:
        yield client


def _libpq_environment(url: str) -> Mapping[str, str]:
    """Return libpq's environment variables for a database; its host may be a socket folder."""
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    variables = {
        "PGHOST": options.get("host", [parts.hostname or "localhost"])[0],
        "PGPORT": options.get("port", [str(parts.port or 5432)])[0],
        "PGUSER": parts.username or "postgres",
        "PGDATABASE": parts.path.lstrip("/"),
    }
    return {**variables, "PGPASSWORD": parts.password} if parts.password else variables


def extract_figures(response: Any) -> Any:
    """Return the figures in the form in which full documents are compared."""
    data = response["data"]
    return {
        "workspaces": [_to_workspace(each) for each in data["workspaces"]],
        "users": [_to_user(each) for each in data["users"]],
    }


def extract_narrow(response: Any) -> Any:
    """Return the response to `NARROW` as the product's."""
    return _to_response(
        {"name": each["name"], "totalSizeInMb": to_megabytes(int(each["sizeBytes"]))}
        for each in response["data"]["workspaces"]
    )


def extract_page(response: Any) -> Any:
    """Return the response to `PAGE` as the product's."""
    return _to_response(_to_workspace(each) for each in response["data"]["workspaces"])


def extract_first_members(response: Any) -> Any:
    """Return the response to `FIRST_MEMBERS` as the product's."""
    return _to_response(
        {
            "name": each["name"],
            "members": [
                {"userName": member["username"], **_to_sizes(member)} for member in each["members"]
            ],
        }
        for each in response["data"]["workspaces"]
    )


def _to_response(workspaces: Iterable[dict[str, Any]]) -> Any:
    return {"data": {"chargebackReport": {"workspaces": list(workspaces)}}}


def _to_workspace(node: Any) -> dict[str, Any]:
    members = [
        {"userName": each["username"], "email": each["account"]["email"], **_to_sizes(each)}
        for each in node["members"]
    ]
    projects = [{"name": each["name"], **_to_sizes(each)} for each in node["projects"]]
    return {
        "name": node["name"],
        "numberOfMembers": len(members),
        **_to_sizes(node),
        "members": members,
        "projects": projects,
    }


def _to_sizes(node: Any) -> dict[str, Any]:
    """Convert counts and sizes; PostGraphile writes 64-bit integers as text."""
    return {
        "numberOfExperiments": int(node["experiments"]),
        "totalSizeInMb": to_megabytes(int(node["sizeBytes"])),
    }


def _to_user(node: Any) -> dict[str, Any]:
    return {
        "username": node["username"],
        "email": node["email"],
        "createdAt": parse_instant(node["createdAt"]),
        "uiUsageCount": int(node["uiUsageCount"]),
        "uiUsageUpdatedAt": parse_instant(node["uiUsedAt"]),
        "sdkUsageCount": int(node["sdkUsageCount"]),
        "sdkUsageUpdatedAt": parse_instant(node["sdkUsedAt"]),
        "suspended": node["suspended"],
    }


def parse_instant(text: str | None) -> datetime | None:
    """Parse a timestamp in any ISO 8601 format."""
    return None if text is None else datetime.fromisoformat(text)
