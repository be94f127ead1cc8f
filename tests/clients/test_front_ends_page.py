"""The code of docs/front-ends.md generates types and compiles, as printed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path("docs/front-ends.md")
FILE = re.compile(r"^```ts\n// (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCHEMA = Path("schema/schema.graphql")


@pytest.fixture
def project(front_end: Path, tmp_path: Path) -> Path:
    """A project with the files of the page; each block begins with its path."""
    for path, text in FILE.findall(PAGE.read_text()):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(front_end / name, tmp_path)
    shutil.copy(SCHEMA, tmp_path)
    (tmp_path / "node_modules").symlink_to(front_end / "node_modules")
    return tmp_path


def run(project: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (project / "node_modules/.bin" / program, *arguments),
        cwd=project,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_code_of_the_page_generates_types_and_compiles(project: Path) -> None:
    generated = run(project, "graphql-codegen")
    assert generated.returncode == 0, generated.stdout + generated.stderr
    types = (project / "src/gql/graphql.ts").read_text()
    assert re.search(r"totalSizeBytes: number, amount: string \| null", types)
    assert re.search(r"month: string;\s+minimumSizeBytes\?: number \| null", types)

    compiled = run(project, "tsc", "--project", ".")
    assert compiled.returncode == 0, compiled.stdout

    # A figure that is missing from the query is an error.
    client = project / "src/client.ts"
    client.write_text(client.read_text().replace("each.name", "each.numberOfMembers"))
    assert "numberOfMembers" in run(project, "tsc", "--project", ".").stdout


def test_a_scalar_without_a_type_is_an_error(project: Path) -> None:
    config = project / "codegen.ts"
    config.write_text(re.sub(r".*Decimal: .*\n", "", config.read_text()))

    generated = run(project, "graphql-codegen")

    assert generated.returncode != 0
    assert "Unknown scalar type Decimal" in generated.stdout + generated.stderr
