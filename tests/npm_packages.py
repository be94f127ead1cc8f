"""npm packages that tests run, installed from a folder's lock file."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def install_npm_packages(source: Path) -> Path:
    """Return a copy of `source` with its packages installed, kept between runs.

    Without Node.js the test is skipped, and fails where `CI` is set: a required check must not
    pass because a program is missing.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        reason = "This test needs Node.js: install the system's packages nodejs and npm."
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    size = (source / "package-lock.json").stat().st_size
    folder = Path(tempfile.gettempdir()) / f"chargeback-{source.name}-{size}-{os.getuid()}"
    shutil.copytree(source, folder, dirs_exist_ok=True)
    if not (folder / "node_modules").exists():
        words = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        subprocess.run(words, cwd=folder, check=True, timeout=200)
    return folder
