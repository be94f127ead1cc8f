"""A real `chargeback serve` process, as a newcomer starts it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import psutil

CHARGEBACK = (sys.executable, "-m", "app")
START_SECONDS = 240
"""How long a start with the demo may take: 5 s, and 80 with a fifth of a processor to itself, as
beside other tests. How soon a service is ready is measured elsewhere."""


def environment(**changes: str) -> dict[str, str]:
    """This process's environment with changes, and none of the service's settings."""
    ours = (
        "DATABASE_",
        "CHARGEBACK_",
        "ADMIN_USER_LIST",
        "MONTH_",
        "FEED_",
        "SESSION_",
        "GRAPH",
        "TRUSTED_",
        "LOG_",
        "METRICS_",
        "TRACES_",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **changes}


def run(
    *words: str, data_dir: Path | None = None, standard_input: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """A command of the product, to its end."""
    folder = ("--data-dir", str(data_dir)) if data_dir is not None else ()
    return subprocess.run(
        (*CHARGEBACK, *words, *folder),
        input=standard_input.decode(),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        env=environment(),
        check=False,
    )


@dataclass
class Served:
    """A service that runs until `stop` or `kill`; what it printed is in `lines`.

    `folder` is the one that it is started in.
    """

    data_dir: Path
    words: tuple[str, ...] = ("--demo",)
    settings: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = CHARGEBACK
    folder: Path | None = None
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            (*self.program, "serve", "--port", "0", "--data-dir", str(self.data_dir), *self.words),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**self.settings),
        )
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_SECONDS):
            self.kill()
            raise AssertionError(f"not ready in {START_SECONDS} s: {self.lines}")
        assert self.process.poll() is None, f"it ended with {self.process.poll()}: {self.lines}"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "Ctrl-C stops it." in line:
                self._ready.set()
        self._ready.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def said(self, beginning: str) -> str:
        """The rest of the first line that begins so."""
        return next(
            line.removeprefix(beginning) for line in self.lines if line.startswith(beginning)
        )

    @property
    def url(self) -> str:
        return re.sub("/graphql$", "", self.said("GraphiQL: "))

    @property
    def key(self) -> str:
        return self.said("API key: ")

    @property
    def feeder(self) -> psutil.Process:
        """The process that stores the feed's events."""
        children = psutil.Process(self.process.pid).children()
        return next(
            each for each in children if "app.server.ingest_worker" in " ".join(each.cmdline())
        )

    def resident_bytes(self) -> int:
        """What both processes have in memory; PostgreSQL's are not counted."""
        both = (psutil.Process(self.process.pid), self.feeder)
        return sum(int(each.memory_info().rss) for each in both)

    def stop(self, wish: signal.Signals = signal.SIGINT) -> int:
        """End it as a person would; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(wish)
        return self._ended()

    def _ended(self) -> int:
        status = self.process.wait(30)
        self._reader.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def kill(self) -> None:
        """End it as an accident would."""
        self.process.kill()
        self._ended()


class Keyed(NamedTuple):
    """A service on an empty store, and the key of `root`, who is in ADMIN_USER_LIST."""

    served: Served
    key: str

    @property
    def url(self) -> str:
        return self.served.url

    @property
    def data_dir(self) -> Path:
        return self.served.data_dir


@contextmanager
def keyed(folder: Path, **settings: str) -> Iterator[Keyed]:
    """A service for the length of a block."""
    settings = {"ADMIN_USER_LIST": "root", **settings}
    with Served(folder, words=(), settings=settings) as served:
        yield Keyed(served, minted(folder)[0])


def minted(folder: Path, *words: str) -> list[str]:
    """A new key of `root` in all the forms that are printed."""
    scopes = ("--scope", "admin", *words)
    printed = run("keys", "create", "--user", "root", *scopes, data_dir=folder)
    return re.findall(r": (cbk_\S+)", printed.stdout)
