"""Looks for known vulnerabilities in what the locks name: `make audit`.

    python tools/audit.py [--osv-url URL | --advisories FOLDER] [LOCK …]

Ends with status 1 when there is one. Where no database of vulnerabilities can be reached, as
offline or behind a mirror that has none, it says so in one line and ends well: no answer is no
reason to stop a build, and no all-clear either.

Without a network a folder serves: a copy of the repository pypa/advisory-database, or OSV's
export for PyPI, unpacked. It knows what was known when it was copied, and so it is told.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
LOCKS = [ROOT / "requirements/runtime.lock", ROOT / "requirements/dev.lock"]
# The lock as it is: without `--disable-pip` it would be resolved anew.
_AUDIT = (sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--format=json")
_DATABASES = (("--vulnerability-service=pypi",), ("--vulnerability-service=osv",))


def audit(locks: Sequence[Path], databases: Sequence[Sequence[str]] = _DATABASES) -> int:
    """The status to end with; databases are pip-audit's options, the first reached is asked."""
    database = next((each for each in databases if _is_reached(locks[0], each)), None)
    if database is None:
        print("audit: nothing was checked: no database of vulnerabilities can be reached.")
        return 0
    return max([_report(lock, _audited(lock, database) or []) for lock in locks])


def audit_by_folder(locks: Sequence[Path], folder: Path) -> int:
    """The same by a copy of the advisories."""
    known = list(_advisories(folder))
    if not known:
        print(f"audit: nothing was checked: there are no advisories in {folder}.")
        return 0
    newest = max(str(each.get("modified", "")) for each in known)[:10]
    print(f"audit: {len(known):,} advisories, the newest of {newest}.")
    return max([_report(lock, list(_known_of(lock, known))) for lock in locks])


def _advisories(folder: Path) -> Iterator[dict[str, Any]]:
    """Those in force, as OSV writes them: in JSON, or in YAML."""
    for file in sorted(folder.rglob("*.*")):
        if file.suffix in {".json", ".yaml"}:
            text = file.read_text(encoding="utf-8")
            read = json.loads(text) if file.suffix == ".json" else yaml.load(text, _YAML)  # noqa: S506
            if isinstance(read, dict) and "affected" in read and "withdrawn" not in read:
                yield read


_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _known_of(lock: Path, known: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each package of a lock with the advisories that name its version, as pip-audit says it."""
    by_name: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for advisory in known:
        for affected in advisory["affected"]:
            name = canonicalize_name(affected.get("package", {}).get("name", ""))
            by_name.setdefault(name, []).append((advisory["id"], affected))
    for name, written in re.findall(
        r"^([\w.-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE
    ):
        version = Version(written)
        found = {
            key: _fixes(affected)
            for key, affected in by_name.get(canonicalize_name(name), ())
            if _is_affected(version, affected)
        }
        vulns = [{"id": key, "fix_versions": fixes} for key, fixes in sorted(found.items())]
        yield {"name": name, "version": written, "vulns": vulns}


def _events(affected: Mapping[str, Any]) -> Iterator[Sequence[Mapping[str, str]]]:
    for each in affected.get("ranges", ()):
        if each["type"] == "ECOSYSTEM":
            yield each["events"]


def _fixes(affected: Mapping[str, Any]) -> list[str]:
    return [
        str(event["fixed"]) for events in _events(affected) for event in events if "fixed" in event
    ]


def _is_affected(version: Version, affected: Mapping[str, Any]) -> bool:
    """Whether an advisory lists a version, or the last event of a range before it begins one."""
    if any(_version(listed) == version for listed in affected.get("versions", ())):
        return True
    return any(_is_within(version, events) for events in _events(affected))


def _is_within(version: Version, events: Sequence[Mapping[str, str]]) -> bool:
    within = False
    for kind, at in sorted(
        ((kind, _version(at)) for event in events for kind, at in event.items()),
        key=lambda event: event[1],
    ):
        if at < version or (at == version and kind != "last_affected"):
            within = kind == "introduced"
    return within


def _version(written: object) -> Version:
    try:
        return Version(str(written))
    except InvalidVersion:
        return Version("0")


def _is_reached(lock: Path, database: Sequence[str]) -> bool:
    """Asks about the lock's first package alone."""
    first = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8"))[0]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as one:
        one.write(first)
        one.flush()
        found = _audited(Path(one.name), database)
    return found is not None and not any("skip_reason" in each for each in found)


def _audited(lock: Path, database: Sequence[str]) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package; None when it could not ask."""
    asked = subprocess.run(
        [*_AUDIT, *database, f"--requirement={lock}"], capture_output=True, text=True, check=False
    )
    try:
        found: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except ValueError:
        return None
    return found


def _report(lock: Path, found: Sequence[dict[str, Any]]) -> int:
    bad = [_told(package, each) for package in found for each in package.get("vulns", ())]
    unknown = [package["name"] for package in found if "skip_reason" in package]
    print(f"audit: {lock.name}: {len(found)} packages, {len(bad)} known vulnerabilities.")
    if unknown:
        print(f"audit: not known to the database: {', '.join(unknown)}.")
    for line in bad:
        print(f"audit: {line}")
    return int(bool(bad) or not found)


def _told(package: dict[str, Any], vulnerability: dict[str, Any]) -> str:
    fixed = ", ".join(vulnerability["fix_versions"]) or "no release"
    return f"{package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}"


def main() -> int:
    """Read the command line."""
    words = argparse.ArgumentParser(description="Looks for known vulnerabilities.")
    words.add_argument("--osv-url", help="an OSV database to ask, instead of the public ones")
    words.add_argument("--advisories", type=Path, help="a folder with a copy of the advisories")
    words.add_argument("locks", nargs="*", type=Path)
    wish = words.parse_args()
    if wish.advisories:
        return audit_by_folder(wish.locks or LOCKS, wish.advisories)
    own = [("--vulnerability-service=osv", f"--osv-url={wish.osv_url}")]
    return audit(wish.locks or LOCKS, own if wish.osv_url else _DATABASES)


if __name__ == "__main__":
    sys.exit(main())
