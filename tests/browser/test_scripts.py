"""The scripts and styles of the pages: their types and their weight."""

import gzip
import shutil
import subprocess
from pathlib import Path

from tests.npm_packages import install_npm_packages

STATIC = Path("app/web/static")
LARGEST_WEIGHT = 400_000
"""Bytes that the pages may add to the package, compressed."""


def test_the_scripts_pass_the_type_checker() -> None:
    folder = install_npm_packages(Path(__file__).parent / "npm")
    shutil.rmtree(folder / "pages", ignore_errors=True)
    shutil.copytree(STATIC / "pages", folder / "pages")
    checked = subprocess.run(
        ("node_modules/.bin/tsc", "-p", "."),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (checked.returncode, checked.stdout) == (0, "")
    scripts = sorted((STATIC / "pages").rglob("*.js"))
    assert [path for path in scripts if not path.read_text().startswith("// @ts-check\n")] == []


def test_the_pages_stay_below_their_size_limit() -> None:
    folders = [
        STATIC / "pages",
        *(STATIC / "vendor").glob("htm-*"),
        STATIC / "vendor/@fontsource-variable",
    ]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]

    assert sum(len(gzip.compress(path.read_bytes())) for path in files) <= LARGEST_WEIGHT
