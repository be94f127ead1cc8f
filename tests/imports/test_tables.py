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
LATER = datetime(2026, 11, 9, tzinfo=UTC)


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
        result = CliRunner().invoke(
            cli, shlex.split(line), env={"DATABASE_URL": database_url, "COLUMNS": "100"}
        )
        output = result.stdout
        if isinstance(result.exception, ChargebackError):
            output = f"Error: {result.exception}\n"
        else:
            assert result.exception is None, result.exception
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
    await import_file(database, file, mapping, accept_loss=options.get("accept_loss", False))


async def import_file(
    database: Database, file: Path, mapping: Any, *, accept_loss: bool = False
) -> None:
    found = await find_organization(database, DEFAULT_ORGANIZATION)
    await import_tables(
        database,
        found.organization_id,
        [str(file)],
        mapping,
        dry_run=False,
        accept_loss=accept_loss,
    )


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
    database: Database,
    tmp_path: Path,
    graphql: GraphQLClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "people.parquet"
    columns: Mapping[str, list[Any]] = {
        "username": ["ann", "robot", "gone", None],
        "email": ["ann@x.test", None, "gone@x.test", None],
        "created_at": [date(2025, 3, 12), datetime(2026, 1, 1, 8, tzinfo=UTC), None, None],
        "deleted_at": [None, None, datetime(2026, 11, 2, tzinfo=UTC), None],
        "service_account": [False, True, None, None],
        "workspace": ["vision", "vision", "vision", "empty"],
        "ignored": [1.5, 2.5, 3.5, 4.5],
    }
    pq.write_table(pa.table(dict(columns)), file)

    mapping = tmp_path / "mapping.toml"
    standard = "".join(f"{name} = '{name}'\n" for name in columns if name != "ignored")
    mapping.write_text(f"source = '/test'\ntable = 'directory'\n[columns]\n{standard}")
    await import_file(database, file, read_mapping(mapping, AT, complete=False))

    assert capsys.readouterr().out.endswith("from 4 rows\ncolumns not read: 'ignored'\n")
    found = await read_report(graphql)
    users = {each["username"]: each for each in found["users"]["licensedUsers"]}
    assert [(name, each["email"], each["serviceAccount"]) for name, each in users.items()] == [
        ("ann", "ann@x.test", False),
        ("gone", "gone@x.test", False),
        ("robot", None, True),
    ]
    assert users["ann"]["createdAt"] == "2025-03-12T00:00:00Z"
    assert users["gone"]["deletedAt"] == "2026-11-02T00:00:00Z"
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
    first = "username,workspace\nann,v\nann,w\nbob,v\ncy,v\n"
    await import_csv(database, tmp_path, first, "directory", complete=True)
    second = "username,workspace\nann,v\ncy,v\n"
    await import_csv(database, tmp_path, second, "directory", complete=True, at=LATER)

    found = await read_report(graphql)
    deleted = {each["username"]: each["deletedAt"] for each in found["users"]["licensedUsers"]}
    assert deleted == {"ann": None, "bob": "2026-11-09T00:00:00Z", "cy": None}
    assert [(w["name"], [m["userName"] for m in w["members"]]) for w in found["workspaces"]] == [
        ("v", ["ann", "cy"]),
        ("w", []),
    ]


@pytest.mark.parametrize("rows", ["", "x1,w,p,ann,1,\n"])
async def test_a_complete_import_that_lacks_most_needs_accept_loss(
    database: Database, tmp_path: Path, graphql: GraphQLClient, rows: str
) -> None:
    first = "".join(f"x{number},w,p,ann,1,\n" for number in range(3))
    await import_csv(database, tmp_path, HEADER + first, complete=True)

    missing = 3 - rows.count("\n")
    with pytest.raises(InvalidArgument, match=f"{missing} of 3 known experiments are missing"):
        await import_csv(database, tmp_path, HEADER + rows, complete=True, at=LATER)

    assert (await read_report(graphql))["numberOfExperiments"] == 3
    await import_csv(database, tmp_path, HEADER + rows, complete=True, at=LATER, accept_loss=True)
    assert (await read_report(graphql))["numberOfExperiments"] == 3 - missing


@pytest.mark.parametrize(
    ("header", "rows", "noun"),
    [
        ("username", "", "1 of 1 known users"),
        ("username", "ann\n", "1 of 1 known members"),
    ],
)
async def test_a_complete_directory_that_lacks_most_is_rejected(
    database: Database, tmp_path: Path, graphql: GraphQLClient, header: str, rows: str, noun: str
) -> None:
    directory = "username,workspace\nann,v\n"
    await import_csv(database, tmp_path, directory, "directory", complete=True)

    noun = noun if rows else "1 of 1 known members"
    with pytest.raises(InvalidArgument, match=noun):
        await import_csv(
            database, tmp_path, f"{header}\n{rows}", "directory", complete=True, at=LATER
        )

    assert [w["members"] for w in (await read_report(graphql))["workspaces"]] == [
        [{"userName": "ann"}]
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
            f"{HEADER}x,w,p,ann,-5,\ny,w,p,ann,99999999999999999999,\nz,w,p,ann,1e9999,\n",
            [
                "table.csv:3: size_bytes: must be from -9223372036854775807 to 92233720368547758",
                "table.csv:4: size_bytes: must be from -9223372036854775807 to 92233720368547758",
            ],
        ),
        (
            f"{HEADER}x,w,p,ann,1,2026-11-20T12:00:00Z\n",
            ["table.csv:2: created_at: must not be after the time of the row, 2026-11-02T00"],
        ),
        (
            f"{HEADER[:-1]},deleted_at\nx,w,p,ann,1,2026-11-01,2026-10-31\n",
            ["table.csv:2: created_at: must not be after deleted_at, 2026-10-31T00:00:00Z; got 2"],
        ),
        (
            f'{HEADER}x,w,p,ann,1.234,\ny,w,p,ann,"12,345",\nz,w,p,ann,"1,5",\n',
            [
                "table.csv:2: size_bytes: is ambiguous: write it without separators of thousands",
                "table.csv:3: size_bytes: is ambiguous: write it without separators of thousands",
                "table.csv:4: size_bytes: must be a number; for decimal commas, set `decimal` in",
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
        (
            "directory",
            "a,b\n1,2\n",
            (
                "has none of the columns of directory (username, email, created_at, deleted_at, "
                "role, service_account, suspended, workspace, project, at); it has a, b."
            ),
        ),
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
        (
            "directory",
            "username,Email,workspaces\n",
            "directory has no column 'Email', 'workspaces'; it has username, email, created_at",
        ),
        ("experiments", HEADER.replace(",", ",,", 1), "experiments has no column ''"),
        ("directory", 'username, workspace\nann, "v" w\n', "cannot be read: ',' expected after"),
        ("directory", "email,username,email\n", "has 2 columns named 'email'."),
        ("directory", "a;b\n1;2\n", "If ';' separates its columns, set `delimiter` in a mapping."),
        ("usage", "username\tchannel\n", "If '\\t' separates its columns"),
        (
            "directory",
            CORRUPT_GZIP,
            "cannot be read: not valid gzip: Error -3",
        ),
        ("directory", b"PAR1 not Parquet", "not a valid Parquet file"),
        ("directory", b"\x1f\x8b\x08 not gzip", "cannot be read"),
    ],
)
async def test_an_unreadable_file_is_rejected(
    database: Database, tmp_path: Path, table: str, text: str | bytes, message: str
) -> None:
    with pytest.raises((InvalidArgument, InvalidRows), match=re.escape(message)):
        await import_csv(database, tmp_path, text, table)


async def test_quotes_after_a_space_are_not_part_of_the_value(
    database: Database, tmp_path: Path, graphql: GraphQLClient
) -> None:
    content = (
        '"username", "email", "workspace", "suspended"\n'
        '"ann", "ann@x.example", "vision, old", "true"\n'
        'bob,  "bob@x.example", speech , false\n'
    )
    await import_csv(database, tmp_path, content, "directory")

    found = await read_report(graphql)
    users = [(each["username"], each["email"], each["suspended"]) for each in licensed(found)]
    assert users == [("ann", "ann@x.example", True), ("bob", "bob@x.example", False)]
    assert [each["name"] for each in found["workspaces"]] == ["speech", "vision, old"]


def licensed(report: dict[str, Any]) -> list[dict[str, Any]]:
    users: list[dict[str, Any]] = report["users"]["licensedUsers"]
    return users


@pytest.mark.parametrize(
    ("decimal", "written", "size_bytes"),
    [
        # Times 1,000.
        (",", "1,234", 1_234),
        (",", "1,5", 1_500),
        (",", "1,5e3", 1_500_000),
        (".", "1.234", 1_234),
        (None, "0.125", 125),
        (None, "1.5", 1_500),
        (None, "1234.567", 1_234_567),
    ],
)
async def test_a_mapping_sets_the_decimal_separator(
    database: Database,
    tmp_path: Path,
    graphql: GraphQLClient,
    decimal: str | None,
    written: str,
    size_bytes: int,
) -> None:
    await import_kilobytes(database, tmp_path, decimal, written)

    assert (await read_report(graphql))["totalSizeBytes"] == size_bytes


@pytest.mark.parametrize(
    ("decimal", "written", "problem"),
    [
        (None, "1.234", "is ambiguous"),
        (None, "1.234.567", "is ambiguous"),
        (None, "1,234", "is ambiguous"),
        (None, "-1.234", "is ambiguous"),
        (",", "1.234", "must be a number; got '1.234'"),
        (",", "1.234,5", "must be a number; got '1.234,5'"),
        (".", "1,234", "must be a number; got '1,234'"),
        (None, "1,5", "must be a number; for decimal commas, set `decimal` in a mapping; got"),
    ],
)
async def test_an_ambiguous_number_is_rejected(
    database: Database, tmp_path: Path, decimal: str | None, written: str, problem: str
) -> None:
    with pytest.raises(InvalidRows, match=f"table.csv:2: kB: {re.escape(problem)}"):
        await import_kilobytes(database, tmp_path, decimal, written)


async def import_kilobytes(
    database: Database, tmp_path: Path, decimal: str | None, written: str
) -> None:
    """Import one experiment with a size in thousands of bytes."""
    mapping = tmp_path / "mapping.toml"
    columns = "".join(f"{name} = '{name}'\n" for name in HEADER.split(",")[:4])
    mapping.write_text(
        "source = '/test'\ntable = 'experiments'\n"
        + (f"decimal = '{decimal}'\n" if decimal else "")
        + f"[columns]\n{columns}size_bytes = {{ column = 'kB', times = 1000 }}\n"
    )
    file = tmp_path / "table.csv"
    file.write_text(f'{HEADER.replace("size_bytes", "kB")}x,w,p,ann,"{written}",\n')
    await import_file(database, file, read_mapping(mapping, AT, complete=False))


@pytest.mark.parametrize(
    ("column", "created_at"),
    [
        # 2025-11-01T12:26:40.123456789Z.
        (pa.array([1_762_000_000_123_456_789], pa.timestamp("ns", "UTC")), "40.123456Z"),
        (pa.array([1_762_000_000_123_456_789], pa.timestamp("ns", "Nowhere/Town")), "40.123456Z"),
        (pa.array([1_762_000_000_123_456_789], pa.timestamp("ns")), "40.123456Z"),
        (pa.array([1_762_000_000_123_456], pa.timestamp("us")), "40.123456Z"),
        (pa.array([1_762_000_000_123], pa.timestamp("ms")), "40.123000Z"),
    ],
)
@pytest.mark.parametrize("int96", [False, True])
async def test_parquet_times_are_cut_to_microseconds(
    database: Database,
    tmp_path: Path,
    graphql: GraphQLClient,
    column: pa.Array,
    created_at: str,
    int96: bool,
) -> None:
    file = tmp_path / "people.parquet"
    people = pa.table({"username": ["ann"], "created_at": column})
    pq.write_table(people, file, use_deprecated_int96_timestamps=int96)

    await import_file(database, file, default_mapping("/s", "directory", AT, complete=False))

    [ann] = licensed(await read_report(graphql))
    assert ann["createdAt"] == f"2025-11-01T12:26:{created_at}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        # The year 60056, and one that nanoseconds cannot hold.
        (pa.array([1_833_000_000_000], pa.timestamp("s")), "must be a time, written as"),
        (
            pa.array([datetime(2500, 1, 1, tzinfo=UTC)], pa.timestamp("us")),
            "must not be after the time of",
        ),
        (pa.array([2**31 - 1], pa.date32()), "must be a time, written as"),
        (pa.array([-5], pa.timestamp("ns", "UTC")), "must be from 1970-01-01 to 2"),
        (pa.array([5], pa.duration("ns")), "must be a time, written as"),
        (pa.array([2**62], pa.duration("s")), "must be a time, written as"),
        (pa.array([5], pa.time64("ns")), "must be a time, written as"),
        (pa.array([[5]], pa.list_(pa.timestamp("ns"))), "must be a time, written as"),
    ],
)
async def test_an_impossible_parquet_time_is_rejected(
    database: Database, tmp_path: Path, values: pa.Array, message: str
) -> None:
    file = tmp_path / "people.parquet"
    pq.write_table(pa.table({"username": ["ann"], "created_at": values}), file)

    with pytest.raises(InvalidRows, match=re.escape(f"people.parquet:1: created_at: {message}")):
        await import_file(database, file, default_mapping("/s", "directory", AT, complete=False))


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


async def test_parquet_bytes_are_text_and_nan_is_a_missing_value(
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
        ("source = '/s'\ntable = 'usage'\ndecimal = ';'", "decimal: must be '.' or ','; got ';'."),
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


def test_a_table_without_a_mapping_is_rejected_but_first_a_missing_file(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    missing = CliRunner().invoke(cli, ["import", str(file)])
    file.touch()
    unmapped = CliRunner().invoke(cli, ["import", str(file)])

    assert str(missing.exception) == f"{file}: cannot be read: No such file or directory."
    assert str(unmapped.exception) == f"{file}: a table needs --mapping, or --table with --source."


async def test_a_large_import_updates_table_statistics(database: Database, tmp_path: Path) -> None:
    rows = "".join(f"x{number},w,p,ann,1,\n" for number in range(5_000))

    await import_csv(database, tmp_path, HEADER + rows)

    async with database.owner_transaction() as tx:
        counted = await tx.execute(
            text("SELECT reltuples FROM pg_class WHERE relname = 'workspace_month'")
        )
    assert counted.scalar_one() == 1
