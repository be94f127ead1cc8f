"""CPU seconds of the commands that must be quick, beside a Python that does nothing."""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping

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
