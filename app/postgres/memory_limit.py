"""How much memory this process may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def get_memory_limit(
    own_group: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> int:
    """The memory that this process may use: the machine's, or less where a control group says so.

    A container's limit is that of its group, a service's that of systemd. Groups are looked for
    where Linux shows those of version 2; each counts that the process's own is in.
    """
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError):
        _, _, group = own_group.read_text().rpartition("0::/")
        here = groups / group.strip()
        around = [folder for folder in here.parents if folder.is_relative_to(groups)]
        return min([installed, *(limit for each in (here, *around) for limit in _limit(each))])
    return installed


def _limit(group: Path) -> Iterator[int]:
    with suppress(OSError, ValueError):  # The topmost has none, and "max" is none.
        yield int((group / "memory.max").read_text())
