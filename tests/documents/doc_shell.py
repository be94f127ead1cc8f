"""A shell with a store and a service, for the commands of the documentation."""

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

SEARCH_PATH = f"{Path(sys.executable).parent}:{os.defpath}"
TOKEN = "0123456789abcdef"


class DocShell:
    """Runs the blocks of a page in a folder, with a store of its own.

    Attributes:
        replacements: Texts of the page (addresses, keys, folders) and what replaces them here.
        settings: Environment variables besides those of every page.
    """

    def __init__(
        self,
        folder: Path,
        replacements: Mapping[str, str],
        *,
        programs: str = "",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.settings = dict(settings or {})
        self.replacements = dict(replacements)
        self._search_path = f"{programs}:{SEARCH_PATH}".removeprefix(":")
        # curl must fail on an error response; by default it prints it and succeeds.
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
        """Apply the replacements, run the block and return its output.

        A service that the block starts runs until the shell exits.
        """
        for text, replacement in self.replacements.items():
            block = block.replace(text, replacement)
        if " serve" in block:
            return self._serve(block)
        words = ("sh", "-eu", "-c", block)
        completed = subprocess.run(
            words,
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert completed.returncode == 0, (block, completed.stdout, completed.stderr)
        for key in re.findall(r"^API key: (\S+)$", completed.stdout, re.MULTILINE):
            self.replacements.setdefault("cbk_…", key)
        return completed.stdout

    def _serve(self, block: str) -> str:
        port = find_free_port()
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
        self.replacements["http://127.0.0.1:8000"] = f"http://127.0.0.1:{port}"
        return wait_for_port(port, service, self.folder / "service.log")

    @property
    def _environment(self) -> dict[str, str]:
        return clean_environment(
            PATH=self._search_path,
            HOME=str(self.folder),
            CHARGEBACK_DATA_DIR=str(self.folder / "store"),
            ADMIN_USER_LIST="ada",
            METRICS_TOKEN=TOKEN,
            COMET_INTERNAL_SENTRY_DSN="",
            **self.settings,
        )


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for_port(port: int, service: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the service listens, and return its log."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and service.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())
