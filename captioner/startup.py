"""Starting a program sooner."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS = 50_000
"""New objects between two collections; Python's default is 700 to 10,000."""


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
