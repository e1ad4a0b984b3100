"""Starting a program sooner, and in less memory."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS = 50_000
"""New objects between two collections; Python's default is 700 to 10,000."""
M_ARENA_MAX = -8
"""Of glibc's mallopt(3)."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Import with few garbage collections, and leave out of later ones what there is by the end.

    Torch and Gradio make half a million objects that stay. To search all of them for garbage again
    and again takes a sixth of the time of their import, and half a second at any time later.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(YOUNG_OBJECTS, 100, 100)
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*thresholds)


def share_one_heap() -> None:
    """Let all threads allocate from one heap, if the C library is glibc.

    Otherwise each of a server's threads may get one of its own, and keeps what is freed there.
    """
    mallopt = getattr(_c_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)


def return_freed_memory() -> None:
    """Return to the system what the heap holds for reuse, if the C library is glibc."""
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
