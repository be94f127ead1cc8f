"""`chargeback import-report`, from files and from another running service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.conftest import CONTRACT
from tests.server_process import ServerProcess, run_command

MONTHS = ("2026-07", "2026-08", "2026-09")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The service to import from, with two years of a demo organization."""
    with ServerProcess(tmp_path_factory.mktemp("other")) as server:
        yield server


def fetch_report(service: ServerProcess, month: str, key: str) -> dict[str, Any]:
    response = httpx.get(
        f"{service.url}/api/admin/chargeback/report",
        params={"reportMonth": month},
        headers={"Authorization": key},
    )
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


VERIFIED = (
    ": no row changed since it was closed; not compared with events, "
    "which do not correct months up to the last imported report\n"
)


def fetch_and_import(url: str, key: str, folder: Path) -> Any:
    options = ("--from-url", url, "--api-key", key, "--from", MONTHS[0], "--to", MONTHS[-1])
    return run_command("import-report", *options, data_dir=folder)


def test_a_range_of_months_is_fetched_and_imported(other: ServerProcess, tmp_path: Path) -> None:
    imported = fetch_and_import(other.url, other.key, tmp_path)

    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.splitlines() == [
        f"{each}: closed as its report states" for each in MONTHS
    ]
    again = fetch_and_import(other.url, other.key, tmp_path)
    assert again.stdout.splitlines() == [f"{each}: already imported, unchanged" for each in MONTHS]
    verified = run_command("months", "verify", MONTHS[1], data_dir=tmp_path)
    assert verified.stdout == f"{MONTHS[1]}{VERIFIED}"
    for month in MONTHS:
        printed = run_command("report", month, "--format", "json", data_dir=tmp_path)
        assert orjson.loads(printed.stdout) == fetch_report(other, month, other.key)


def test_an_error_of_the_other_service_is_printed_with_its_message(
    other: ServerProcess, tmp_path: Path
) -> None:
    result = fetch_and_import(other.url, "cbk_wrong", tmp_path)

    assert result.returncode == 1
    assert "2026-07: 401: A valid API key is required" in result.stderr
    assert "cbk_wrong" not in result.stderr


def test_an_imported_file_becomes_a_closed_month(tmp_path: Path) -> None:
    golden = CONTRACT / "report.json"

    imported = run_command("import-report", str(golden), data_dir=tmp_path)

    assert imported.stdout == "2021-03: closed as its report states\n", imported.stderr
    printed = run_command("report", "2021-03", "--format", "json", data_dir=tmp_path)
    assert orjson.loads(printed.stdout) == orjson.loads(golden.read_bytes())
    months = run_command("months", "list", data_dir=tmp_path)
    assert "report.json" in months.stdout
    sources = run_command("sources", "list", data_dir=tmp_path)
    assert "imported reports" in sources.stdout
