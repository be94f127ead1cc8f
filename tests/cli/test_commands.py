"""The command line, as processes on a store of their own."""

import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import event
from tests.server_process import ServerProcess, run_command, run_on_terminal

EVENTS = (
    event("user.upserted", "2026-09-01T00:00:00Z", id="1", username="ann", email="a@x.example"),
    event("member.added", "2026-09-02T00:00:00Z", id="2", workspace="=w", username="ann"),
    event(
        "experiment.created",
        "2026-09-16T00:00:00Z",
        id="3",
        experiment="e",
        workspace="=w",
        project="p",
        username="ann",
        sizeBytes=3 * 1_048_576,
    ),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A served store with three events; commands join it, which spares each a start."""
    folder = tmp_path_factory.mktemp("cli")
    with ServerProcess(folder, arguments=()):
        (folder / "events.ndjson").write_bytes(b"\n".join(EVENTS))
        imported = run_command("import", str(folder / "events.ndjson"), data_dir=folder)
        assert imported.stdout == "accepted 3, duplicates 0\n", imported.stderr
        yield folder


def test_help_names_every_command() -> None:
    shown = run_command("--help").stdout

    commands = ["serve", "import", "generate", "report", "months", "keys", "organizations"]
    assert [command for command in commands if command not in shown] == []


def test_events_come_from_gzip_and_standard_input_too(store: Path) -> None:
    (store / "events.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + b"\n".join(EVENTS)))

    packed = run_command("import", str(store / "events.gz"), data_dir=store)
    piped = run_command("import", "-", data_dir=store, standard_input=b"\n".join(EVENTS))

    assert packed.stdout == piped.stdout == "accepted 0, duplicates 3\n"
    assert packed.stderr == piped.stderr == ""  # A progress bar is drawn on a terminal only.


def test_a_bad_line_is_named_and_nothing_is_stored(store: Path) -> None:
    good = event("user.upserted", "2026-09-01T00:00:00Z", username="bob", email="b@x.example")
    bad = event("experiment.resized", "2026-09-01T00:00:00Z", experiment="e", sizeBytes=-5)
    (store / "good.ndjson").write_bytes(good + b"\n\n" + good.replace(b"bob", b"eve"))
    (store / "bad.ndjson").write_bytes(good.replace(b"bob", b"zoe") + b"\n" + bad)

    refused = run_command(
        "import", str(store / "good.ndjson"), str(store / "bad.ndjson"), data_dir=store
    )

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert f"{store}/bad.ndjson:2: data.sizeBytes: must be 0 or more; got -5" in refused.stderr
    report = json.loads(
        run_command("report", "2026-09", "--format", "json", data_dir=store).stdout
    )
    assert [user["username"] for user in report["users"]["licensedUsers"]] == ["ann"]


def test_a_missing_file_is_reported_in_one_line(store: Path) -> None:
    refused = run_command("import", "nowhere.ndjson", data_dir=store)

    assert refused.returncode == 1
    assert "nowhere.ndjson: cannot be read: No such file or directory." in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_report_is_a_table_a_document_or_csv(store: Path) -> None:
    table = run_command("report", "2026-09", data_dir=store).stdout
    document = json.loads(
        run_command("report", "2026-09", "--format", "json", data_dir=store).stdout
    )
    lines = list(
        csv.DictReader(
            run_command("report", "2026-09", "--format", "csv", data_dir=store).stdout.split("\n")
        )
    )

    assert "1 workspaces, 1 experiments, 3.00 MB, 1 licensed users" in table
    assert document["workspaces"][0]["totalSizeInMb"] == 3.0
    # Held for the last 15 of September's 30 days. A spreadsheet must not run the name.
    assert [line["Type"] for line in lines] == ["workspace", "total", "status"]
    assert lines[0] == {
        "Type": "workspace",
        "Month": "2026-09",
        "Origin month": "",
        "Workspace": "'=w",
        "Members": "1",
        "Projects": "1",
        "Experiments": "1",
        "Unknown size": "0",
        "Created": "1",
        "Size in bytes": "3145728",
        "Size in MB": "3.00",
        "Average in MB": "1.50",
    }


@pytest.mark.parametrize("month", ["2026-13", "26-1", "september"])
def test_an_invalid_month_is_rejected(store: Path, month: str) -> None:
    refused = run_command("report", month, data_dir=store)

    assert refused.returncode == 1
    assert refused.stderr.strip() == (
        f"Error: {month!r} is not a month: write YYYY-MM, such as 2026-09."
    )


def test_the_same_options_generate_the_same_bytes() -> None:
    options = ("generate", "--workspaces", "3", "--users", "9", "--months", "2")

    first, second = run_command(*options), run_command(*options)
    other = run_command(*options, "--seed", "7")

    assert first.stdout == second.stdout != other.stdout
    assert len(first.stdout.split("\n")) > 50


def test_an_impossible_size_is_rejected() -> None:
    refused = run_command("generate", "--users", "1")

    assert refused.returncode == 1
    assert "users is 1: allowed is" in refused.stderr


def test_organizations_are_created_once_and_hold_their_own_events(store: Path) -> None:
    assert (
        run_command("organizations", "create", "labs", data_dir=store).stdout == "created labs\n"
    )
    again = run_command("organizations", "create", "labs", data_dir=store)
    run_command("import", "-", "--organization", "labs", data_dir=store, standard_input=EVENTS[0])
    listed = run_command("organizations", "list", data_dir=store).stdout
    document = json.loads(
        run_command(
            *("report", "2026-09", "--format", "json", "--organization", "labs"), data_dir=store
        ).stdout
    )

    assert again.stderr.strip() == "Error: There is already an organization 'labs'."
    assert "labs" in listed
    assert (document["workspaces"], document["users"]["numberOfUsers"]) == ([], 1)


def test_a_key_is_shown_once_and_listed_without_its_secret(store: Path) -> None:
    created = run_command(
        *("keys", "create", "--user", "ann", "--label", "for a test", "--scope", "admin"),
        data_dir=store,
    )
    key = created.stdout.removeprefix("API key: ").strip()
    key_id, secret = key.split("_")[1:]
    listed = run_command("keys", "list", data_dir=store).stdout

    assert created.stderr.strip() == (
        "The key does not work yet: 'ann' is not an admin of organization 'default': "
        "give the user the role ADMIN, or add them to ADMIN_USER_LIST."
    )
    assert key_id in listed
    assert secret not in listed
    assert run_command("keys", "revoke", key_id, data_dir=store).stdout == f"revoked {key_id}\n"
    unknown = run_command("keys", "revoke", "nobody", data_dir=store)
    assert unknown.stderr.strip() == "Error: There is no key 'nobody' in this organization."


def test_creating_a_key_that_works_prints_no_warning(store: Path) -> None:
    words = ("keys", "create", "--user", "connector", "--scope", "events:write")

    assert run_command(*words, data_dir=store).stderr == ""


def test_months_are_closed_listed_verified_and_opened_again(store: Path) -> None:
    assert run_command("months", "verify", "2026-09", data_dir=store).stdout == (
        "2026-09 matches its events\n"
    )
    assert run_command("months", "close", "2026-09", data_dir=store).stdout == "closed 2026-09\n"
    assert run_command("months", "verify", "2026-09", data_dir=store).stdout == (
        "2026-09 and its corrections match its events; no row changed since it was closed\n"
    )
    assert "closed" in run_command("months", "list", data_dir=store).stdout
    reopened = run_command("months", "reopen", "2026-09", "--reason", "a test", data_dir=store)
    assert reopened.stdout == "reopened 2026-09\n"


def test_closing_other_months_too_needs_a_confirmation(store: Path) -> None:
    own = ("--organization", "firm")
    run_command("organizations", "create", "firm", data_dir=store)
    close = ("months", "close", "2026-10", *own)
    assert (
        run_command("months", "close", "2026-08", *own, data_dir=store).stdout
        == "closed 2026-08\n"
    )

    refused = run_command(*close, data_dir=store)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "Error: Closing 2026-10 also closes 2026-09. Nothing was closed. Add --yes to close them "
        "all; --dry-run lists them.\n"
    )
    listed = run_command(*close, "--dry-run", data_dir=store)
    assert listed.stdout == "would close 2026-09, 2026-10\n"
    status, shown = run_on_terminal(*close, data_dir=store, answer="n")
    assert status == 1
    assert "Closing 2026-10 also closes 2026-09. A closed report never changes.\n" in shown
    assert "Close? [y/N]: " in shown

    status, shown = run_on_terminal(*close, data_dir=store, answer="y")
    assert status == 0, shown
    assert "closed 2026-09, 2026-10\n" in shown
    again = run_command(*close, "--yes", data_dir=store)
    assert again.stdout == "2026-10 is already closed\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "CHARGEBACK_USAGE_REPORT_ENABLED=maybe",
            (
                "CHARGEBACK_USAGE_REPORT_ENABLED='maybe' is not allowed: use one of "
                "true, 1, yes, on, false, 0, no, off."
            ),
        ),
        (
            "DATABASE_URL=mysql://x",
            "DATABASE_URL='mysql://x' is not allowed: use a URL that begins with postgresql://.",
        ),
    ],
)
def test_an_invalid_setting_stops_the_start_with_one_line(
    tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "settings").write_text(f"{line}\n")

    refused = run_command(
        "serve", "--port", "0", "--env-file", str(tmp_path / "settings"), data_dir=tmp_path
    )

    assert refused.returncode == 1
    assert refused.stderr.strip() == f"Error: {message}"


def test_later_lines_of_a_settings_file_override_earlier_ones(tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.write_text(
        "CHARGEBACK_USAGE_REPORT_ENABLED='maybe'\nCHARGEBACK_USAGE_REPORT_ENABLED='True'\n"
    )

    listed = run_command("organizations", "list", "--env-file", str(settings), data_dir=tmp_path)

    assert listed.returncode == 0, listed.stderr
    assert "default" in listed.stdout
