"""Looks for known vulnerabilities in what the locks name: `make audit`.

    python tools/audit.py [--osv-url URL] [LOCK …]

Ends with status 1 when there is one. Where no database of vulnerabilities can be reached, as
offline or behind a mirror that has none, it says so in one line and ends well: no answer is no
reason to stop a build, and no all-clear either.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    words.add_argument("locks", nargs="*", type=Path)
    wish = words.parse_args()
    own = [("--vulnerability-service=osv", f"--osv-url={wish.osv_url}")]
    return audit(wish.locks or LOCKS, own if wish.osv_url else _DATABASES)


if __name__ == "__main__":
    sys.exit(main())
