"""The memory limit that the service reads from the cgroup files of Linux."""

import os
from pathlib import Path

import pytest

from app.postgres.memory_limit import get_memory_limit

INSTALLED = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MEGABYTE = 1_048_576


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, INSTALLED),
        ({"": 512 * MEGABYTE}, 512 * MEGABYTE),  # A container sees its own group as the root.
        ({"system.slice/chargeback": 300 * MEGABYTE}, 300 * MEGABYTE),
        ({"system.slice/chargeback": "max", "system.slice": 400 * MEGABYTE}, 400 * MEGABYTE),
        ({"system.slice/chargeback": 600 * MEGABYTE, "": 500 * MEGABYTE}, 500 * MEGABYTE),
        ({"system.slice/other": 200 * MEGABYTE}, INSTALLED),
        ({"system.slice": 8 * INSTALLED}, INSTALLED),
        ({"system.slice": "not a number"}, INSTALLED),
    ],
)
def test_the_lowest_limit_of_the_own_and_parent_groups_applies(
    tmp_path: Path, limits: dict[str, object], expected: int
) -> None:
    own_group, groups = tmp_path / "cgroup", tmp_path / "groups"
    own_group.write_text("4:memory:/elsewhere\n0::/system.slice/chargeback\n")
    (groups / "system.slice" / "chargeback").mkdir(parents=True)
    (groups / "system.slice" / "other").mkdir()
    for group, limit in limits.items():
        (groups / group / "memory.max").write_text(f"{limit}\n")
    assert get_memory_limit(own_group, groups) == expected


def test_without_groups_the_limit_is_the_memory_of_the_machine(tmp_path: Path) -> None:
    assert get_memory_limit(tmp_path / "none", tmp_path) == INSTALLED


def test_this_process_has_a_plausible_limit() -> None:
    assert 64 * MEGABYTE < get_memory_limit() <= INSTALLED
