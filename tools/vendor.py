"""Fetch the browser's third-party files with the npm client, as `vendor.json` names and pins them.

    python tools/vendor.py            fetch, verify, write
    python tools/vendor.py --check    verify the existing files, without npm
    python tools/vendor.py --pin      record the hashes of new versions in vendor.json

The files are stored as published, minified and unmodified. If a package does not have the pinned
npm integrity or a file not the pinned SHA-256, nothing is written. npm's own configuration selects
the registry.
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
    """One package of the manifest; `files` maps each path in the package to its SHA-256."""

    name: str
    version: str
    licence: str
    integrity: str
    files: dict[str, str]


class Mismatch(Exception):
    """A package or file differs from the manifest, or npm is missing."""


def download_tarball(package: Package, folder: Path) -> Path:
    """Download a package with `npm pack`; return the tarball."""
    npm = shutil.which("npm")
    if npm is None:
        raise Mismatch("npm is needed: install Node.js.")
    specifier = f"{package['name']}@{package['version']}"
    command = [npm, "pack", specifier, "--ignore-scripts", "--silent", "--pack-destination"]
    output = subprocess.check_output([*command, str(folder)], text=True)
    return folder / output.split()[-1]


def compute_integrity(tarball: Path) -> str:
    """Return the SHA-512 of a tarball in npm's format."""
    digest = hashlib.sha512(tarball.read_bytes()).digest()
    return "sha512-" + base64.b64encode(digest).decode()


def read_files(package: Package, tarball: Path) -> dict[str, bytes]:
    """Return the files that the manifest names, by path in the package."""
    with tarfile.open(tarball) as archive:
        members = {path: archive.extractfile(f"package/{path}") for path in package["files"]}
        return {path: member.read() for path, member in members.items() if member}


def require_equal(name: str, expected: str, actual: str) -> None:
    """Raise Mismatch unless both are equal."""
    if expected != actual:
        raise Mismatch(f"{name}: pinned {expected or 'nothing'}, found {actual}.")


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def get_folder(package: Package) -> Path:
    """Return the folder of a package. Its name has the version, so browsers may cache forever."""
    return STATIC / "vendor" / f"{package['name']}-{package['version']}"


def fetch(package: Package, *, pin: bool) -> dict[Path, bytes]:
    """Return the verified files by path; with `pin`, record their hashes in the manifest first."""
    with tempfile.TemporaryDirectory() as folder:
        tarball = download_tarball(package, Path(folder))
        contents = read_files(package, tarball)
        if pin:
            package["integrity"] = compute_integrity(tarball)
            package["files"] = {path: sha256(content) for path, content in contents.items()}
        require_equal(package["name"], package["integrity"], compute_integrity(tarball))
    verify(package, contents)
    return {get_folder(package) / Path(path).name: contents[path] for path in contents}


def verify(package: Package, contents: dict[str, bytes]) -> None:
    """Raise Mismatch for the first file that differs."""
    for path, expected in package["files"].items():
        require_equal(f"{package['name']} {path}", expected, sha256(contents[path]))


def read_existing_files(package: Package) -> dict[str, bytes]:
    """Return the existing files, by path in the package."""
    return {
        path: (get_folder(package) / Path(path).name).read_bytes() for path in package["files"]
    }


def replace_files(files: dict[Path, bytes]) -> None:
    """Write these files, and delete all others."""
    shutil.rmtree(STATIC / "vendor", ignore_errors=True)
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Fetch the browser's third-party files with npm.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="verify the existing files, offline")
    mode.add_argument("--pin", action="store_true", help="record the hashes of a new version")
    options = parser.parse_args()
    packages: list[Package] = json.loads(MANIFEST.read_text())["packages"]
    if options.check:
        for package in packages:
            verify(package, read_existing_files(package))
        return
    files: dict[Path, bytes] = {}
    for package in packages:
        files |= fetch(package, pin=options.pin)
    replace_files(files)
    MANIFEST.write_text(json.dumps({"packages": packages}, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except (Mismatch, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"vendor: {error}")
