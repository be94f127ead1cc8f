"""Write one archive from which the service installs without any network: `make bundle`.

    python tools/bundle.py [--platform linux-x86_64] [--python 3.11 --python 3.12 …] [--to dist]

The same commit gives the same bytes, as far as the wheels are the locked ones.
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
ALONGSIDE = ("Dockerfile", "LICENSE", "SECURITY.md", "CHANGELOG.md", "deploy", "docs")


def main() -> None:
    """Read the command line, and write the archive."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--platform", choices=TAGS, default="linux-x86_64")
    options.add_argument("--python", action="append", help="versions to bring wheels for")
    options.add_argument("--to", type=Path, default=ROOT / "dist")
    chosen = options.parse_args()
    pythons = tuple(chosen.python or PYTHONS)
    with tempfile.TemporaryDirectory() as scratch:
        archive = bundle(Path(scratch), chosen.platform, pythons, chosen.to)
    print(f"{archive}: {archive.stat().st_size / 1e6:.0f} MB")


def bundle(scratch: Path, platform: str, pythons: Sequence[str], to: Path) -> Path:
    """Collect everything below one folder, and pack it."""
    wheels = scratch / "wheels"
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT))
    (own,) = wheels.iterdir()
    version = own.name.split("-")[1]
    for python in pythons:
        download(wheels, platform, python)
    name = f"chargeback-{version}-{platform}-py{'-'.join(pythons)}"
    folder = scratch / name
    folder.mkdir()
    wheels.rename(folder / "wheels")
    copy_alongside(folder)
    (folder / "SHA256SUMS").write_text(sums(folder))
    to.mkdir(parents=True, exist_ok=True)
    return pack(folder, to / f"{name}.tar.gz")


def download(wheels: Path, platform: str, python: str) -> None:
    """Every locked wheel for one Python of the platform."""
    tags = [word for tag in TAGS[platform] for word in ("--platform", tag)]
    lock = ROOT / "requirements/runtime.lock"
    pip(
        *("download", "--require-hashes", "--requirement", str(lock), "--dest", str(wheels)),
        *("--only-binary", ":all:", "--python-version", python, "--implementation", "cp"),
        *tags,
    )


def pip(*words: str) -> None:
    """Quietly, unless it fails."""
    quiet = ("--quiet", "--disable-pip-version-check")
    subprocess.run((sys.executable, "-m", "pip", *quiet, *words), check=True)


def copy_alongside(folder: Path) -> None:
    """What is no wheel: how to install, the documents, the contract, the deployments."""
    for name in ALONGSIDE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    for file in ("install.sh", "README.md"):
        shutil.copy(ROOT / "deploy/bundle" / file, folder / file)
    shutil.copy(ROOT / "requirements/runtime.lock", folder / "requirements.txt")
    shutil.copy(ROOT / "schema/schema.graphql", folder / "schema.graphql")


def sums(folder: Path) -> str:
    """As `sha256sum -c` reads them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in files
    )


def pack(folder: Path, archive: Path) -> Path:
    """Owners, moments and order say nothing of this machine."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with (
        archive.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for path in [folder, *sorted(folder.rglob("*"))]:
            tar.add(path, path.relative_to(folder.parent), recursive=False, filter=plain)
    return archive


if __name__ == "__main__":
    main()
