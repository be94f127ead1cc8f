"""A shell beside a store and its service: where the documents' commands are tried."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.server_process import START_SECONDS, clean_environment

PROGRAMS = f"{Path(sys.executable).parent}:{os.defpath}"
TOKEN = "0123456789abcdef"


class DocShell:
    """What a page's commands find: a store, perhaps served, and words that are read otherwise.

    Attributes:
        shown: What pages show, and what it means here: addresses, keys, folders.
    """

    def __init__(self, folder: Path, shown: Mapping[str, str], *, programs: str = "") -> None:
        self.folder = folder
        self.shown = dict(shown)
        self._programs = f"{programs}:{PROGRAMS}".removeprefix(":")
        # What is refused shall fail, though the documents show how it is told.
        (folder / ".curlrc").write_text("fail\n")
        self._services: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for service in self._services:
            service.send_signal(signal.SIGINT)
            assert service.wait(START_SECONDS) == 0

    def run(self, block: str) -> str:
        """Do as printed, but for what is `shown`; a service that is started goes on to the end."""
        for shown, meant in self.shown.items():
            block = block.replace(shown, meant)
        if " serve" in block:
            return self._serve(block)
        words = ("sh", "-eu", "-c", block)
        ended = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, (block, ended.stdout, ended.stderr)
        for key in re.findall(r"^API key: (\S+)$", ended.stdout, re.MULTILINE):
            self.shown.setdefault("cbk_…", key)
        return ended.stdout

    def _serve(self, block: str) -> str:
        port = free_port()
        line = re.sub(r" --port \d+|$", f" --port {port}", block.strip(), count=1)
        with (self.folder / "service.log").open("wb") as log:
            service = subprocess.Popen(
                ("sh", "-c", f"exec {line}"),
                cwd=self.folder,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        self._services.append(service)
        self.shown["http://127.0.0.1:8000"] = f"http://127.0.0.1:{port}"
        return await_port(port, service, self.folder / "service.log")

    @property
    def _environment(self) -> dict[str, str]:
        return clean_environment(
            PATH=self._programs,
            HOME=str(self.folder),
            CHARGEBACK_DATA_DIR=str(self.folder / "store"),
            ADMIN_USER_LIST="ada",
            METRICS_TOKEN=TOKEN,
            COMET_INTERNAL_SENTRY_DSN="",
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def await_port(port: int, service: subprocess.Popen[bytes], log: Path) -> str:
    """What the service said until it listened."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and service.poll() is None:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())
