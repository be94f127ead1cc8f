"""`chargeback aio`: the service, all in one, under systemd on a Linux machine.

Everything that is written outside the data folder is listed in `_FILES`, but for `_COMMAND`. With
a root folder other than `/` the same files are written into it, for images, and nothing is
started.
"""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import typer
from rich.table import Table

from app.console import stdout
from app.domain.errors import ChargebackError
from app.settings import DEFAULT_ENV_FILE, Settings, SettingsFile, settings_file_of_defaults

aio = typer.Typer(
    no_args_is_help=True,
    help="All in one, under systemd: install, update-config, restart-services, status, uninstall.",
)

_SERVICE, _TIMER = "chargeback.service", "chargeback-backup.timer"
_FILES: Mapping[str, str] = {
    "chargeback.service": "/etc/systemd/system/chargeback.service",
    "chargeback-backup.service": "/etc/systemd/system/chargeback-backup.service",
    "chargeback-backup.timer": "/etc/systemd/system/chargeback-backup.timer",
    "sysusers.conf": "/etc/sysusers.d/chargeback.conf",
    "tmpfiles.conf": "/etc/tmpfiles.d/chargeback.conf",
}
_COMMAND, _OURS = "/usr/local/bin/chargeback", "Written by `chargeback aio install`"
_DATA = ("/var/lib/chargeback", "/var/backups/chargeback")
_START_SECONDS = 120


class AioFailed(ChargebackError):
    """The machine cannot run the service this way, or refused a step."""

    code, status = "AIO_FAILED", 500


@dataclass(frozen=True)
class Machine:
    """The running machine, or a root folder that will be one."""

    root: Path

    @property
    def is_running(self) -> bool:
        """Whether services can be started: not in a root folder."""
        return self.root == Path("/")

    def path(self, absolute: str | Path) -> Path:
        """Where a file of the machine is."""
        return self.root / str(absolute).lstrip("/")

    def run(self, program: str, *words: str) -> str:
        """One of systemd's programs, on this machine; what it printed.

        Raises:
            AioFailed: There is no such program, or it failed; in its own words.
        """
        found = shutil.which(program)
        if found is None:
            raise AioFailed(f"{program} is missing: this needs a Linux with systemd.")
        where = () if self.is_running else (f"--root={self.root}",)
        ended = subprocess.run(  # noqa: S603  a program of systemd
            (found, *where, *words), capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            said = " ".join((ended.stderr or ended.stdout).split())
            raise AioFailed(f"{program} {' '.join(words)} failed: {said or ended.returncode}")
        return ended.stdout.strip()

    def says(self, *words: str) -> str:
        """What systemctl answers to a question whose exit status is its answer."""
        try:
            return self.run("systemctl", *words)
        except AioFailed as answer:
            return str(answer).rpartition(" ")[2]


Root = Annotated[
    Path,
    typer.Option(
        help="A root folder to work on instead of the running machine; nothing is started.",
        exists=True,
        file_okay=False,
        resolve_path=True,
    ),
]
_MACHINE = Path("/")


@aio.command()
def install(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = 8000,
    program: Annotated[
        Path | None, typer.Option(help="The chargeback to run; by default this one.")
    ] = None,
    root: Root = _MACHINE,
) -> None:
    """Install the service, its user and its nightly backup, and start it. Again: upgrade it."""
    machine = _owned(root)
    chosen = program or Path(sys.prefix) / "bin" / "chargeback"
    _insist_on_reachable(machine, chosen)
    words = {"program": str(chosen), "host": host, "port": str(port)}
    for name, place in _FILES.items():
        _write(machine.path(place), Template(_packaged(name)).substitute(words))
    _offer_command(machine, Template(_packaged("command.sh")).substitute(words))
    machine.run("systemd-sysusers", *_own(machine, "/etc/sysusers.d/chargeback.conf"))
    machine.run("systemd-tmpfiles", "--create", *_own(machine, "/etc/tmpfiles.d/chargeback.conf"))
    if not machine.path(DEFAULT_ENV_FILE).exists():
        _write(machine.path(DEFAULT_ENV_FILE), settings_file_of_defaults(), mode=0o640)
        _give(machine, machine.path(DEFAULT_ENV_FILE))
    machine.run("systemctl", "enable", _SERVICE, _TIMER)
    stdout.print(f"installed {_FILES[_SERVICE]}", highlight=False)
    if machine.is_running:
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", _TIMER)
        _restart(machine)


@aio.command("update-config")
def update_config(
    settings: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…")],
    root: Root = _MACHINE,
) -> None:
    """Set settings in /etc/default/chargeback; `restart-services` puts them into effect.

    An empty value takes the setting's line out, which leaves its default.
    """
    machine = _owned(root)
    place = machine.path(DEFAULT_ENV_FILE)
    file = SettingsFile.read(place)
    for name, value in map(_assignment, settings):
        file = file.with_setting(name, value)
    file.insist_on_good_values()
    if place.exists():
        _rewrite(place, file.text)
    else:
        _write(place, file.text, mode=0o640)
        _give(machine, place)
    stdout.print(f"wrote {DEFAULT_ENV_FILE}; now: chargeback aio restart-services")


@aio.command("restart-services")
def restart_services(root: Root = _MACHINE) -> None:
    """Restart the service, and wait until it answers."""
    machine = _owned(root)
    if not machine.is_running:
        raise AioFailed("In a root folder nothing runs: there is nothing to restart.")
    Settings.load()
    _restart(machine)


@aio.command()
def status(root: Root = _MACHINE) -> None:
    """Say what is installed, whether it runs and answers, and what is kept. Ends with 3 if not."""
    machine = Machine(root)
    address = _address(machine)
    answers = machine.is_running and address != "" and _answers(address)
    backups = sorted(machine.path(_DATA[1]).glob("*.dump")) if _may_look(machine) else []
    table = Table("What", "How", show_header=False)
    for what, how in (
        ("service", f"{machine.says('is-enabled', _SERVICE)}, {_activity(machine, _SERVICE)}"),
        ("backups", f"{machine.says('is-enabled', _TIMER)}, {_activity(machine, _TIMER)}"),
        ("address", f"{address or 'none'}, {'answers' if answers else 'does not answer'}"),
        ("settings", _presence(machine, str(DEFAULT_ENV_FILE))),
        ("data", _presence(machine, _DATA[0])),
        ("latest backup", backups[-1].name if backups else "none"),
    ):
        table.add_row(what, how)
    stdout.print(table)
    if not answers:
        raise typer.Exit(3)


@aio.command()
def uninstall(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove the data, the backups and the settings.")
    ] = False,
    root: Root = _MACHINE,
) -> None:
    """Stop the service and remove it; data, backups, settings and the user stay."""
    machine = _owned(root)
    now = ("--now",) if machine.is_running else ()
    if machine.path(_FILES[_SERVICE]).exists():
        machine.run("systemctl", "disable", *now, _SERVICE, _TIMER)
    for place in _FILES.values():
        machine.path(place).unlink(missing_ok=True)
    if _is_ours(machine.path(_COMMAND)):
        machine.path(_COMMAND).unlink()
    if machine.is_running:
        machine.run("systemctl", "daemon-reload")
    if purge:
        machine.path(DEFAULT_ENV_FILE).unlink(missing_ok=True)
        for folder in _DATA:
            shutil.rmtree(machine.path(folder), ignore_errors=True)
    stdout.print("removed" if purge else f"removed; kept are {', '.join(_DATA)} and the settings")


def _owned(root: Path) -> Machine:
    if os.geteuid() != 0:
        raise AioFailed("This changes the machine: run it as root.")
    return Machine(root)


def _own(machine: Machine, place: str) -> Sequence[str]:
    """With --root these programs look a configuration up by its name."""
    return (place,) if machine.is_running else (Path(place).name,)


def _packaged(name: str) -> str:
    return files("app.cli").joinpath("units", name).read_text(encoding="utf-8")


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as opened:
        os.fchmod(opened.fileno(), mode)
        opened.write(text)


def _offer_command(machine: Machine, text: str) -> None:
    """For the shells of admins; another program of that name stays."""
    place = machine.path(_COMMAND)
    if place.exists() and not _is_ours(place):
        stdout.print(f"{_COMMAND} is there already, and stays as it is", highlight=False)
    else:
        _write(place, text, mode=0o755)


def _is_ours(file: Path) -> bool:
    return file.exists() and _OURS in file.read_text(encoding="utf-8", errors="replace")


def _rewrite(file: Path, text: str) -> None:
    """Whole or not at all; owner and mode stay."""
    unfinished = file.with_name(f"{file.name}.new")
    kept = file.stat()
    _write(unfinished, text, kept.st_mode & 0o777)
    os.chown(unfinished, kept.st_uid, kept.st_gid)
    unfinished.replace(file)


def _give(machine: Machine, file: Path) -> None:
    """To the service's group, which may read it."""
    for line in machine.path("/etc/group").read_text().splitlines():
        name, _, number, *_ = line.split(":")
        if name == "chargeback":
            os.chown(file, 0, int(number))


def _insist_on_reachable(machine: Machine, program: Path) -> None:
    """The service's user must be able to run the program, and must not see /home or /root."""
    hidden = program.parts[:2] in ((os.sep, "home"), (os.sep, "root"))
    way = [machine.path(program), *machine.path(program).parents]
    closed = [path for path in way if path.is_relative_to(machine.root) and not _is_open(path)]
    if hidden or closed:
        why = "is hidden from services" if hidden else f"cannot be reached: {closed[-1]}"
        raise AioFailed(f"{program} {why}. Install the service into /opt/chargeback, say.")


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & 0o001)


def _assignment(written: str) -> tuple[str, str]:
    name, equals, value = written.partition("=")
    if not equals:
        raise AioFailed(f"{written!r} is no setting: write KEY=VALUE.")
    return name, value


def _restart(machine: Machine) -> None:
    machine.run("systemctl", "restart", _SERVICE)
    address = _address(machine)
    deadline = time.monotonic() + _START_SECONDS
    while not _answers(address):
        if _activity(machine, _SERVICE) not in ("active", "activating"):
            raise AioFailed(f"The service ended: {_last_words(machine)}")
        if time.monotonic() > deadline:
            raise AioFailed(f"{address} does not answer: see journalctl -u {_SERVICE}.")
        time.sleep(0.3)
    stdout.print(f"running at {address}", markup=False, highlight=False)


def _activity(machine: Machine, unit: str) -> str:
    return machine.says("is-active", unit) if machine.is_running else "not started"


def _last_words(machine: Machine) -> str:
    try:
        return machine.run("journalctl", "-u", _SERVICE, "-n", "3", "-o", "cat", "--no-pager")
    except AioFailed:
        return f"see journalctl -u {_SERVICE}"


def _address(machine: Machine) -> str:
    """Of the installed unit; "" when there is none."""
    try:
        unit = machine.path(_FILES[_SERVICE]).read_text()
    except FileNotFoundError:
        return ""
    (start,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    words = start.split()
    host, port = words[words.index("--host") + 1], words[words.index("--port") + 1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  to ask
    return f"http://{shown}:{port}"


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=5) as answer:  # noqa: S310  ours
            return bool(answer.status == 200)
    except OSError:
        return False


def _may_look(machine: Machine) -> bool:
    return os.access(machine.path(_DATA[1]), os.R_OK | os.X_OK)


def _presence(machine: Machine, place: str) -> str:
    return place if machine.path(place).exists() else f"{place}, not there"
