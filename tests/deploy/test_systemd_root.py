"""`chargeback systemd` on a root directory, as image builders use it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import clean_environment

pytestmark = pytest.mark.deploy


def run_systemd(*words: str, root: Path, status: int = 0) -> str:
    completed = subprocess.run(
        (sys.executable, "-m", "app", "systemd", *words, "--root", str(root)),
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    assert completed.returncode == status, completed.stderr
    return (completed.stdout + completed.stderr).strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory that holds the program only."""
    tmp_path.chmod(0o755)
    program = tmp_path / "opt/chargeback/bin/chargeback"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    return tmp_path


def install(root: Path, *words: str, status: int = 0) -> str:
    return run_systemd(
        "install", "--program", "/opt/chargeback/bin/chargeback", *words, root=root, status=status
    )


def test_install_writes_units_user_directories_and_settings_and_enables_both_units(
    root: Path,
) -> None:
    install(root, "--host", "192.0.2.7", "--port", "9000")

    units = root / "etc/systemd/system"
    start = "ExecStart=/opt/chargeback/bin/chargeback serve --host 192.0.2.7 --port 9000\n"
    assert start in (units / "chargeback.service").read_text()
    assert (units / "multi-user.target.wants/chargeback.service").is_symlink()
    assert (units / "timers.target.wants/chargeback-backup.timer").is_symlink()
    (user,) = (root / "etc/passwd").read_text().splitlines()
    assert user.startswith("chargeback:x:")
    number = int(user.split(":")[2])
    assert (root / "var/backups/chargeback").stat().st_uid == number
    assert (root / "etc/default/chargeback").stat().st_mode & 0o777 == 0o640
    command = root / "usr/local/bin/chargeback"
    assert command.stat().st_mode & 0o777 == 0o755
    assert 'exec "/opt/chargeback/bin/chargeback" "$@"\n' in command.read_text()


def test_reinstalling_keeps_the_settings(root: Path) -> None:
    install(root)
    run_systemd("configure", "SESSION_LIFETIME_HOURS=6", "ADMIN_USER_LIST=ada,bob", root=root)
    install(root)

    lines = (root / "etc/default/chargeback").read_text().splitlines()
    assert lines[-2:] == ["SESSION_LIFETIME_HOURS='6'", "ADMIN_USER_LIST='ada,bob'"]


def test_install_and_uninstall_keep_another_program_of_that_name(root: Path) -> None:
    another = root / "usr/local/bin/chargeback"
    another.parent.mkdir(parents=True)
    another.write_text("#!/bin/sh\n")

    assert "/usr/local/bin/chargeback exists already" in install(root)
    run_systemd("uninstall", root=root)
    assert another.read_text() == "#!/bin/sh\n"


def test_uninstall_keeps_settings_and_backups_and_removes_the_rest(root: Path) -> None:
    install(root)
    run_systemd("uninstall", root=root)

    left = list((root / "etc").rglob("*chargeback*"))
    assert left == [root / "etc/default/chargeback"]
    assert not (root / "usr/local/bin/chargeback").exists()
    assert (root / "var/backups/chargeback").is_dir()


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("/root/venv/bin/chargeback", "is hidden from services"),
        ("/opt/none/chargeback", "cannot be reached"),
    ],
)
def test_install_refuses_a_program_that_the_service_cannot_run(
    root: Path, program: str, reason: str
) -> None:
    assert reason in run_systemd("install", "--program", program, root=root, status=1)
    assert not (root / "etc").exists()


def test_restart_is_refused_in_a_root_directory(root: Path) -> None:
    assert "Nothing runs in a root directory" in run_systemd("restart", root=root, status=1)
