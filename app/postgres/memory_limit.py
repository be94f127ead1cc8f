"""The memory limit of this process."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def get_memory_limit(
    own_group: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> int:
    """Return the machine's memory in bytes, or the lower limit of a control group.

    Containers and systemd limit a service by its control group (cgroup v2). The limits of all
    enclosing groups apply.
    """
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError):
        _, _, group = own_group.read_text().rpartition("0::/")
        here = groups / group.strip()
        around = [folder for folder in here.parents if folder.is_relative_to(groups)]
        return min(
            [installed, *(limit for each in (here, *around) for limit in _read_limits(each))]
        )
    return installed


def _read_limits(group: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):  # The root group has no file, and "max" means no limit.
        yield int((group / "memory.max").read_text())
