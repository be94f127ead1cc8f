"""How a process that runs for long keeps its memory: the garbage collector and the allocator."""

import ctypes
import gc


def settle() -> None:
    """Let the garbage collector leave what is there for good alone, and look less often.

    A batch of events, or a report, is tens of thousands of objects without a cycle among them.
    Looking through them, and through all modules each time, took a third of the time in which a
    batch is stored, a report is read or one is imported, and the event loop stood still meanwhile.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def share_arenas() -> None:
    """Let all threads allocate from two arenas, where the allocator is glibc's.

    By itself it gives each thread one of its own, and keeps in it what a large request needed.
    """
    if hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 2)


_M_ARENA_MAX = -8
