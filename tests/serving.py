"""What the page's tests share: serving it as app.py does, models made up for it, and photos."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import build_demo, serve
from captioner import Caption, Word


class MadeUpModel:
    """Says the same of every photo, looking at one cell after the other from the upper left on."""

    def __init__(self, *texts: str, grid: tuple[int, int] = (4, 4)) -> None:
        self.texts = texts or ("a", "dog", "runs", "far")
        self.grid = grid
        self.fault: Exception | None = None

    def generate_caption(self, photo: Any) -> Caption:
        if self.fault:
            raise self.fault
        words = []
        for index, text in enumerate(self.texts):
            alpha = np.zeros(self.grid, dtype=np.float32)
            alpha.flat[index] = 1
            words.append(Word(text, 0.5 + 0.1 * index, (("cat", 0.2), ("<b>x</b>", 0.004)), alpha))
        return Caption(tuple(words), -0.5, self.grid, -2.0)


@contextmanager
def serving(model: Any, folder: Path) -> Iterator[str]:
    """Serve the page as `main` does. Gives the address.

    Gradio keeps files in one place for the whole process: give servers that run at the same time
    the same folder.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        demo = build_demo(model)
        try:
            yield serve(demo, prevent_thread_lock=True, quiet=True).rstrip("/")
        finally:
            demo.close(verbose=False)


def write_photo(path: Path, size: tuple[int, int] = (320, 240), seed: int = 0) -> Path:
    """A photo of coloured patches, as a file of the kind that its name ends in."""
    patches = np.random.default_rng(seed).integers(60, 200, (4, 4, 3), np.uint8)
    Image.fromarray(patches).resize(size).save(path)
    return path


def write_bad_file(folder: Path, kind: str) -> Path:
    """A file that cannot be captioned, named as if it could."""
    good = write_photo(folder / "whole.jpg", (600, 400)).read_bytes()
    content = {
        "text.jpg": b"This is a letter, not a photo.",
        "damaged.jpg": good[: len(good) // 2],
        "empty.png": b"",
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
    }
    if kind in content:
        (folder / kind).write_bytes(content[kind])
        return folder / kind
    sizes = {"dot.png": (1, 1), "bomb.png": (16_000, 16_000)}
    buffer = io.BytesIO()
    Image.new("1", sizes[kind]).save(buffer, "PNG")
    (folder / kind).write_bytes(buffer.getvalue())
    return folder / kind


BAD_FILES = {
    "text.jpg": "not a photo",
    "damaged.jpg": "damaged",
    "empty.png": "not a photo",
    "phone.heic": "not a photo",
    "drawing.svg": "not a photo",
    "dot.png": "at least",
    "bomb.png": "pixels",
}
"""Files that cannot be captioned, and what a visitor reads of each."""
