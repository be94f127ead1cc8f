"""The application behind a real socket, for clients that are programs of their own."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.db.engine import Database
from app.main import create_app
from app.settings import Settings
from tests.conftest import FixedClock
from tests.npm_packages import install_npm_packages


@pytest.fixture(scope="session")
def front_end() -> Path:
    """The folder of the scripts, with the clients and code generators installed."""
    return install_npm_packages(Path(__file__).parent / "front_end")


@pytest.fixture
async def address(database: Database, clock: FixedClock) -> AsyncIterator[str]:
    """The address of the application; `root` is in ADMIN_USER_LIST."""
    # The size of an organization that a query names is not looked up for its cost.
    settings = Settings.load(admin_user_list="root", graphql_max_cost=10**9)
    application = create_app(settings, database, clock)
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_level="error"))
    listener = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await serving
    await application.state.chargeback.audit.close()


async def run_node(folder: Path, *arguments: str, document: Any, key: str) -> Any:
    """Run a script of an installed npm folder with a JSON document; return the one it prints."""
    process = await asyncio.create_subprocess_exec(
        *("node", *arguments),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "KEY": key},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        printed, errors = await process.communicate(json.dumps(document).encode())
    assert process.returncode == 0, errors.decode()
    return json.loads(printed)
