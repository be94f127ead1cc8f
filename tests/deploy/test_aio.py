"""All in one, into a root folder: for images, and for machines that are not running."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import clean_environment

pytestmark = pytest.mark.deploy


def aio(*words: str, root: Path, status: int = 0) -> str:
    ended = subprocess.run(
        (sys.executable, "-m", "app", "aio", *words, "--root", str(root)),
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(),
    )
    assert ended.returncode == status, ended.stderr
    return (ended.stdout + ended.stderr).strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Empty but for the program."""
    tmp_path.chmod(0o755)
    program = tmp_path / "opt/chargeback/bin/chargeback"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    return tmp_path


def install(root: Path, *words: str, status: int = 0) -> str:
    return aio(
        "install", "--program", "/opt/chargeback/bin/chargeback", *words, root=root, status=status
    )


def test_it_writes_units_user_folders_and_settings_and_enables_both(root: Path) -> None:
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


def test_installing_again_keeps_the_settings(root: Path) -> None:
    install(root)
    aio("update-config", "SESSION_LIFETIME_HOURS=6", "ADMIN_USER_LIST=ada,bob", root=root)
    install(root)

    lines = (root / "etc/default/chargeback").read_text().splitlines()
    assert lines[-2:] == ["SESSION_LIFETIME_HOURS='6'", "ADMIN_USER_LIST='ada,bob'"]


def test_another_program_of_its_name_stays(root: Path) -> None:
    another = root / "usr/local/bin/chargeback"
    another.parent.mkdir(parents=True)
    another.write_text("#!/bin/sh\n")

    assert "/usr/local/bin/chargeback is there already" in install(root)
    aio("uninstall", root=root)
    assert another.read_text() == "#!/bin/sh\n"


def test_uninstalling_leaves_nothing_of_ours_but_what_is_stored(root: Path) -> None:
    install(root)
    aio("uninstall", root=root)

    left = list((root / "etc").rglob("*chargeback*"))
    assert left == [root / "etc/default/chargeback"]
    assert not (root / "usr/local/bin/chargeback").exists()
    assert (root / "var/backups/chargeback").is_dir()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/root/venv/bin/chargeback", "is hidden from services"),
        ("/opt/none/chargeback", "cannot be reached"),
    ],
)
def test_a_program_that_the_service_cannot_run_is_refused(
    root: Path, program: str, said: str
) -> None:
    assert said in aio("install", "--program", program, root=root, status=1)
    assert not (root / "etc").exists()


def test_nothing_is_restarted_in_a_root_folder(root: Path) -> None:
    assert "nothing to restart" in aio("restart-services", root=root, status=1)
