"""The hardware and versions that figures were measured with, without host names or paths."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from app import __version__
from bench import postgraphile

_PACKAGES = (
    *("strawberry-graphql", "graphql-core", "sqlalchemy", "asyncpg", "orjson", "starlette"),
    *("uvicorn", "uvloop", "msgspec"),
)


def describe_machine() -> dict[str, Any]:
    """Describe the hardware."""
    return {
        "cores": psutil.cpu_count(),
        "cpu": _cpu_model(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "load_at_start": round(psutil.getloadavg()[0], 1),
        "system": platform.system(),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


async def read_versions(url: str, *, with_postgraphile: bool) -> dict[str, str]:
    """Return the versions of the product and of everything that affects its speed."""
    versions = {"chargeback": __version__, "python": platform.python_version()}
    connection = await asyncpg.connect(url)
    versions["postgresql"] = await connection.fetchval("SHOW server_version")
    await connection.close()
    if with_postgraphile:
        versions["postgraphile"] = postgraphile.read_version()
    return {**versions, **{name: version(name) for name in _PACKAGES}}
