"""The service under a real systemd: systemd-nspawn boots a Debian made by debootstrap.

The service is installed from the bundle, and the machine has no network.
"""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.documents.pages import commands

ROOT = Path(__file__).parents[2]
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv"
CHARGEBACK = "chargeback"
CHARGEBACK_OF_BUNDLE = "/opt/chargeback/bin/chargeback"
PYTHON = "3.13"
BUNDLING, UNPACKING = commands("docs/install/air-gapped.md")
REQUEST_REPORT = (
    "import sys, urllib.request as web, urllib.error as error\n"
    "request = web.Request('http://127.0.0.1:8000/api/admin/chargeback/report',\n"
    "                      headers={'Authorization': sys.argv[1]})\n"
    "try: print(web.urlopen(request).status)\n"
    "except error.HTTPError as response: print(response.code, response.read().decode())\n"
)

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1_800)]  # Installs a whole Debian.


@dataclass
class Machine:
    """A booted machine that runs commands as root."""

    leader: str

    def __call__(self, *words: str, status: int = 0) -> str:
        completed = subprocess.run(
            ("nsenter", "--target", self.leader, "--all", *words),
            capture_output=True,
            text=True,
            check=False,
        )
        assert completed.returncode == status, (words, completed.stdout, completed.stderr)
        return (completed.stdout + completed.stderr).strip()

    def shell(self, line: str) -> str:
        return self("sh", "-c", line)

    def create_key(self) -> str:
        return self.shell(f"{CHARGEBACK} keys create --user ada").removeprefix("API key: ")

    def request_report_status(self, key: str) -> str:
        return self("python3", "-c", REQUEST_REPORT, key)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    root = tmp_path_factory.mktemp("machine")
    root.chmod(0o755)
    subprocess.run(
        ("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "trixie", root),
        check=True,
        capture_output=True,
    )
    bundle = {**os.environ, "BUNDLE": f"--python {PYTHON} --to {root}/root"}
    subprocess.run(("sh", "-c", BUNDLING), cwd=ROOT, env=bundle, check=True, capture_output=True)
    unpack = "cd /root\n" + UNPACKING.replace("py3.11-3.12-3.13", f"py{PYTHON}")
    subprocess.run(
        ("unshare", "--net", "chroot", root, "sh", "-euc", unpack), check=True, capture_output=True
    )
    nspawn = subprocess.Popen(
        (
            "systemd-nspawn",
            "--boot",
            "--directory",
            root,
            "--register=no",
            "--keep-unit",
            "--private-network",
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    machine = Machine(_wait_for_leader(nspawn.pid))
    _wait_until_up(machine)
    yield machine
    machine("systemctl", "poweroff")
    nspawn.wait(60)


def _wait_for_leader(pid: int) -> str:
    """Return the process id of the container's first process."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    for _ in range(300):
        if children := path.read_text().split():
            return children[0]
        time.sleep(0.1)
    raise AssertionError("the machine did not boot")


def _wait_until_up(machine: Machine) -> None:
    for _ in range(300):
        completed = subprocess.run(
            ("nsenter", "--target", machine.leader, "--all", "systemctl", "is-system-running"),
            capture_output=True,
            text=True,
            check=False,
        )
        if completed.stdout.strip() in ("running", "degraded"):
            return
        time.sleep(0.2)
    raise AssertionError("the machine did not come up")


@pytest.fixture(scope="module")
def installed(machine: Machine) -> Machine:
    """Install the service with the commands of docs/install/linux.md, block by block."""
    machine.shell(f"{CHARGEBACK_OF_BUNDLE} generate --months 2 --users 9 > /root/events.ndjson")
    first, *others = commands("docs/install/linux.md")
    output = machine.shell(f"set -eu; cd /root\n{first}")
    assert output.splitlines()[1] == "running at http://127.0.0.1:8000"
    for block in others:
        machine.shell(f"set -eu; cd /root\n{block}")
    return machine


def test_the_service_runs_as_its_own_user_and_is_ready(installed: Machine) -> None:
    status = installed(CHARGEBACK, "systemd", "status")

    assert "enabled, active" in status
    assert "http://127.0.0.1:8000, ready" in status
    pid = installed("systemctl", "show", "--value", "--property=MainPID", "chargeback")
    assert installed("stat", "-c", "%U", f"/proc/{pid}") == "chargeback"
    assert installed("stat", "-c", "%U %a", "/var/lib/chargeback") == "chargeback 700"
    assert installed("stat", "-c", "%U %G %a", "/etc/default/chargeback") == (
        "root chargeback 640"
    )


def test_the_units_are_valid_and_hardened(installed: Machine) -> None:
    units = ("chargeback.service", "chargeback-backup.service", "chargeback-backup.timer")

    assert installed("systemd-analyze", "verify", *units) == ""
    for unit in units[:2]:
        # The exposure must stay below 1.5 of 10. `verify` above warns of unknown directives.
        installed("systemd-analyze", "security", "--threshold=15", "--no-pager", unit)


def test_a_later_line_of_the_settings_file_overrides_an_earlier_one(installed: Machine) -> None:
    key = installed.create_key()
    line = "echo \"CHARGEBACK_USAGE_REPORT_ENABLED='{}'\" >> /etc/default/chargeback"

    installed.shell(line.format("False"))
    installed(CHARGEBACK, "systemd", "restart")
    disabled = installed.request_report_status(key)
    installed.shell(line.format("True"))
    installed("systemctl", "restart", "chargeback")
    installed(CHARGEBACK, "systemd", "restart")

    assert disabled.startswith("404 ")
    assert "CHARGEBACK_USAGE_REPORT_ENABLED='True'" in disabled
    assert installed.request_report_status(key) == "200"


def test_a_closed_month_is_still_closed_after_the_restore(installed: Machine) -> None:
    months = installed.shell(f"COLUMNS=160 {CHARGEBACK} months list")

    assert installed.shell(f"{CHARGEBACK} months verify 2026-10") == (
        "2026-10 and its corrections match its events; no row changed since it was closed"
    )
    assert [line for line in months.splitlines() if "2026-10" in line and "closed" in line]


def test_an_invalid_setting_is_rejected_and_not_written(installed: Machine) -> None:
    before = installed("cat", "/etc/default/chargeback")

    error = installed(CHARGEBACK, "systemd", "configure", "SESSION_LIFETIME_HOURS=zero", status=1)

    assert "SESSION_LIFETIME_HOURS='zero' is not allowed" in error
    assert installed("cat", "/etc/default/chargeback") == before


def test_systemd_restarts_the_service_after_kill_9(installed: Machine) -> None:
    key = installed.create_key()
    installed("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "chargeback")
    time.sleep(3)
    for _ in range(100):
        if ", ready" in installed.shell(f"{CHARGEBACK} systemd status || true"):
            break
        time.sleep(0.3)

    assert installed.request_report_status(key) == "200"


def test_the_nightly_backup_can_be_restored(installed: Machine) -> None:
    installed("systemctl", "start", "chargeback-backup.service")

    files = installed("ls", "/var/backups/chargeback").split()
    (file,) = (name for name in files if name.startswith("chargeback-"))
    assert "chargeback-backup.timer" in installed("systemctl", "list-timers", "--no-pager")
    output = installed.shell(
        f"{CHARGEBACK} restore /var/backups/chargeback/{file} --data-dir /var/lib/chargeback/again"
    )
    assert "restored" in output


def test_uninstall_keeps_data_and_settings_unless_purge_is_set(installed: Machine) -> None:
    installed(CHARGEBACK, "systemd", "uninstall")
    installed("ls", "/usr/local/bin/chargeback", status=2)
    kept = installed("ls", "/var/lib/chargeback", "/etc/default/chargeback")
    installed(CHARGEBACK_OF_BUNDLE, "systemd", "status", status=3)
    installed(CHARGEBACK_OF_BUNDLE, "systemd", "install", "--port", "8001")
    installed(CHARGEBACK, "systemd", "uninstall", "--purge")

    assert "postgres" in kept
    assert "/etc/default/chargeback" in kept
    installed("ls", "/var/lib/chargeback", status=2)
    installed("ls", "/etc/systemd/system/chargeback.service", status=2)
