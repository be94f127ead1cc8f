"""`chargeback systemd`: install and run the service under systemd on a Linux machine.

`_FILES` and `_COMMAND` are all the files that are written outside the data directory. With a root
directory other than `/`, the same files are written into it, for images, and nothing is started.
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

from app.cli.help import command, command_group
from app.console import print_line, stdout
from app.domain.errors import ChargebackError
from app.settings import DEFAULT_ENV_FILE, Settings, SettingsFile, default_settings_file

systemd = command_group("Install, configure, restart and remove the service under systemd.")

_SERVICE, _TIMER = "chargeback.service", "chargeback-backup.timer"
_FILES: Mapping[str, str] = {
    "chargeback.service": "/etc/systemd/system/chargeback.service",
    "chargeback-backup.service": "/etc/systemd/system/chargeback-backup.service",
    "chargeback-backup.timer": "/etc/systemd/system/chargeback-backup.timer",
    "sysusers.conf": "/etc/sysusers.d/chargeback.conf",
    "tmpfiles.conf": "/etc/tmpfiles.d/chargeback.conf",
}
_COMMAND = "/usr/local/bin/chargeback"
_COMMAND_MARK = "Written by `chargeback systemd install`"
_DATA_DIR, _BACKUP_DIR = "/var/lib/chargeback", "/var/backups/chargeback"
_START_TIMEOUT_SECONDS = 120


class SystemdError(ChargebackError):
    """The machine cannot run the service under systemd, or a step failed."""

    code, status = "SYSTEMD_FAILED", 500


@dataclass(frozen=True)
class Machine:
    """The running machine, or the root directory of an image."""

    root: Path

    @property
    def is_running(self) -> bool:
        """Whether services can be started: not in the root directory of an image."""
        return self.root == Path("/")

    def path(self, absolute: str | Path) -> Path:
        """Return the path of a file of the machine."""
        return self.root / str(absolute).lstrip("/")

    def run(self, program: str, *arguments: str) -> str:
        """Run one of systemd's programs on this machine and return its output.

        Raises:
            SystemdError: The program is missing, or failed; the message quotes it.
        """
        found = shutil.which(program)
        if found is None:
            raise SystemdError(f"{program} is missing: this command needs Linux with systemd.")
        root = () if self.is_running else (f"--root={self.root}",)
        completed = subprocess.run(  # noqa: S603  a program of systemd
            (found, *root, *arguments), capture_output=True, text=True, check=False
        )
        if completed.returncode != 0:
            output = " ".join((completed.stderr or completed.stdout).split())
            reason = output or completed.returncode
            raise SystemdError(f"{program} {' '.join(arguments)} failed: {reason}")
        return completed.stdout.strip()

    def unit_state(self, *arguments: str) -> str:
        """Return a unit's state; systemctl exits with an error for inactive and disabled ones."""
        try:
            return self.run("systemctl", *arguments)
        except SystemdError as error:
            return str(error).rpartition(" ")[2]


Root = Annotated[
    Path,
    typer.Option(
        metavar="DIR",
        help="Work on the image in this root directory instead; nothing is started.",
        exists=True,
        file_okay=False,
        resolve_path=True,
    ),
]
_MACHINE = Path("/")


@command(systemd, "install", examples=["systemd install", "systemd install --port 8080"])
def install(
    host: Annotated[
        str, typer.Option(metavar="HOST", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", help="The port to listen on.", min=1, max=65535)
    ] = 8000,
    program: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The chargeback program to run. Default: this one."),
    ] = None,
    root: Root = _MACHINE,
) -> None:
    """Install the service, its user and its nightly backup, and start it.

    Run it again to upgrade.
    """
    machine = _require_root(root)
    chosen = program or Path(sys.prefix) / "bin" / "chargeback"
    _require_reachable(machine, chosen)
    variables = {"program": str(chosen), "host": host, "port": str(port)}
    for name, target in _FILES.items():
        _write(machine.path(target), Template(_read_template(name)).substitute(variables))
    _install_command(machine, Template(_read_template("command.sh")).substitute(variables))
    machine.run("systemd-sysusers", *_config_argument(machine, "/etc/sysusers.d/chargeback.conf"))
    machine.run(
        "systemd-tmpfiles",
        "--create",
        *_config_argument(machine, "/etc/tmpfiles.d/chargeback.conf"),
    )
    if not machine.path(DEFAULT_ENV_FILE).exists():
        _write(machine.path(DEFAULT_ENV_FILE), default_settings_file(), mode=0o640)
        _share_with_service(machine, machine.path(DEFAULT_ENV_FILE))
    machine.run("systemctl", "enable", _SERVICE, _TIMER)
    stdout.print(f"installed {_FILES[_SERVICE]}")
    if machine.is_running:
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", _TIMER)
        _restart(machine)


@command(
    systemd, "configure", examples=["systemd configure ADMIN_USER_LIST=ada LOG_LEVEL=warning"]
)
def configure(
    settings: Annotated[
        list[str],
        typer.Argument(
            metavar="SETTING=VALUE...", help="An empty value restores the setting's default."
        ),
    ],
    root: Root = _MACHINE,
) -> None:
    """Change /etc/default/chargeback. `systemd restart` makes the service use the new values."""
    machine = _require_root(root)
    path = machine.path(DEFAULT_ENV_FILE)
    file = SettingsFile.read(path)
    for name, value in map(_parse_assignment, settings):
        file = file.with_setting(name, value)
    file.validate()
    if path.exists():
        _replace(path, file.text)
    else:
        _write(path, file.text, mode=0o640)
        _share_with_service(machine, path)
    print_line(f"wrote {DEFAULT_ENV_FILE}; now run: chargeback systemd restart")


@command(systemd, "restart", examples=["systemd restart"])
def restart(root: Root = _MACHINE) -> None:
    """Check the settings, restart the service, and wait until it is ready."""
    machine = _require_root(root)
    if not machine.is_running:
        raise SystemdError("Nothing runs in a root directory: restart needs the running machine.")
    Settings.load()
    _restart(machine)


@command(systemd, "status", examples=["systemd status"])
def status(root: Root = _MACHINE) -> None:
    """Show what is installed and whether it runs. Exit with 3 unless the service is ready."""
    machine = Machine(root)
    url = _service_url(machine)
    is_ready = machine.is_running and url != "" and _is_ready(url)
    backups = sorted(machine.path(_BACKUP_DIR).glob("*.dump")) if _can_list(machine) else []
    table = Table("Item", "State", show_header=False)
    for item, state in (
        ("service", _describe_unit(machine, _SERVICE)),
        ("backups", _describe_unit(machine, _TIMER)),
        ("address", f"{url or 'none'}, {'ready' if is_ready else 'not ready'}"),
        ("settings", _describe_path(machine, str(DEFAULT_ENV_FILE))),
        ("data", _describe_path(machine, _DATA_DIR)),
        ("latest backup", backups[-1].name if backups else "none"),
    ):
        table.add_row(item, state)
    stdout.print(table)
    if not is_ready:
        raise typer.Exit(3)


@command(systemd, "uninstall", examples=["systemd uninstall"])
def uninstall(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also delete the data, the backups and the settings.")
    ] = False,
    root: Root = _MACHINE,
) -> None:
    """Stop and remove the service. Its data, backups, settings and user stay."""
    machine = _require_root(root)
    now = ("--now",) if machine.is_running else ()
    if machine.path(_FILES[_SERVICE]).exists():
        machine.run("systemctl", "disable", *now, _SERVICE, _TIMER)
    for target in _FILES.values():
        machine.path(target).unlink(missing_ok=True)
    if _is_our_command(machine.path(_COMMAND)):
        machine.path(_COMMAND).unlink()
    if machine.is_running:
        machine.run("systemctl", "daemon-reload")
    if purge:
        machine.path(DEFAULT_ENV_FILE).unlink(missing_ok=True)
        for folder in (_DATA_DIR, _BACKUP_DIR):
            shutil.rmtree(machine.path(folder), ignore_errors=True)
    print_line(
        "removed" if purge else f"removed; kept {_DATA_DIR}, {_BACKUP_DIR} and {DEFAULT_ENV_FILE}"
    )


def _require_root(root: Path) -> Machine:
    if os.geteuid() != 0:
        raise SystemdError("This command changes the machine: run it as root.")
    return Machine(root)


def _config_argument(machine: Machine, path: str) -> Sequence[str]:
    """Return the path of a configuration; with --root systemd's programs want its name."""
    return (path,) if machine.is_running else (Path(path).name,)


def _read_template(name: str) -> str:
    return files("app.cli").joinpath("units", name).read_text(encoding="utf-8")


def _write(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as opened:
        os.fchmod(opened.fileno(), mode)
        opened.write(text)


def _install_command(machine: Machine, text: str) -> None:
    """Install the command for admins' shells, unless another program has its name."""
    path = machine.path(_COMMAND)
    if path.exists() and not _is_our_command(path):
        print_line(f"{_COMMAND} exists already and was not replaced")
    else:
        _write(path, text, mode=0o755)


def _is_our_command(file: Path) -> bool:
    return file.exists() and _COMMAND_MARK in file.read_text(encoding="utf-8", errors="replace")


def _replace(file: Path, text: str) -> None:
    """Replace a file atomically; owner and mode stay."""
    temporary = file.with_name(f"{file.name}.new")
    status = file.stat()
    _write(temporary, text, status.st_mode & 0o777)
    os.chown(temporary, status.st_uid, status.st_gid)
    temporary.replace(file)


def _share_with_service(machine: Machine, file: Path) -> None:
    """Let the service's group own the file, so that the service can read it."""
    for line in machine.path("/etc/group").read_text().splitlines():
        name, _, number, *_ = line.split(":")
        if name == "chargeback":
            os.chown(file, 0, int(number))


def _require_reachable(machine: Machine, program: Path) -> None:
    """Reject a program that the service's user cannot run, or that the unit hides from it."""
    is_hidden = program.parts[:2] in ((os.sep, "home"), (os.sep, "root"))
    path = [machine.path(program), *machine.path(program).parents]
    closed = [
        each for each in path if each.is_relative_to(machine.root) and not _is_executable(each)
    ]
    if is_hidden or closed:
        why = "is hidden from services" if is_hidden else f"cannot be reached: {closed[-1]}"
        raise SystemdError(
            f"{program} {why}. Install the service in /opt/chargeback, for example."
        )


def _is_executable(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & 0o001)


def _parse_assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SystemdError(f"{text!r} is not a setting: write SETTING=VALUE.")
    return name, value


def _restart(machine: Machine) -> None:
    machine.run("systemctl", "restart", _SERVICE)
    url = _service_url(machine)
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while not _is_ready(url):
        if _active_state(machine, _SERVICE) not in ("active", "activating"):
            raise SystemdError(f"The service exited: {_last_log_lines(machine)}")
        if time.monotonic() > deadline:
            raise SystemdError(f"{url} is not ready: see journalctl -u {_SERVICE}.")
        time.sleep(0.3)
    print_line(f"running at {url}")


def _active_state(machine: Machine, unit: str) -> str:
    return machine.unit_state("is-active", unit) if machine.is_running else "not started"


def _describe_unit(machine: Machine, unit: str) -> str:
    return f"{machine.unit_state('is-enabled', unit)}, {_active_state(machine, unit)}"


def _last_log_lines(machine: Machine) -> str:
    try:
        return machine.run("journalctl", "-u", _SERVICE, "-n", "3", "-o", "cat", "--no-pager")
    except SystemdError:
        return f"see journalctl -u {_SERVICE}"


def _service_url(machine: Machine) -> str:
    """Return the URL of the installed unit, or "" if none is installed."""
    try:
        unit = machine.path(_FILES[_SERVICE]).read_text()
    except FileNotFoundError:
        return ""
    (start,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    arguments = start.split()
    host = arguments[arguments.index("--host") + 1]
    port = arguments[arguments.index("--port") + 1]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104  to connect
    return f"http://{reachable}:{port}"


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as response:  # noqa: S310  ours
            return bool(response.status == 200)
    except OSError:
        return False


def _can_list(machine: Machine) -> bool:
    return os.access(machine.path(_BACKUP_DIR), os.R_OK | os.X_OK)


def _describe_path(machine: Machine, path: str) -> str:
    return path if machine.path(path).exists() else f"{path}, missing"
