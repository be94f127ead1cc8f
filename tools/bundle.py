"""Write an archive from which the service can be installed offline: `make bundle`.

    python tools/bundle.py [--platform linux-x86_64] [--python 3.11 --python 3.12 …] [--to dist]

The archive of a commit is reproducible: the locked wheels give the same bytes.
"""

import argparse
import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
TAGS = {
    "linux-x86_64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "linux-aarch64": ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
}
PYTHONS = ("3.11", "3.12", "3.13")
OTHER_FILES = ("Dockerfile", "LICENSE", "SECURITY.md", "CHANGELOG.md", "deploy", "docs")


def main() -> None:
    """Write the archive that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--platform", choices=TAGS, default="linux-x86_64")
    parser.add_argument("--python", action="append", help="Python versions to include wheels for")
    parser.add_argument("--to", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    pythons = tuple(arguments.python or PYTHONS)
    with tempfile.TemporaryDirectory() as scratch:
        archive = build_bundle(Path(scratch), arguments.platform, pythons, arguments.to)
    print(f"{archive}: {archive.stat().st_size / 1e6:.0f} MB")


def build_bundle(scratch: Path, platform: str, pythons: Sequence[str], to: Path) -> Path:
    """Collect all files in one folder and compress it; return the archive."""
    wheels = scratch / "wheels"
    run_pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT))
    (own,) = wheels.iterdir()
    version = own.name.split("-")[1]
    for python in pythons:
        download_wheels(wheels, platform, python)
    name = f"chargeback-{version}-{platform}-py{'-'.join(pythons)}"
    folder = scratch / name
    folder.mkdir()
    wheels.rename(folder / "wheels")
    copy_other_files(folder)
    (folder / "SHA256SUMS").write_text(list_checksums(folder))
    to.mkdir(parents=True, exist_ok=True)
    return compress(folder, to / f"{name}.tar.gz")


def download_wheels(wheels: Path, platform: str, python: str) -> None:
    """Download every locked wheel for one Python version of the platform."""
    tags = [word for tag in TAGS[platform] for word in ("--platform", tag)]
    lock = ROOT / "requirements/runtime.lock"
    run_pip(
        *("download", "--require-hashes", "--requirement", str(lock), "--dest", str(wheels)),
        *("--only-binary", ":all:", "--python-version", python, "--implementation", "cp"),
        *tags,
    )


def run_pip(*words: str) -> None:
    """Run pip; print its output only when it fails."""
    quiet = ("--quiet", "--disable-pip-version-check")
    subprocess.run((sys.executable, "-m", "pip", *quiet, *words), check=True)


def copy_other_files(folder: Path) -> None:
    """Copy the installer, the docs, the GraphQL schema and the deployment files."""
    for name in OTHER_FILES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    for file in ("install.sh", "README.md"):
        shutil.copy(ROOT / "deploy/bundle" / file, folder / file)
    shutil.copy(ROOT / "requirements/runtime.lock", folder / "requirements.txt")
    shutil.copy(ROOT / "schema/schema.graphql", folder / "schema.graphql")


def list_checksums(folder: Path) -> str:
    """Return the SHA-256 of each file in the format of `sha256sum -c`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in files
    )


def compress(folder: Path, archive: Path) -> Path:
    """Write a reproducible archive: no owners or times, files in order of their paths."""

    def remove_metadata(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with (
        archive.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=1) as gzipped,
        tarfile.open(fileobj=gzipped, mode="w") as tar,
    ):
        for path in [folder, *sorted(folder.rglob("*"))]:
            tar.add(path, path.relative_to(folder.parent), recursive=False, filter=remove_metadata)
    return archive


if __name__ == "__main__":
    main()
