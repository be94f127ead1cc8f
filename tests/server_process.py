"""Run the real `chargeback` program: `serve` as a process, other commands to their end."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self

import psutil

CHARGEBACK = (sys.executable, "-m", "app")
START_SECONDS = 240
"""Limit for a start with the demo. It takes 5 s on an idle machine and 80 s with a fifth of a
processor, which is what remains beside other tests. Start-up time is measured elsewhere."""


def clean_environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without the service's settings, plus `changes`."""
    prefixes = (
        "DATABASE_",
        "CHARGEBACK_",
        "CORS_",
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
    others = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**others, **changes}


def run_command(
    *arguments: str,
    data_dir: Path | None = None,
    standard_input: bytes = b"",
    settings: Mapping[str, str] = {},
) -> subprocess.CompletedProcess[str]:
    """Run a `chargeback` command to its end."""
    data_dir_option = ("--data-dir", str(data_dir)) if data_dir is not None else ()
    return subprocess.run(
        (*CHARGEBACK, *arguments, *data_dir_option),
        input=standard_input.decode(),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        env=clean_environment(**settings),
        check=False,
    )


def run_on_terminal(*arguments: str, data_dir: Path, answer: str) -> tuple[int, str]:
    """Run a command on a terminal, type an answer; return its exit status and what it shows."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        (*CHARGEBACK, *arguments, "--data-dir", str(data_dir)),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=clean_environment(TERM="dumb"),
    )
    os.close(terminal)
    os.write(controller, f"{answer}\n".encode())
    shown = bytearray()
    with os.fdopen(controller, "rb", buffering=0) as screen:
        try:
            while chunk := screen.read(4096):
                shown += chunk
        except OSError:
            pass  # Linux reports the end of a terminal as an error.
    return process.wait(START_SECONDS), shown.decode().replace("\r\n", "\n")


@dataclass
class ServerProcess:
    """A `chargeback serve` process that runs until `stop` or `kill`.

    `lines` collects its output; `cwd` is its working directory.
    """

    data_dir: Path
    arguments: tuple[str, ...] = ("--demo",)
    settings: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = CHARGEBACK
    cwd: Path | None = None
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.process = subprocess.Popen(
            (
                *self.program,
                "serve",
                "--port",
                "0",
                "--data-dir",
                str(self.data_dir),
                *self.arguments,
            ),
            cwd=self.cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(**self.settings),
        )
        self._ready = threading.Event()
        self._reader_thread = threading.Thread(target=self._read_output, daemon=True)
        self._reader_thread.start()
        if not self._ready.wait(START_SECONDS):
            self.kill()
            raise AssertionError(f"not ready in {START_SECONDS} s: {self.lines}")
        assert self.process.poll() is None, f"it ended with {self.process.poll()}: {self.lines}"

    def _read_output(self) -> None:
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

    def get_printed(self, prefix: str) -> str:
        """Return the rest of the first printed line that starts with `prefix`."""
        return next(line.removeprefix(prefix) for line in self.lines if line.startswith(prefix))

    @property
    def url(self) -> str:
        return re.sub("/graphql$", "", self.get_printed("GraphiQL: "))

    @property
    def key(self) -> str:
        return self.get_printed("API key: ")

    @property
    def ingest_worker(self) -> psutil.Process:
        """The child process that stores events."""
        children = psutil.Process(self.process.pid).children()
        return next(
            each for each in children if "app.server.ingest_worker" in " ".join(each.cmdline())
        )

    def resident_bytes(self) -> int:
        """Return the resident memory of the service and its ingest worker, without PostgreSQL."""
        processes = (psutil.Process(self.process.pid), self.ingest_worker)
        return sum(int(process.memory_info().rss) for process in processes)

    def stop(self, stop_signal: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(stop_signal)
        return self._wait_for_exit()

    def _wait_for_exit(self) -> int:
        status = self.process.wait(30)
        self._reader_thread.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.process.kill()
        self._wait_for_exit()


class KeyedServer(NamedTuple):
    """A server on an empty store, and an API key of `root`, who is in ADMIN_USER_LIST."""

    server: ServerProcess
    key: str

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def data_dir(self) -> Path:
        return self.server.data_dir


@contextmanager
def start_keyed_server(data_dir: Path, **settings: str) -> Iterator[KeyedServer]:
    """Start a server and create its first key; stop it at the end of the block."""
    settings = {"ADMIN_USER_LIST": "root", **settings}
    with ServerProcess(data_dir, arguments=(), settings=settings) as server:
        yield KeyedServer(server, create_root_key(data_dir)[0])


def create_root_key(data_dir: Path, *arguments: str) -> list[str]:
    """Create an admin key of `root`; return it in each form that is printed."""
    scope = ("--scope", "admin", "--scope", "directory:write", *arguments)
    printed = run_command("keys", "create", "--user", "root", *scope, data_dir=data_dir)
    return re.findall(r": (cbk_\S+)", printed.stdout)
