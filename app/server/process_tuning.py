"""Garbage collector and allocator settings for a process that runs for a long time."""

import ctypes
import gc


def tune_gc() -> None:
    """Let the garbage collector leave what is there for good alone, and look less often.

    A batch of events, or a report, is tens of thousands of objects without a cycle among them.
    Looking through them, and through all modules each time, took a third of the time in which a
    batch is stored, a report is read or one is imported, and the event loop stood still meanwhile.
    Not too seldom, either: what was alive when it looked, and then became garbage in cycles, such
    as a refused query's, lies there until the older generations are looked through.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 5, 20)


def trim_malloc() -> None:
    """Have memory given back that a large request needed, where the allocator is glibc's.

    By itself it gives each thread an arena of its own, and keeps in them what was freed; and after
    the first large block that is freed, it takes later ones from there too, among small ones that
    stay.
    """
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 8 * _LARGE_BYTES)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 1_048_576
