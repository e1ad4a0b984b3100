"""What the page's tests share: serving it as app.py does, a fake model, and photos."""

import io
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import QUEUE_LENGTH
from captioner import Caption, DecodingOptions, Ending, Features, Occlusion, Word, load_image
from captioner.errors import PhotoError
from captioner.page import CaptionService, Line, VisitorFiles
from captioner.page.demo import build_demo, serve, stop
from captioner.photo_reader import PhotoReader
from captioner.search_tree import Candidate, SearchTree

ALTERNATIVES = (("cat", 0.2), ("<b>x</b>", 0.004))
"""The alternatives of every word of the fake model."""


class FakeModel:
    """Gives every photo the same caption, attending to one cell after the other, row by row.

    The important cell is the next one. Every further caption is one word longer. Every second word
    was recognized. The photo added 25 points to the first word, and less to each after it. The
    entropy falls from word to word, and an end becomes more probable.
    """

    def __init__(self, *texts: str, grid: tuple[int, int] = (4, 4)) -> None:
        self.texts = texts or ("a", "dog", "runs", "far")
        self.grid = grid
        self.fault: Exception | None = None
        self.encoded = 0
        self.batches: list[int] = []
        """How many photos were encoded each time."""
        self.seen_options: list[DecodingOptions] = []
        self.seconds = 0.0
        """How long an answer takes."""

    def encode_batch(self, photos: Sequence[Any]) -> list[Any]:
        self.encoded += len(photos)
        self.batches.append(len(photos))
        return ["features"] * len(photos)

    def generate_n_best(
        self, photos: Sequence[Features], options: DecodingOptions
    ) -> list[list[Caption]]:
        self.seen_options.append(options)
        texts = (*options.prefix.split(), "sleeps") if options.prefix else self.texts
        more = [texts + ("again",) * extra for extra in range(options.num_captions)]
        if options.temperature:
            more = [(*texts, f"seed{options.seed}") for texts in more]
        found = [self.caption(texts, -0.5 - extra) for extra, texts in enumerate(more)]
        return [found for _ in photos]

    def generate_blind_caption(self, options: DecodingOptions) -> Caption:
        self.seen_options.append(options)
        return replace(self.caption(("a", "man", "sits")), familiarity=None)

    def search_tree(self, photo: Features, options: DecodingOptions) -> SearchTree:
        """A beam of two that keeps its best caption first, drops a word at each step, and ends."""
        self.seen_options.append(options)
        steps, logprob = [], 0.0
        for index, text in enumerate((*self.texts, "")):
            parent = 0 if index else -1
            others = [("cat", 0.2, True), ("<b>x</b>", 0.004, False)]
            words = [(text, min(0.9, 0.5 + 0.1 * index), True), *others]
            steps.append(
                tuple(
                    Candidate(word, parent, p, logprob + math.log(p), kept, not word, word == text)
                    for word, p, kept in words
                )
            )
            logprob = steps[-1][0].logprob
        return SearchTree(tuple(steps))

    def score_caption(self, photo: Features, text: str, options: DecodingOptions) -> Caption:
        if not text.split():
            raise ValueError("a caption must have from 1 to 200 words, got 0")
        return self.caption(text.split())

    def branch(
        self,
        photo: Features,
        caption: Caption,
        position: int,
        word: str,
        options: DecodingOptions,
    ) -> Caption:
        if not 0 <= position <= len(caption.words):
            raise ValueError(f"position must be from 0 to {len(caption.words)}, got {position}")
        if word == "<b>x</b>":
            raise ValueError(f"word must be one that the model knows, got {word!r}")
        self.seen_options.append(options)
        return self.caption([*(w.text for w in caption.words[:position]), word, "sleeps"])

    def occlusion(self, photo: Features, caption: Caption) -> Occlusion:
        drops = [np.roll(word.alpha, 1) * 0.25 - 0.01 for word in caption.words]
        return Occlusion(caption, tuple(drop.astype(np.float32) for drop in drops))

    def caption(self, texts: Sequence[str], score: float = -0.5) -> Caption:
        if self.fault:
            raise self.fault
        time.sleep(self.seconds)
        words = []
        for index, text in enumerate(texts):
            alpha = np.zeros(self.grid, dtype=np.float32)
            alpha.flat[index % alpha.size] = 1
            sure = min(0.9, 0.5 + 0.1 * index)
            seen = 0.75 * (index % 2)
            numbers = (seen, sure - 0.25 / (index + 1) ** 2, 2 - sure, 0.02 * index)
            words.append(Word(text, sure, ALTERNATIVES, alpha, text != "zyx", *numbers))
        logprob = -0.5 * (len(words) + 1)
        ending = Ending(0.75, 1.5, ALTERNATIVES)
        return Caption(tuple(words), score, self.grid, logprob, True, 0.25, ending)


@contextmanager
def answering(model: Any) -> Iterator[CaptionService]:
    """The answers of a model, with photos read in this process from anywhere."""

    def read(path: str) -> bytes:
        if not Path(path).is_file():
            raise PhotoError("gone")
        return Path(path).read_bytes()

    with Line() as line:
        yield CaptionService(lambda: model, read, load_image, line)


@contextmanager
def serving(
    model: Any, files: VisitorFiles | Path, photo_seconds: float = 10.0, **settings: Any
) -> Iterator[str]:
    """Serve the page as `main` does. Gives the address.

    Gradio keeps files in one place for the whole process: give servers that run at the same time
    the same place.

    Args:
        files: where visitors' files are, or a folder to keep them in.
        photo_seconds: that a photo may take to be read.
        **settings: more of `serve`'s.
    """
    if isinstance(files, Path):
        with VisitorFiles(files) as own_files, serving(model, own_files, **settings) as address:
            yield address
        return
    places = settings.pop("queue_length", QUEUE_LENGTH)
    with (
        pytest.MonkeyPatch.context() as patch,
        PhotoReader(seconds=photo_seconds) as reader,
        Line(places) as line,
    ):
        patch.setenv("GRADIO_TEMP_DIR", str(files.uploads))
        service = CaptionService(lambda: model, files.read, reader.read, line)
        demo = build_demo(service, files)
        try:
            yield serve(demo, files, line, places, quiet=True, **settings).rstrip("/")
        finally:
            stop(demo)


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
