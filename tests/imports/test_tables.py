"""CSV and Parquet files import as documented; errors name the row and column."""

import gzip
import re
import shlex
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from app.cli.commands import cli
from app.cli.imports import import_tables
from app.connectors.files.mapping import default_mapping, read_mapping
from app.db.engine import Database
from app.domain.callers import DEFAULT_ORGANIZATION
from app.domain.errors import ChargebackError, InvalidArgument, InvalidRows
from app.services.organizations import find_organization
from tests.conftest import ClonedDatabase, GraphQLClient

DOCUMENT = (Path(__file__).parents[2] / "docs/files.md").read_text()
AT = datetime(2026, 11, 2, tzinfo=UTC)


GZIPPED = gzip.compress(b"username\n" + bytes(range(48, 100)) * 3, mtime=0)
CORRUPT_GZIP = GZIPPED[:12] + bytes(255 - each for each in GZIPPED[12:40]) + GZIPPED[40:]


@pytest.fixture
async def database_url(postgres: str, template: str) -> AsyncIterator[str]:
    """Return the URL of a fresh database for commands that open it themselves."""
    clone = ClonedDatabase(postgres, template)
    async with clone:
        yield clone.url


def test_the_documented_examples_print_what_the_page_shows(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in re.findall(
        r"^`([\w-]+\.\w+)`:\n\n```\w*\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL
    ):
        Path(name).write_text(content)
    sessions = re.findall(r"^```console\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert len(sessions) == 4

    for session in sessions:
        assert list(run_session(session, database_url)) == re.findall(
            r"^\$ chargeback (.*?)\n(.*?)(?=^\$|\Z)", session, re.MULTILINE | re.DOTALL
        )


def run_session(session: str, database_url: str) -> Any:
    """Yield each command of a console session with its output, without table borders."""
    for line in re.findall(r"^\$ chargeback (.*)$", session, re.MULTILINE):
        ran = CliRunner().invoke(
            cli, shlex.split(line), env={"DATABASE_URL": database_url, "COLUMNS": "100"}
        )
        output = ran.stdout
        if isinstance(ran.exception, ChargebackError):
            output = f"Error: {ran.exception}\n"
        else:
            assert ran.exception is None, ran.exception
        lines = [re.sub("[┃│]", " ", each).rstrip() for each in output.splitlines()]
        yield line, "".join(f"{each}\n" for each in lines if each and not set(each) & set("━┏└┡"))


async def import_csv(
    database: Database,
    tmp_path: Path,
    text: str | bytes,
    table: str = "experiments",
    **options: Any,
) -> None:
    """Import a CSV file that uses the standard column names."""
    file = tmp_path / "table.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    mapping = default_mapping(
        "/test", table, options.get("at", AT), complete=options.get("complete", False)
    )
    await import_file(database, file, mapping)


async def import_file(
    database: Database, file: Path, mapping: Any, *, dry_run: bool = False
) -> None:
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    await import_tables(database, found.organization_id, [str(file)], mapping, dry_run=dry_run)


REPORT_QUERY = """
{ chargebackReport(month: "2026-11") {
    numberOfExperiments totalSizeBytes
    users { licensedUsers { username email suspended serviceAccount createdAt deletedAt
                            uiUsageCount sdkUsageCount } }
    workspaces { name members { userName } projects { name numberOfExperiments totalSizeBytes } }
} }
"""


async def read_report(graphql: GraphQLClient) -> dict[str, Any]:
    found: dict[str, Any] = (await graphql(REPORT_QUERY))["chargebackReport"]
    return found


async def test_parquet_values_keep_their_types(
    database: Database, tmp_path: Path, graphql: GraphQLClient
) -> None:
    file = tmp_path / "people.parquet"
    columns: Mapping[str, list[Any]] = {
        "username": ["ann", "robot", "gone", None],
        "email": ["ann@x.test", None, "gone@x.test", None],
        "created_at": [date(2025, 3, 12), datetime(2026, 1, 1, 8, tzinfo=UTC), None, None],
        "deleted_at": [None, None, datetime(2026, 11, 1, tzinfo=UTC), None],
        "service_account": [False, True, None, None],
        "workspace": ["vision", "vision", "vision", "empty"],
        "ignored": [1.5, 2.5, 3.5, 4.5],
    }
    pq.write_table(pa.table(dict(columns)), file)

    await import_file(database, file, default_mapping("/test", "directory", AT, complete=False))

    found = await read_report(graphql)
    users = {each["username"]: each for each in found["users"]["licensedUsers"]}
    assert [(name, each["email"], each["serviceAccount"]) for name, each in users.items()] == [
        ("ann", "ann@x.test", False),
        ("gone", "gone@x.test", False),
        ("robot", None, True),
    ]
    assert users["ann"]["createdAt"] == "2025-03-12T00:00:00Z"
    assert users["gone"]["deletedAt"] == "2026-11-01T00:00:00Z"
    assert [(w["name"], [m["userName"] for m in w["members"]]) for w in found["workspaces"]] == [
        ("empty", []),
        ("vision", ["ann", "robot"]),
    ]


async def test_sizes_are_converted_to_bytes_and_rounded_half_up(
    database: Database, tmp_path: Path, graphql: GraphQLClient
) -> None:
    (tmp_path / "sizes.csv.gz").write_bytes(
        gzip.compress(b"\xef\xbb\xbfname,gib\nx,0.5\ny,0.0000000005\n")
    )
    (tmp_path / "sizes.toml").write_text(
        """
        source = "/test"
        table = "experiments"
        at = 2026-11-02
        [columns]
        experiment = "name"
        size_bytes = { column = "gib", times = 1073741824 }
        workspace = { value = "w" }
        project = { value = "p" }
        username = { value = "ann" }
        """
    )

    mapping = read_mapping(tmp_path / "sizes.toml", None, complete=False)
    await import_file(database, tmp_path / "sizes.csv.gz", mapping)

    # 0.5 GiB plus 0.54 bytes, rounded to 1.
    assert (await read_report(graphql))["totalSizeBytes"] == 536_870_913


async def test_a_deleted_experiment_is_not_created_again(
    database: Database, tmp_path: Path, graphql: GraphQLClient
) -> None:
    await import_csv(
        database,
        tmp_path,
        "experiment,workspace,project,username,size_bytes,created_at,deleted_at\n"
        "x,w,p,ann,7,2026-10-01,2026-11-01\n"
        "y,w,p,ann,9,,2026-11-01\n"
        "z,w,p,ann,11,2026-10-01,2026-11-20\n",
        at=datetime(2026, 11, 10, tzinfo=UTC),
    )

    assert (await read_report(graphql))["numberOfExperiments"] == 0
    october = await graphql(
        """{ chargebackReport(month: "2026-10") { numberOfExperiments totalSizeBytes } }"""
    )
    # z exists in October, but its size is known only from 10 November on.
    assert october["chargebackReport"] == {"numberOfExperiments": 2, "totalSizeBytes": 7}


async def test_a_complete_directory_ends_only_the_entities_it_lacks(
    database: Database, tmp_path: Path, graphql: GraphQLClient
) -> None:
    first = "username,workspace\nann,v\nann,w\nbob,v\n"
    await import_csv(database, tmp_path, first, "directory", complete=True)
    later = datetime(2026, 11, 9, tzinfo=UTC)
    await import_csv(
        database, tmp_path, "username,workspace\nann,v\n", "directory", complete=True, at=later
    )

    found = await read_report(graphql)
    deleted = {each["username"]: each["deletedAt"] for each in found["users"]["licensedUsers"]}
    assert deleted == {"ann": None, "bob": "2026-11-09T00:00:00Z"}
    assert [(w["name"], [m["userName"] for m in w["members"]]) for w in found["workspaces"]] == [
        ("v", ["ann"]),
        ("w", []),
    ]


HEADER = "experiment,workspace,project,username,size_bytes,created_at\n"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            f'{HEADER}x,w,p,ann,1.5,\n"y\nz",w,p,ann,1,soon\n',
            [
                "table.csv:2: size_bytes: must be a whole number; got '1.5'",
                "table.csv:3: created_at: must be a time, written as YYYY-MM-DD or YYYY-MM-DDThh",
            ],
        ),
        # Events that ingestion rejects are reported by row and column, too.
        (
            f"{HEADER}x,w,p,ann,1,\ny,w,p,ann,-1,\nz,w,p,ann,1,1999-12-31\n",
            [
                "table.csv:3: size_bytes: must be 0 or more; got -1",
                "table.csv:4: created_at: must be from 2000-01-01 to 2",
            ],
        ),
        (
            f"{HEADER}x,w,p,ann,1,1999-12-31\n",
            [
                "table.csv:2: created_at: must be from 2000-01-01 to 2",
            ],
        ),
        (
            f"{HEADER}x,w,p,{'a' * 513},1,\n",
            ["table.csv:2: username: must have 512 or fewer"],
        ),
        (
            f"{HEADER}x,w,p,ann,-5,\ny,w,p,ann,99999999999999999999,\nz,w,p,ann,1e999999999,\n",
            [
                "table.csv:3: size_bytes: must be from -9223372036854775807 to 92233720368547758",
                "table.csv:4: size_bytes: must be from -9223372036854775807 to 92233720368547758",
            ],
        ),
        (
            f"{HEADER}x,w,p,ann,-5,\n",
            ["table.csv:2: size_bytes: must be 0 or more"],
        ),
        (
            f"{HEADER}x,w,p,ann,,0001-01-01T00:00:00+14:00\n",
            ["table.csv:2: created_at: must be a time in the years 1 to 9999 in UTC; got"],
        ),
    ],
)
async def test_invalid_values_are_listed_by_row_and_column_and_nothing_is_stored(
    database: Database, tmp_path: Path, graphql: GraphQLClient, text: str, problems: list[str]
) -> None:
    with pytest.raises(InvalidRows) as rejected:
        await import_csv(database, tmp_path, text)

    first, *listed = str(rejected.value).replace(f"{tmp_path}/", "").split("\n  ")
    assert first.endswith("nothing was stored from any file.")
    assert [each[: len(wanted)] for each, wanted in zip(listed, problems, strict=True)] == problems
    assert (await read_report(graphql))["workspaces"] == []
    runs = await graphql("{ sources { name kind lastRun { outcome accepted error } } }")
    failed = {"outcome": "FAILED", "accepted": 0, "error": str(rejected.value)}
    assert runs["sources"] == [{"name": "/test", "kind": "file", "lastRun": failed}]


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("experiments", "experiment,workspace\nx,w\n", "has no column 'project'; it has"),
        ("experiments", "a,b\n1,2\n", "has no column 'experiment'; it has a, b"),
        ("experiments", b"", "table.csv: is empty; its first line must name the columns."),
        ("directory", "a,b\n1,2\n", "has none of the columns of directory"),
        (
            "directory",
            "username,email,workspace\n,x@example.com,w\n",
            "table.csv:2: username: is required, because the row has an email",
        ),
        (
            "directory",
            "username\nann,bob\n",
            "table.csv:2: has 2 values, but the header has 1",
        ),
        ("directory", b"username\n\xff\xfe\n", "cannot be read as utf-8"),
        ("directory", "username".encode("utf-16"), "set another encoding in the mapping"),
        ("directory", "email,username,email\n", "has 2 columns named 'email'."),
        ("directory", "a;b\n1;2\n", "If ';' separates its columns, set `delimiter` in a mapping."),
        ("usage", "username\tchannel\n", "If '\\t' separates its columns"),
        (
            "directory",
            CORRUPT_GZIP,
            "cannot be read: not valid gzip: Error -3",
        ),
        ("directory", b"PAR1 no parquet", "not a valid Parquet file"),
        ("directory", b"\x1f\x8b\x08 no gzip", "cannot be read"),
    ],
)
async def test_an_unreadable_file_is_rejected(
    database: Database, tmp_path: Path, table: str, text: str | bytes, message: str
) -> None:
    with pytest.raises((InvalidArgument, InvalidRows), match=re.escape(message)):
        await import_csv(database, tmp_path, text, table)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf_8", "utf-16"])
async def test_a_byte_order_mark_is_not_part_of_the_first_column_name(
    database: Database, tmp_path: Path, graphql: GraphQLClient, encoding: str
) -> None:
    file, mapping = tmp_path / "people.csv", tmp_path / "mapping.toml"
    content = "username,email\nann,ann@x.test\n"
    file.write_bytes(content.encode("utf-16" if encoding == "utf-16" else "utf-8-sig"))
    mapping.write_text(
        f"source = '/s'\ntable = 'directory'\nat = 2026-11-02\nencoding = '{encoding}'"
    )

    await import_file(database, file, read_mapping(mapping, None, complete=False))

    users = (await read_report(graphql))["users"]["licensedUsers"]
    assert [user["email"] for user in users if user["username"] == "ann"] == ["ann@x.test"]


async def test_parquet_text_as_bytes_and_nan_as_missing_are_understood(
    database: Database, tmp_path: Path, graphql: GraphQLClient
) -> None:
    """Some programs write text as bytes, and pandas writes NaN for missing values."""
    file = tmp_path / "people.parquet"
    columns = {
        "username": pa.array([b"ann", "bö".encode()], pa.binary()),
        "email": pa.array([float("nan"), float("nan")], pa.float64()),
        "workspace": pa.array(["w", None], pa.string()),
    }
    pq.write_table(pa.table(columns), file)

    await import_file(database, file, default_mapping("/s", "directory", AT, complete=False))

    users = (await read_report(graphql))["users"]["licensedUsers"]
    assert {user["username"]: user["email"] for user in users} == {"ann": None, "bö": None}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            pa.array([["ann", "bob"]]),
            "people.parquet:1: username: must be text; got ['ann', 'bob']",
        ),
        (pa.array([b"\xff"], pa.binary()), "people.parquet:1: username: must be text; got b'"),
    ],
)
async def test_a_parquet_value_that_is_not_text_is_rejected(
    database: Database, tmp_path: Path, column: Any, message: str
) -> None:
    file = tmp_path / "people.parquet"
    pq.write_table(pa.table({"username": column}), file)

    with pytest.raises(InvalidRows, match=re.escape(message)):
        await import_file(database, file, default_mapping("/s", "directory", AT, complete=False))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source = 1", "not a valid mapping"),
        ("source = '/s'\ntable = 'people'", "table: must be one of directory, experiments, usage"),
        (
            "source = '/s'\ntable = 'usage'\ncolumn = 1",
            "not a valid mapping: must not have the field",
        ),
        ("source = '/s'\ntable = 'usage'\n[columns]\nwho = 'x'", "usage has no column 'who'"),
        ("source = '/s'\ntable = 'usage'\ncolumns.count = {}", "needs either a column or a value"),
        ("source = '/s'\ntable = 'usage'\ndelimiter = ';;'", "delimiter: must be one character"),
        ("source = '/s'\ntable = 'usage'\nencoding = 'x'", "encoding: 'x' is unknown"),
        ("source = '/s'\ntable = 'usage'\nencoding = 'undefined'", "is unknown"),
        ("source = '/s'\ntable = 'usage'\ndelimiter = '\"'", "delimiter: must be one character"),
        (
            "source = '/s'\ntable = 'usage'\ntime_format = '%Y %Y'",
            "time_format: '%Y %Y' is",
        ),
        ("source = '/s'\ntable = 'usage'\ntime_format = '%Q'", "time_format: '%Q' is invalid"),
        (
            "source = '/s'\ntable = 'directory'\ncomplete = true",
            "needs one time for all rows",
        ),
        ("source =", "not a valid mapping"),
    ],
)
def test_an_invalid_mapping_is_rejected(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(content)

    with pytest.raises(InvalidArgument, match=re.escape(message)):
        read_mapping(file, None, complete=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("people.csv",), "Tables need --mapping, or --table with --source."),
        (("--table", "usage", "x.csv"), "--table and --source must be used together."),
        (("--at", "2026-11-01", "x.ndjson"), "--at and --complete need tables"),
        (("--at", "soon", "x.csv"), "--at: must be a time"),
        (
            ("--mapping", "m.toml", "--table", "usage", "x.csv"),
            "--mapping excludes --table and --source",
        ),
        (("--mapping", "nowhere.toml", "x.csv"), "nowhere.toml: cannot be read"),
    ],
)
def test_wrong_options_are_rejected(arguments: tuple[str, ...], message: str) -> None:
    rejected = CliRunner().invoke(cli, ["import", *arguments])

    assert isinstance(rejected.exception, InvalidArgument)
    assert message in str(rejected.exception)


async def test_a_large_import_updates_table_statistics(database: Database, tmp_path: Path) -> None:
    rows = "".join(f"x{number},w,p,ann,1,\n" for number in range(5_000))

    await import_csv(database, tmp_path, HEADER + rows)

    async with database.owner_transaction() as tx:
        counted = await tx.execute(
            text("SELECT reltuples FROM pg_class WHERE relname = 'workspace_month'")
        )
    assert counted.scalar_one() == 1
