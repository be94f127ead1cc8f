"""The release before this one, with its own code and libraries, on the schema of this one.

Before the first release it is the commit before the latest migration.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import clean_environment

ROOT = Path(__file__).parents[2]
EVENTS = ("generate", "--months", "3", "--users", "30", "--until", "2026-11")
MORE = (*EVENTS, "--seed", "7")

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]  # Its wheels are fetched.


def git(*words: str) -> str:
    told = subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=True)
    return told.stdout.strip()


def the_one_before() -> str:
    """The latest tag before this commit, or the commit before the latest migration."""
    if tags := git("tag", "--list", "v*", "--merged", "HEAD~1", "--sort=-creatordate"):
        return tags.split()[0]
    if len([*Path("app/db/migrations/versions").glob("[0-9]*.py")]) == 1:
        pytest.skip("No release and no migration came before this schema.")
    added = git("log", "--format=%H", "--diff-filter=A", "--", "app/db/migrations/versions")
    return f"{added.split()[0]}^"


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its `chargeback`, installed as the documents say."""
    folder = tmp_path_factory.mktemp("old")
    archive = subprocess.run(
        ("git", "archive", the_one_before()), cwd=ROOT, capture_output=True, check=True
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


def run(program: Path, *words: str | Path, store: Path, told: bytes = b"") -> str:
    ended = subprocess.run(
        (program, *words),
        input=told,
        capture_output=True,
        check=False,
        cwd=store.parent,
        env=clean_environment(CHARGEBACK_DATA_DIR=str(store), PATH=os.defpath),
    )
    assert ended.returncode == 0, (program, words, ended.stdout, ended.stderr)
    return ended.stdout.decode().strip()


def events(store: Path, *words: str) -> bytes:
    return run(NEW, *words, store=store).encode()


def report(program: Path, store: Path) -> str:
    return run(program, "report", "2026-10", "--format", "json", store=store)


def test_the_release_before_works_on_this_schema_until_it_is_replaced(
    old: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    run(old, "import", "-", store=store, told=events(store, *EVENTS))
    waiting = run(NEW, "db", "upgrade", "--dry-run", store=store)
    run(NEW, "db", "upgrade", store=store)

    stored = run(old, "import", "-", store=store, told=events(store, *MORE))
    verified = run(old, "months", "verify", "2026-10", store=store)
    told_by_old = report(old, store)

    assert "would run" in waiting
    assert stored.startswith("accepted ")
    assert verified == "2026-10 matches its events"
    assert run(NEW, "months", "verify", "2026-10", store=store) == verified
    assert report(NEW, store) == told_by_old


def test_its_backup_is_restored_by_this_one(old: Path, tmp_path: Path) -> None:
    store, again, file = tmp_path / "store", tmp_path / "again", tmp_path / "store.dump"
    run(old, "import", "-", store=store, told=events(store, *EVENTS))
    run(old, "months", "close", "2026-09", store=store)
    told_by_old = report(old, store)
    run(old, "backup", file, store=store)

    run(NEW, "restore", file, store=again)

    assert report(NEW, again) == told_by_old
    assert run(NEW, "months", "verify", "2026-09", store=again) == (
        "2026-09 and its corrections match its events; no row changed since it was closed"
    )
