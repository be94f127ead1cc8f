"""A reserve of free space: events are refused before the disk of the store is full."""

import shutil
from collections.abc import Callable
from pathlib import Path

from app.domain.errors import StoreFull

_MEGABYTE = 1_048_576


def create_reserve(folder: Path, reserve_mb: int) -> Callable[[], None]:
    """Return a function that raises `StoreFull` while the folder's disk has less free space."""

    def require_free_space() -> None:
        free_mb = shutil.disk_usage(folder).free // _MEGABYTE
        if free_mb < reserve_mb:
            raise StoreFull(
                f"The disk of the store has {free_mb:,} MB free, and FREE_SPACE_RESERVE_MB keeps "
                f"{reserve_mb:,} MB: no events are stored until there is more."
            )

    return require_free_space
