"""All in one under a real systemd: a Debian of debootstrap, booted by systemd-nspawn.

The service is installed from the bundle; the machine has no network.
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
ASK = (
    "import sys, urllib.request as web, urllib.error as error\n"
    "ask = web.Request('http://127.0.0.1:8000/api/admin/chargeback/report',\n"
    "                  headers={'Authorization': sys.argv[1]})\n"
    "try: print(web.urlopen(ask).status)\n"
    "except error.HTTPError as refused: print(refused.code, refused.read().decode())\n"
)

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(1_800)]  # A whole Debian is installed.


@dataclass
class Booted:
    """A machine that runs; commands are run on it as root."""

    leader: str

    def __call__(self, *words: str, status: int = 0) -> str:
        ended = subprocess.run(
            ("nsenter", "--target", self.leader, "--all", *words),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == status, (words, ended.stdout, ended.stderr)
        return (ended.stdout + ended.stderr).strip()

    def shell(self, line: str) -> str:
        return self("sh", "-c", line)

    def key(self) -> str:
        return self.shell(f"{CHARGEBACK} keys create --user ada").removeprefix("API key: ")

    def request_report_status(self, key: str) -> str:
        return self("python3", "-c", ASK, key)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
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
    booted = Booted(_leader(nspawn.pid))
    _until_up(booted)
    yield booted
    booted("systemctl", "poweroff")
    nspawn.wait(60)


def _leader(pid: int) -> str:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for _ in range(300):
        if found := children.read_text().split():
            return found[0]
        time.sleep(0.1)
    raise AssertionError("the machine did not boot")


def _until_up(booted: Booted) -> None:
    for _ in range(300):
        ended = subprocess.run(
            ("nsenter", "--target", booted.leader, "--all", "systemctl", "is-system-running"),
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.stdout.strip() in ("running", "degraded"):
            return
        time.sleep(0.2)
    raise AssertionError("the machine did not come up")


@pytest.fixture(scope="module")
def installed(machine: Booted) -> Booted:
    """By the page's own lines, one block after the other, as root in a folder of its own."""
    machine.shell(f"{CHARGEBACK_OF_BUNDLE} generate --months 2 --users 9 > /root/events.ndjson")
    first, *others = commands("docs/install/linux.md")
    said = machine.shell(f"set -eu; cd /root\n{first}")
    assert said.splitlines()[1] == "running at http://127.0.0.1:8000"
    for block in others:
        machine.shell(f"set -eu; cd /root\n{block}")
    return machine


def test_it_runs_as_its_own_user_and_says_so(installed: Booted) -> None:
    shown = installed(CHARGEBACK, "systemd", "status")

    assert "enabled, active" in shown
    assert "http://127.0.0.1:8000, ready" in shown
    pid = installed("systemctl", "show", "--value", "--property=MainPID", "chargeback")
    assert installed("stat", "-c", "%U", f"/proc/{pid}") == "chargeback"
    assert installed("stat", "-c", "%U %a", "/var/lib/chargeback") == "chargeback 700"
    assert installed("stat", "-c", "%U %G %a", "/etc/default/chargeback") == (
        "root chargeback 640"
    )


def test_the_units_are_right_and_hardened(installed: Booted) -> None:
    units = ("chargeback.service", "chargeback-backup.service", "chargeback-backup.timer")

    assert installed("systemd-analyze", "verify", *units) == ""
    for unit in units[:2]:
        # Exposure below 1.5 of 10; an unknown directive would be a warning above.
        installed("systemd-analyze", "security", "--threshold=15", "--no-pager", unit)


def test_the_handbook_s_line_works_and_later_lines_override(installed: Booted) -> None:
    key = installed.key()
    line = "echo \"CHARGEBACK_USAGE_REPORT_ENABLED='{}'\" >> /etc/default/chargeback"

    installed.shell(line.format("False"))
    installed(CHARGEBACK, "systemd", "restart")
    off = installed.request_report_status(key)
    installed.shell(line.format("True"))
    installed("systemctl", "restart", "chargeback")
    installed(CHARGEBACK, "systemd", "restart")

    assert off.startswith("404 ")
    assert "CHARGEBACK_USAGE_REPORT_ENABLED='True'" in off
    assert installed.request_report_status(key) == "200"


def test_a_month_that_was_closed_is_closed_after_the_restore(installed: Booted) -> None:
    listed = installed.shell(f"COLUMNS=160 {CHARGEBACK} months list")

    assert installed.shell(f"{CHARGEBACK} months verify 2026-10") == (
        "2026-10 and its corrections match its events; no row changed since it was closed"
    )
    assert [line for line in listed.splitlines() if "2026-10" in line and "closed" in line]


def test_a_bad_setting_is_refused_before_it_is_written(installed: Booted) -> None:
    before = installed("cat", "/etc/default/chargeback")

    said = installed(CHARGEBACK, "systemd", "configure", "SESSION_LIFETIME_HOURS=zero", status=1)

    assert "SESSION_LIFETIME_HOURS='zero' is not allowed" in said
    assert installed("cat", "/etc/default/chargeback") == before


def test_it_comes_back_after_kill_9(installed: Booted) -> None:
    key = installed.key()
    installed("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "chargeback")
    time.sleep(3)
    for _ in range(100):
        if ", ready" in installed.shell(f"{CHARGEBACK} systemd status || true"):
            break
        time.sleep(0.3)

    assert installed.request_report_status(key) == "200"


def test_the_nightly_backup_writes_a_whole_store(installed: Booted) -> None:
    installed("systemctl", "start", "chargeback-backup.service")

    kept = installed("ls", "/var/backups/chargeback").split()
    (file,) = (name for name in kept if name.startswith("chargeback-"))
    assert "chargeback-backup.timer" in installed("systemctl", "list-timers", "--no-pager")
    back = installed.shell(
        f"{CHARGEBACK} restore /var/backups/chargeback/{file} --data-dir /var/lib/chargeback/again"
    )
    assert "restored" in back


def test_uninstalling_keeps_what_is_stored_until_told_to_purge(installed: Booted) -> None:
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
