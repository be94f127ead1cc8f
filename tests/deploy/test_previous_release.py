"""The previous release, with its own code and libraries, works on the schema of this one.

Before the first release, the commit before the latest migration stands in for it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import clean_environment

ROOT = Path(__file__).parents[2]
EVENTS = ("generate", "--months", "3", "--users", "30", "--until", "2026-11")
MORE_EVENTS = (*EVENTS, "--seed", "7")

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]  # Downloads the old wheels.


def git(*words: str) -> str:
    completed = subprocess.run(
        ("git", *words), cwd=ROOT, capture_output=True, text=True, check=True
    )
    return completed.stdout.strip()


def find_previous_revision() -> str:
    """Return the latest tag before this commit, or the commit before the latest migration."""
    if tags := git("tag", "--list", "v*", "--merged", "HEAD~1", "--sort=-creatordate"):
        return tags.split()[0]
    if len([*Path("app/db/migrations/versions").glob("[0-9]*.py")]) == 1:
        pytest.skip("No release and no migration came before this schema.")
    added = git("log", "--format=%H", "--diff-filter=A", "--", "app/db/migrations/versions")
    return f"{added.split()[0]}^"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `chargeback` command of the previous release, installed in a folder of its own."""
    folder = tmp_path_factory.mktemp("old")
    archive = subprocess.run(
        ("git", "archive", find_previous_revision()), cwd=ROOT, capture_output=True, check=True
    )
    subprocess.run(("tar", "-x", "-C", folder), input=archive.stdout, check=True)
    subprocess.run((sys.executable, "-m", "venv", ".venv"), cwd=folder, check=True)
    for words in (
        ("--require-hashes", "--requirement", "requirements/runtime.lock"),
        ("--no-deps", "--no-build-isolation", "."),
    ):
        pip = (".venv/bin/python", "-m", "pip", "install", "--quiet", *words)
        subprocess.run(pip, cwd=folder, check=True)
    return folder / ".venv/bin/chargeback"


NEW = Path(sys.executable).parent / "chargeback"


def run(program: Path, *words: str | Path, store: Path, standard_input: bytes = b"") -> str:
    completed = subprocess.run(
        (program, *words),
        input=standard_input,
        capture_output=True,
        check=False,
        cwd=store.parent,
        env=clean_environment(CHARGEBACK_DATA_DIR=str(store), PATH=os.defpath),
    )
    assert completed.returncode == 0, (program, words, completed.stdout, completed.stderr)
    return completed.stdout.decode().strip()


def generate_events(store: Path, *words: str) -> bytes:
    return run(NEW, *words, store=store).encode()


def read_report(program: Path, store: Path) -> str:
    return run(program, "report", "2026-10", "--format", "json", store=store)


def test_the_previous_release_works_on_the_migrated_schema(old: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run(old, "import", "-", store=store, standard_input=generate_events(store, *EVENTS))
    pending = run(NEW, "db", "upgrade", "--dry-run", store=store)
    run(NEW, "db", "upgrade", store=store)

    more_events = generate_events(store, *MORE_EVENTS)
    imported = run(old, "import", "-", store=store, standard_input=more_events)
    verified = run(old, "months", "verify", "2026-10", store=store)
    old_report = read_report(old, store)

    assert "would run" in pending
    assert imported.startswith("accepted ")
    assert verified == "2026-10 matches its events"
    assert run(NEW, "months", "verify", "2026-10", store=store) == verified
    assert read_report(NEW, store) == old_report


def test_this_release_restores_a_backup_of_the_previous_one(old: Path, tmp_path: Path) -> None:
    store, restored, file = tmp_path / "store", tmp_path / "restored", tmp_path / "store.dump"
    run(old, "import", "-", store=store, standard_input=generate_events(store, *EVENTS))
    run(old, "months", "close", "2026-09", store=store)
    old_report = read_report(old, store)
    run(old, "backup", file, store=store)

    run(NEW, "restore", file, store=restored)

    assert read_report(NEW, restored) == old_report
    assert run(NEW, "months", "verify", "2026-09", store=restored) == (
        "2026-09 and its corrections match its events; no row changed since it was closed"
    )
