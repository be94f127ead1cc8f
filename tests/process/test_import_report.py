"""`chargeback import-report` from files, and from a service that runs as another process."""

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
    """The service that a company moves away from: two years of a demo organization."""
    with ServerProcess(tmp_path_factory.mktemp("other")) as server:
        yield server


def report(service: ServerProcess, month: str, key: str) -> dict[str, Any]:
    answer = httpx.get(
        f"{service.url}/api/admin/chargeback/report",
        params={"reportMonth": month},
        headers={"Authorization": key},
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


CLOSED_AS_SAID = " and its corrections match its events; no row changed since it was closed\n"


def fetched(url: str, key: str, folder: Path, *words: str) -> Any:
    words = ("--from-url", url, "--api-key", key, "--from", MONTHS[0], "--to", MONTHS[-1], *words)
    return run_command("import-report", *words, data_dir=folder)


def test_a_range_of_months_is_fetched_and_kept(other: ServerProcess, tmp_path: Path) -> None:
    imported = fetched(other.url, other.key, tmp_path)

    assert imported.returncode == 0, imported.stderr
    lines = imported.stdout.splitlines()
    assert [line.split(": closed, by ")[0] for line in lines] == [*MONTHS]
    again = fetched(other.url, other.key, tmp_path)
    assert again.stdout.splitlines() == [f"{each}: imported already, unchanged" for each in MONTHS]
    verified = run_command("months", "verify", MONTHS[1], data_dir=tmp_path)
    assert verified.stdout == f"{MONTHS[1]}{CLOSED_AS_SAID}"
    for month in MONTHS:
        shown = run_command("report", month, "--format", "json", data_dir=tmp_path)
        assert orjson.loads(shown.stdout) == report(other, month, other.key)


def test_a_hand_over_and_its_withdrawal_are_told(other: ServerProcess, tmp_path: Path) -> None:
    following = "2026-10"
    fetched(other.url, other.key, tmp_path, "--hand-over", following)
    verified = run_command("months", "verify", MONTHS[1], data_dir=tmp_path)

    withdrawn = run_command("import-report", "--withdraw-hand-over", following, data_dir=tmp_path)

    assert verified.stdout == (
        f"{MONTHS[1]}: no row changed since it was closed; it was not compared with events, since "
        "live sources have taken over from what imported reports stated\n"
    )
    assert withdrawn.stdout == (
        f"{following}: the hand-over is taken back; the imported experiments go on\n"
    )
    again = run_command("months", "verify", MONTHS[1], data_dir=tmp_path)
    assert again.stdout == f"{MONTHS[1]}{CLOSED_AS_SAID}"


def test_what_the_other_service_refuses_is_told_in_its_words(
    other: ServerProcess, tmp_path: Path
) -> None:
    refused = fetched(other.url, "cbk_wrong", tmp_path)

    assert refused.returncode == 1
    assert "2026-07: 401: A valid API key is required" in refused.stderr
    assert "cbk_wrong" not in refused.stderr


def test_a_file_becomes_a_closed_month(tmp_path: Path) -> None:
    golden = CONTRACT / "report.json"

    imported = run_command("import-report", str(golden), data_dir=tmp_path)

    assert imported.stdout == "2021-03: closed, by 5 events\n", imported.stderr
    shown = run_command("report", "2021-03", "--format", "json", data_dir=tmp_path)
    assert orjson.loads(shown.stdout) == orjson.loads(golden.read_bytes())
    listed = run_command("months", "list", data_dir=tmp_path)
    assert "report.json" in listed.stdout
    sources = run_command("sources", data_dir=tmp_path)
    assert "imported reports" in sources.stdout
