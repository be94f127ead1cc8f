"""Blocks of commands that the documents show, run as printed, page by page.

The suite runs the first steps; `make pages` runs every page.
"""

import base64
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from app.db.engine import Database
from app.postgres.database import with_database_name
from app.postgres.embedded import EmbeddedPostgres
from app.postgres.programs import find_bin_folder
from app.services.source_config import read_source_configs
from tests.conftest import execute_as_superuser
from tests.documents.doc_shell import TOKEN, DocShell
from tests.documents.pages import (
    IN_A_SHELL,
    IN_CONTAINERS,
    LANGUAGES,
    ON_A_MACHINE,
    PAGES,
    ROOT,
    blocks,
    commands,
    is_of_a_clone,
)
from tests.process.test_cometx import cometx

__all__ = ["cometx"]

FIRST_STEPS = "docs/getting-started.md"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is_and_every_command_is_run_or_says_why_not(page: str) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert [
        block.text for block in blocks(page) if block.not_run and block.language != "bash"
    ] == []
    reasons = re.findall("^<!-- not run:", PAGES[page], re.MULTILINE)
    assert len(reasons) == sum(bool(block.not_run) for block in blocks(page))


def test_pages_that_are_run_elsewhere_are_there() -> None:
    assert all(commands(page) for page in ON_A_MACHINE | IN_CONTAINERS)


def test_the_first_steps_work_as_printed_one_after_the_other(tmp_path: Path) -> None:
    with DocShell(tmp_path, {}) as shell:
        for block in commands(FIRST_STEPS):
            shell.run(block)

    assert (tmp_path / "store.dump").stat().st_size > 10_000
    report = json.loads((tmp_path / "2026-10.json").read_bytes())
    assert report["reportDate"] == "2026-10"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> DocShell:
    """A store with the first steps' events, not served, and an admin's key."""
    shell = DocShell(tmp_path_factory.mktemp("ready"), {})
    shell.run("chargeback generate --months 14 --users 40 --until 2026-11 > events.ndjson")
    shell.run("chargeback import events.ndjson")
    other = shell.run("chargeback keys create --user ada")
    shell.shown = {"08NzwuxWPJ21": other.split("_")[1]}
    shell.run("chargeback keys create --user ada --scope admin")
    return shell


@pytest.fixture
async def server(postgres: str) -> str:
    """An empty database on a server, as a URL."""
    await execute_as_superuser(postgres, "DROP DATABASE IF EXISTS documents WITH (FORCE)")
    await execute_as_superuser(postgres, "CREATE DATABASE documents")
    return with_database_name(postgres, "documents")


@pytest.fixture
def shell(ready: DocShell, cometx: Path, server: str, tmp_path: Path) -> Iterator[DocShell]:
    """With a copy of the store, and what pages show in other words."""
    subprocess.run(("cp", "-a", ready.folder / "store", tmp_path), check=True)
    shown = {
        **ready.shown,
        "postgresql://chargeback:password@db.example:5432/chargeback": server,
        "postgresql://chargeback:password@db.example:5432/reports": server,
        "/var/backups/chargeback": f"{tmp_path}/backups",
        "/srv/elsewhere": f"{tmp_path}/elsewhere",
        "/var/lib/chargeback": f"{tmp_path}/store",
        "/opt/chargeback": f"{tmp_path}/programs",
        "/usr/lib/postgresql/18/bin": str(find_bin_folder()),
        "requirements/runtime.lock": f"{ROOT}/requirements/runtime.lock",
        "no-build-isolation .": f"no-build-isolation {ROOT}",
        "<METRICS_TOKEN>": TOKEN,
    }
    with DocShell(tmp_path, shown, programs=str(cometx.parent)) as shell:
        yield shell


SERVED = "chargeback serve"
FILES = """
chargeback generate --seed 7 --months 2 --users 5 --until 2026-11 > events.ndjson
cp events.ndjson 2026-10.ndjson
gzip -c events.ndjson > 2026-09.ndjson.gz
"""
REPORTS = "for m in 10 11 12; do chargeback report 2025-$m --format json > 2025-$m.json; done"
PREPARED: Mapping[str, tuple[str, ...]] = {
    "README.md": (SERVED,),
    "docs/admin/months.md": (SERVED,),
    "docs/audit.md": ("chargeback organizations create acme",),
    "docs/feed.md": (SERVED, FILES),
    "docs/graphql.md": (SERVED,),
    "docs/import-report.md": (SERVED, REPORTS),
    "docs/month-end.md": (SERVED,),
    "docs/operations.md": (SERVED,),
    "docs/rest.md": (SERVED,),
    "docs/scim.md": (SERVED,),
}
"""What is done before a page's first block."""


@pytest.mark.pages
@pytest.mark.timeout(900)  # All wheels may be fetched.
@pytest.mark.parametrize("page", sorted(IN_A_SHELL - {FIRST_STEPS}))
def test_every_block_of_a_page_works_as_printed(page: str, shell: DocShell) -> None:
    for name, content in re.findall(
        r"^`([\w-]+\.\w+)`:\n\n```\w*\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL
    ):
        (shell.folder / name).write_text(content)
    for block in PREPARED.get(page, ()):
        shell.run(block)
    url = shell.shown.get("http://127.0.0.1:8000", "")
    shell.shown |= {
        "eyJi…": base64.b64encode(json.dumps({"baseUrl": url}).encode()).decode(),
        # From this service into stores beside its own.
        "https://reports.example --api-key KEY": f"{url} --api-key {shell.shown['cbk_…']}",
        "import-report 2025": "import-report --data-dir from-files 2025",
        "import-report --from": "import-report --data-dir from-a-server --from",
    }

    for block in commands(page):
        if not is_of_a_clone(block):
            shell.run(block)


def test_the_sources_file_that_is_shown_is_one(tmp_path: Path) -> None:
    (shown,) = (block.text for block in blocks("docs/sources.md") if "kind =" in block.text)
    file = tmp_path / "sources.toml"
    file.write_text(shown)

    assert [(each.name, each.every) for each in read_source_configs(file)] == [
        ("tracking", timedelta(hours=1))
    ]


@pytest.mark.pages
async def test_what_a_dba_runs_makes_the_service_work_as_its_role(tmp_path: Path) -> None:
    page = blocks("docs/admin/postgresql.md")
    (statements,) = (block.text for block in page if block.language == "sql")
    async with EmbeddedPostgres(tmp_path / "postgres") as server:
        await execute_as_superuser(server.url, "CREATE ROLE chargeback LOGIN")
        await execute_as_superuser(server.url, statements)
        await execute_as_superuser(server.url, "CREATE DATABASE reports OWNER chargeback")
        url = with_database_name(server.url, "reports").replace("postgres@", "chargeback@")
        shell = DocShell(tmp_path, {})
        shell.run(f"DATABASE_URL='{url}' chargeback organizations create research")
        database = Database(url, pool_size=2)
        role = await database.role()
        await database.close()

    assert role == "chargeback_app"
