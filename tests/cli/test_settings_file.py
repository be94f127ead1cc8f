"""The settings file, as `chargeback systemd configure` changes it and the service reads it."""

from pathlib import Path

import pytest

from app.settings import Settings, SettingsError, SettingsFile, default_settings_file


def test_a_new_setting_goes_to_the_end_in_quotes() -> None:
    file = SettingsFile("# ours\nADMIN_USER_LIST=ada\n").with_setting(
        "SESSION_LIFETIME_HOURS", "6"
    )

    assert file.text == "# ours\nADMIN_USER_LIST=ada\nSESSION_LIFETIME_HOURS='6'\n"


def test_of_several_lines_of_a_setting_one_stays_in_the_place_of_the_last() -> None:
    file = SettingsFile(
        "SESSION_LIFETIME_HOURS=1\n# between\n"
        "export SESSION_LIFETIME_HOURS = 2\nADMIN_USER_LIST=ada\n"
    )

    assert file.with_setting("SESSION_LIFETIME_HOURS", "3").text == (
        "# between\nSESSION_LIFETIME_HOURS='3'\nADMIN_USER_LIST=ada\n"
    )


def test_an_empty_value_takes_the_lines_out() -> None:
    file = SettingsFile("SESSION_LIFETIME_HOURS=1\n#SESSION_LIFETIME_HOURS=2\n").with_setting(
        "SESSION_LIFETIME_HOURS", ""
    )

    assert file.text == "#SESSION_LIFETIME_HOURS=2\n"


@pytest.mark.parametrize(
    "value", ["postgresql://u:p'a\\ss@h/db", 'postgresql://u:"#$x@h/db', "postgresql://ü@h/ d"]
)
def test_any_value_comes_back_as_it_was(tmp_path: Path, value: str) -> None:
    file = tmp_path / "settings"
    file.write_text(SettingsFile("").with_setting("DATABASE_URL", value).text)

    assert Settings.load(file).database_url == value


@pytest.mark.parametrize(
    ("name", "value", "said"),
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
def test_what_a_file_cannot_hold_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said.replace("?", r"\?")):
        SettingsFile("").with_setting(name, value)


def test_a_value_that_would_stop_the_start_is_refused() -> None:
    file = SettingsFile("").with_setting("SESSION_LIFETIME_HOURS", "zero")

    with pytest.raises(SettingsError, match="SESSION_LIFETIME_HOURS='zero' is not allowed"):
        file.validate()


def test_the_line_of_the_handbook_works_and_a_later_one_overrides_it(tmp_path: Path) -> None:
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
