"""The settings file that `chargeback systemd configure` changes and every command reads."""

from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, SettingsFile, default_settings_file


def test_a_new_setting_is_appended_in_quotes() -> None:
    file = SettingsFile("# ours\nADMIN_USER_LIST=ada\n").with_setting(
        "SESSION_LIFETIME_HOURS", "6"
    )

    assert file.text == "# ours\nADMIN_USER_LIST=ada\nSESSION_LIFETIME_HOURS='6'\n"


def test_a_new_value_replaces_all_lines_of_the_setting_at_the_last_one() -> None:
    file = SettingsFile(
        "SESSION_LIFETIME_HOURS=1\n# between\n"
        "export SESSION_LIFETIME_HOURS = 2\nADMIN_USER_LIST=ada\n"
    )

    assert file.with_setting("SESSION_LIFETIME_HOURS", "3").text == (
        "# between\nSESSION_LIFETIME_HOURS='3'\nADMIN_USER_LIST=ada\n"
    )


def test_an_empty_value_removes_the_lines_of_the_setting() -> None:
    file = SettingsFile("SESSION_LIFETIME_HOURS=1\n#SESSION_LIFETIME_HOURS=2\n").with_setting(
        "SESSION_LIFETIME_HOURS", ""
    )

    assert file.text == "#SESSION_LIFETIME_HOURS=2\n"


@pytest.mark.parametrize(
    "value", ["postgresql://u:p'a\\ss@h/db", 'postgresql://u:"#$x@h/db', "postgresql://ü@h/ d"]
)
def test_special_characters_survive_the_file(tmp_path: Path, value: str) -> None:
    file = tmp_path / "settings"
    file.write_text(SettingsFile("").with_setting("DATABASE_URL", value).text)

    assert Settings.load(file).database_url == value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "SESION_LIFETIME_HOURS",
            "1",
            "There is no setting 'SESION_LIFETIME_HOURS'. Did you mean SESSION_LIFETIME_HOURS?",
        ),
        ("ADMIN_USER_LIST", "a\nb", "cannot hold a line break"),
        ("ADMIN_USER_LIST", "${HOME}", r"cannot hold a line break or \$\{"),
    ],
)
def test_a_setting_that_the_file_cannot_hold_is_rejected(
    name: str, value: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        SettingsFile("").with_setting(name, value)


def test_a_value_that_would_prevent_a_start_is_rejected() -> None:
    file = SettingsFile("").with_setting("SESSION_LIFETIME_HOURS", "zero")

    with pytest.raises(SettingsError, match="SESSION_LIFETIME_HOURS='zero' is not allowed"):
        file.validate()


def test_a_later_line_overrides_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    with file.open("a") as lines:
        lines.write("CHARGEBACK_USAGE_REPORT_ENABLED='False'\n")
    assert not Settings.load(file).chargeback_usage_report_enabled

    with file.open("a") as lines:
        lines.write("CHARGEBACK_USAGE_REPORT_ENABLED='True'\n")
    assert Settings.load(file).chargeback_usage_report_enabled


def test_the_file_of_a_new_install_names_every_setting_and_sets_none(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text(default_settings_file())

    lines = file.read_text().splitlines()
    assert Settings.load(file) == Settings.load()
    for name in Settings.model_fields:
        assert any(line.startswith(f"#{name.upper()}='") for line in lines), name
