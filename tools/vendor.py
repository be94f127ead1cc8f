"""Fetch the browser's third-party files with the npm client, as `vendor.json` names and pins them.

    python tools/vendor.py            fetch, verify, write
    python tools/vendor.py --check    verify the files that are there, without npm
    python tools/vendor.py --pin      after a new version in vendor.json: record its hashes

The files stay as npm has them, minified and unmodified. A package must have the pinned npm
integrity and each file the pinned sha256; otherwise nothing is written. Which registry npm asks
is for npm to know.
"""

import argparse
import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TypedDict

STATIC = Path(__file__).parent.parent / "app" / "web" / "static"
MANIFEST = STATIC / "vendor.json"


class Package(TypedDict):
    """One package of the manifest; `files` maps a path in the package to its sha256."""

    name: str
    version: str
    licence: str
    integrity: str
    files: dict[str, str]


class Mismatch(Exception):
    """Something is not what the manifest pins."""


def packed(package: Package, folder: Path) -> Path:
    """The package's tarball, by way of `npm pack`."""
    npm = shutil.which("npm")
    if npm is None:
        raise Mismatch("npm is needed: install Node.js.")
    wanted = f"{package['name']}@{package['version']}"
    words = [npm, "pack", wanted, "--ignore-scripts", "--silent", "--pack-destination"]
    output = subprocess.check_output([*words, str(folder)], text=True)
    return folder / output.split()[-1]


def integrity(tarball: Path) -> str:
    """As npm writes it."""
    digest = hashlib.sha512(tarball.read_bytes()).digest()
    return "sha512-" + base64.b64encode(digest).decode()


def contents(package: Package, tarball: Path) -> dict[str, bytes]:
    """The files that the manifest names, by their path in the package."""
    with tarfile.open(tarball) as archive:
        members = {path: archive.extractfile(f"package/{path}") for path in package["files"]}
        return {path: member.read() for path, member in members.items() if member}


def require(what: str, expected: str, actual: str) -> None:
    """Raises Mismatch unless both are equal."""
    if expected != actual:
        raise Mismatch(f"{what}: pinned {expected or 'nothing'}, found {actual}.")


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def folder_of(package: Package) -> Path:
    """The version is in the path, so that browsers may keep the file for ever."""
    return STATIC / "vendor" / f"{package['name']}-{package['version']}"


def fetch(package: Package, *, pin: bool) -> dict[Path, bytes]:
    """What to write where, verified; with `pin`, the manifest learns the hashes instead."""
    with tempfile.TemporaryDirectory() as folder:
        tarball = packed(package, Path(folder))
        found = contents(package, tarball)
        if pin:
            package["integrity"] = integrity(tarball)
            package["files"] = {path: sha256(content) for path, content in found.items()}
        require(package["name"], package["integrity"], integrity(tarball))
    verify(package, found)
    return {folder_of(package) / Path(path).name: found[path] for path in found}


def verify(package: Package, found: dict[str, bytes]) -> None:
    """Raises Mismatch for the first file that differs."""
    for path, expected in package["files"].items():
        require(f"{package['name']} {path}", expected, sha256(found[path]))


def on_disk(package: Package) -> dict[str, bytes]:
    """The files as they are now, by their path in the package."""
    return {path: (folder_of(package) / Path(path).name).read_bytes() for path in package["files"]}


def replace(files: dict[Path, bytes]) -> None:
    """Writes these, and leaves no file of another version."""
    shutil.rmtree(STATIC / "vendor", ignore_errors=True)
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Fetch the browser's third-party files with npm.")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--check", action="store_true", help="verify what is there, offline")
    chosen.add_argument("--pin", action="store_true", help="record the hashes of a new version")
    options = parser.parse_args()
    packages: list[Package] = json.loads(MANIFEST.read_text())["packages"]
    if options.check:
        for package in packages:
            verify(package, on_disk(package))
        return
    files: dict[Path, bytes] = {}
    for package in packages:
        files |= fetch(package, pin=options.pin)
    replace(files)
    MANIFEST.write_text(json.dumps({"packages": packages}, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (Mismatch, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"vendor: {error}")
