"""The start: CPU seconds of the commands that must be quick, and how soon the service is ready."""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from app.clock import system_clock
from app.server.store import open_store
from app.settings import Settings
from bench.processes import PORT, service_command
from bench.store import CACHE

NOTHING = "python -c pass"
VERSION = "chargeback --version"
COMPLETION = "completion of a command's name"


def measure_startup(rounds: int) -> Mapping[str, float]:
    """Return the least CPU seconds of each command."""
    completing = {
        "_CHARGEBACK_COMPLETE": "complete_bash",
        "COMP_WORDS": "chargeback mo",
        "COMP_CWORD": "1",
    }
    main = "import sys; sys.argv[0] = 'chargeback'; from app.cli import main; main()"
    return {
        NOTHING: min(_cpu_seconds(["-c", "pass"], {}) for _ in range(rounds)),
        VERSION: min(_cpu_seconds(["-c", main, "--version"], {}) for _ in range(rounds)),
        COMPLETION: min(_cpu_seconds(["-c", main], completing) for _ in range(rounds)),
    }


def _cpu_seconds(arguments: list[str], environment: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


async def measure_serve(rounds: int) -> float:
    """Return the least seconds until `serve` is ready on an existing store."""
    folder = CACHE / "startup"
    shutil.rmtree(folder, ignore_errors=True)
    async with open_store(Settings.load(database_url=None), folder, system_clock):
        pass
    seconds = [await asyncio.to_thread(_seconds_until_ready, folder) for _ in range(rounds)]
    shutil.rmtree(folder)
    return min(seconds)


def _seconds_until_ready(folder: Path) -> float:
    begin = time.perf_counter()
    with subprocess.Popen(
        service_command(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        is_ready = any(PORT.search(line) for line in process.stdout)
        seconds = time.perf_counter() - begin
        process.terminate()
        process.stdout.read()  # Until it has stopped, so that a full pipe does not hold it up.
    assert is_ready, "the service ended before it was ready"
    return seconds
