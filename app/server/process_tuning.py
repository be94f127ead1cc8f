"""Tune the garbage collector and the allocator for a long-running process."""

import ctypes
import gc


def tune_gc() -> None:
    """Exclude loaded modules from garbage collection, and collect less often.

    A batch of events or a report is tens of thousands of objects without reference cycles. With
    the default thresholds, collections took a third of the time of a batch or a report and blocked
    the event loop. Older generations are still collected regularly, because rejected
    queries leave cycles there.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 5, 20)


def trim_malloc() -> None:
    """Make glibc return the memory of large requests to the system.

    By default each thread has an arena that keeps freed memory. After the first large block is
    freed, later ones are also allocated there, among small blocks that stay.
    """
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 8 * _LARGE_BYTES)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 1_048_576
