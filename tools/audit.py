"""Audit the locked packages for known vulnerabilities with pip-audit: `make audit`.

    python tools/audit.py [--osv-url URL] [LOCK …]

The exit status is 1 if there is one. If neither database of vulnerabilities can be reached, as
offline or behind a package mirror, the status is 0 and one line says that nothing was checked.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).parents[1]
LOCKS = [ROOT / "requirements/runtime.lock", ROOT / "requirements/dev.lock"]
# `--disable-pip` audits the lock as it stands; pip would resolve it anew.
_PIP_AUDIT = (sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes")
_SERVICES = (("--vulnerability-service=pypi",), ("--vulnerability-service=osv",))


class Vulnerability(TypedDict):
    """A known vulnerability, as pip-audit writes it."""

    id: str
    fix_versions: list[str]


class Package(TypedDict, total=False):
    """A locked package, as pip-audit writes it; `skip_reason` if the database lacks it."""

    name: str
    version: str
    vulns: list[Vulnerability]
    skip_reason: str


def audit(locks: Sequence[Path], services: Sequence[Sequence[str]]) -> int:
    """Print the result of the first database that answers, and return the exit status."""
    for service in services:
        packages = run_pip_audit(locks, service)
        if any("skip_reason" not in package for package in packages):
            return print_result(packages)
    print("audit: nothing was checked: no database of vulnerabilities can be reached.")
    return 0


def run_pip_audit(locks: Sequence[Path], service: Sequence[str]) -> list[Package]:
    """Return the audited packages; none if the database cannot be reached."""
    requirements = [f"--requirement={lock}" for lock in locks]
    command = [*_PIP_AUDIT, "--format=json", *service, *requirements]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages: list[Package] = json.loads(completed.stdout)["dependencies"]
    except ValueError:
        return []
    return packages


def print_result(packages: Sequence[Package]) -> int:
    """Print each vulnerability, and return 1 if there is one."""
    lines = [
        f"audit: {package['name']} {package['version']}: {vulnerability['id']}, "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no release'}"
        for package in packages
        for vulnerability in package.get("vulns", ())
    ]
    print(f"audit: {len(packages)} packages, {len(lines)} known vulnerabilities.")
    if unknown := [package["name"] for package in packages if "skip_reason" in package]:
        print(f"audit: not known to the database: {', '.join(unknown)}.")
    for line in lines:
        print(line)
    return int(bool(lines))


def main() -> int:
    """Parse the command line and run the audit."""
    parser = argparse.ArgumentParser(description="Audit the locked packages.")
    parser.add_argument("--osv-url", help="query this OSV database instead of the public ones")
    parser.add_argument("locks", nargs="*", type=Path)
    arguments = parser.parse_args()
    own = [("--vulnerability-service=osv", f"--osv-url={arguments.osv_url}")]
    return audit(arguments.locks or LOCKS, own if arguments.osv_url else _SERVICES)


if __name__ == "__main__":
    sys.exit(main())
