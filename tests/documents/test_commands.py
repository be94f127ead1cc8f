"""The commands of the documentation work as printed.

`make test` runs those of the first steps; `make pages` runs all.
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
    CONTAINER_PAGES,
    LANGUAGES,
    MACHINE_PAGES,
    PAGES,
    ROOT,
    SHELL_PAGES,
    blocks,
    commands,
    needs_clone,
)
from tests.process.test_cometx import cometx

__all__ = ["cometx"]

FIRST_STEPS = "docs/getting-started.md"


@pytest.mark.parametrize("page", PAGES)
def test_every_block_has_a_language_and_only_commands_may_be_exempt_from_running(
    page: str,
) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES
    assert [
        block.text for block in blocks(page) if block.not_run and block.language != "bash"
    ] == []
    reasons = re.findall("^<!-- not run:", PAGES[page], re.MULTILINE)
    assert len(reasons) == sum(bool(block.not_run) for block in blocks(page))


def test_pages_that_other_tests_run_have_commands() -> None:
    assert all(commands(page) for page in MACHINE_PAGES | CONTAINER_PAGES)


@pytest.mark.timeout(900)  # Most commands start PostgreSQL, which is slow on a busy machine.
def test_the_first_steps_work_as_printed(tmp_path: Path) -> None:
    with DocShell(tmp_path, {}) as shell:
        for block in commands(FIRST_STEPS):
            shell.run(block)

    assert (tmp_path / "store.dump").stat().st_size > 10_000
    report = json.loads((tmp_path / "2026-10.json").read_bytes())
    assert report["reportDate"] == "2026-10"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> DocShell:
    """A store with the events of the first steps and an admin's key; no service runs."""
    shell = DocShell(tmp_path_factory.mktemp("template"), {})
    shell.run("chargeback generate --months 14 --users 40 --until 2026-11 > events.ndjson")
    shell.run("chargeback import events.ndjson")
    other = shell.run("chargeback keys create --user ada")
    shell.replacements = {"08NzwuxWPJ21": other.split("_")[1]}
    shell.run("chargeback keys create --user ada --scope admin --scope directory:write")
    return shell


@pytest.fixture
async def server(postgres: str) -> str:
    """The URL of an empty database."""
    await execute_as_superuser(postgres, "DROP DATABASE IF EXISTS documents WITH (FORCE)")
    await execute_as_superuser(postgres, "CREATE DATABASE documents")
    return with_database_name(postgres, "documents")


@pytest.fixture
def shell(template: DocShell, cometx: Path, server: str, tmp_path: Path) -> Iterator[DocShell]:
    """A shell with a copy of the template's store, and the replacements for all pages."""
    subprocess.run(("cp", "-a", template.folder / "store", tmp_path), check=True)
    replacements = {
        **template.replacements,
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
    with DocShell(tmp_path, replacements, programs=str(cometx.parent)) as shell:
        yield shell


SERVE = "chargeback serve"
GENERATE_FILES = """
chargeback generate --seed 7 --months 2 --users 5 --until 2026-11 > events.ndjson
cp events.ndjson 2026-10.ndjson
gzip -c events.ndjson > 2026-09.ndjson.gz
"""
EXPORT_REPORTS = (
    "for m in 10 11 12; do chargeback report 2025-$m --format json > 2025-$m.json; done"
)
PREPARATION: Mapping[str, tuple[str, ...]] = {
    "README.md": (SERVE,),
    "docs/admin/months.md": (SERVE,),
    "docs/audit.md": ("chargeback organizations create acme",),
    "docs/feed.md": (SERVE, GENERATE_FILES),
    "docs/graphql.md": (SERVE,),
    "docs/import-report.md": (SERVE, EXPORT_REPORTS),
    "docs/operations.md": (SERVE,),
    "docs/rest.md": (SERVE,),
    "docs/scim.md": (SERVE,),
}
"""The commands to run before the first block of a page."""


@pytest.mark.pages
@pytest.mark.timeout(900)  # A page may install all wheels.
@pytest.mark.parametrize("page", sorted(SHELL_PAGES - {FIRST_STEPS}))
def test_every_block_of_a_page_works_as_printed(page: str, shell: DocShell) -> None:
    for name, content in re.findall(
        r"^`([\w-]+\.\w+)`:\n\n```\w*\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL
    ):
        (shell.folder / name).write_text(content)
    for block in PREPARATION.get(page, ()):
        shell.run(block)
    url = shell.replacements.get("http://127.0.0.1:8000", "")
    shell.replacements |= {
        "eyJi…": base64.b64encode(json.dumps({"baseUrl": url}).encode()).decode(),
        # Import from this service into new stores.
        "https://reports.example --api-key KEY": f"{url} --api-key {shell.replacements['cbk_…']}",
        "import-report 2025": "import-report --data-dir from-files 2025",
        "import-report --from": "import-report --data-dir from-a-server --from",
    }

    for block in commands(page):
        if not needs_clone(block):
            shell.run(block)


def test_the_documented_sources_file_is_valid(tmp_path: Path) -> None:
    (example,) = (block.text for block in blocks("docs/sources.md") if "kind =" in block.text)
    file = tmp_path / "sources.toml"
    file.write_text(example)

    assert [(each.name, each.every) for each in read_source_configs(file)] == [
        ("tracking", timedelta(hours=1))
    ]


@pytest.mark.pages
async def test_after_the_documented_sql_the_service_works_with_its_own_role(
    tmp_path: Path,
) -> None:
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
        role = (await database.traits()).role
        await database.close()

    assert role == "chargeback_app"
