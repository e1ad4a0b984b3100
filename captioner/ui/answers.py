"""What the page asks of a model, and its answers as JSON. Knows no layout and no browser.

Everything that comes from a visitor is checked here: a value that does not fit gets a ValueError
or an answer with a message, never a fault. A photo is encoded once for all that is asked of it, and
photos that wait are encoded and captioned as a batch.
"""

import asyncio
import contextlib
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from captioner.captions import Caption, Occlusion
from captioner.errors import PhotoError
from captioner.images import Photo
from captioner.model import Features
from captioner.options import DecodingOptions
from captioner.ui.line import Job, Line, LineFullError, Ticket
from captioner.ui.request_log import BUSY, FAULT, LEFT, OK, REFUSED, log_request
from captioner.ui.viewer import COLOUR_MAPS, View, Waiting
from captioner.visualization import SPOTLIGHT, animate, save_animation

NUM_CAPTIONS = 3
"""Found with the first; as many as the default beam holds, so they cost nothing more."""
MAX_LETTERS, MAX_WORDS = 300, 40
"""Of a caption on this page, whoever says it."""
MAX_FRAMES = 80
"""Of an animation: the words of a caption, which a tokenizer may make more of than a person."""
REMEMBERED_PHOTOS = 64
"""Whose features are kept, some 300 kB each."""
QUIET_SECONDS = 0.7
"""Before a visitor is told their place in the line: most photos are captioned by then."""
PLACE_SECONDS = 1.0
"""Between two such messages, at least."""
MAX_ID = 2**53
"""The largest number that JavaScript counts to."""
OPTION_LIMITS = {
    "num_captions": (1, 8),
    "beam_size": (1, 10),
    "diversity": (0, 10),
    "temperature": (0, 5),
    "top_p": (0, 1),
    "seed": (0, 2**31),
    "length_penalty": (0, 5),
    "min_length": (0, MAX_WORDS),
    "max_length": (1, MAX_WORDS),
    "no_repeat_ngram": (0, MAX_WORDS),
}
"""The options that a visitor may set, lowest and highest. DecodingOptions allows more of some, at
a price in time that others would pay."""

NO_PHOTO = "There is no photo yet. Choose one, and it will be captioned."
CROWDED = "Too many photos are waiting here just now. Try again in a minute."


class Captioner(Protocol):
    """What the page needs of a model; see ImageCaptioningModel."""

    def encode_batch(self, photos: Sequence[Photo]) -> list[Features]: ...
    def generate_n_best(
        self, photos: list[Features], options: DecodingOptions
    ) -> list[list[Caption]]: ...
    def score_caption(self, photo: Features, text: str, options: DecodingOptions) -> Caption: ...
    def branch(
        self,
        photo: Features,
        caption: Caption,
        position: int,
        word: str,
        options: DecodingOptions,
    ) -> Caption: ...
    def occlusion(self, photo: Features, caption: Caption) -> Occlusion: ...


class Given(NamedTuple):
    """A visitor's photo, read."""

    digest: bytes
    """Of the file's content."""
    features: Features | None
    """Where they are remembered."""
    image: Image.Image | None
    """Upright RGB; None where its features are remembered and no more was wanted."""


class Answers:
    """Captions photos by their paths, and answers what is asked of them."""

    def __init__(
        self,
        model: Captioner,
        read: Callable[[str], bytes],
        decode: Callable[[bytes], Image.Image],
        line: Line,
    ) -> None:
        """Make them of their parts.

        Args:
            read: gives the content of the file that a request names; raises PhotoError.
            decode: turns that into upright RGB; raises PhotoError.
            line: in which requests wait for the model.
        """
        self._model, self._read, self._decode, self._line = model, read, decode, line
        self._seen: OrderedDict[bytes, Features] = OrderedDict()
        self._lock = Lock()
        self._kinds: dict[str, Callable[[str | None, dict[str, Any]], Job | dict[str, Any]]] = {
            "animation": self._animation,
            "branch": self._branch,
            "captions": self._captions,
            "occlusion": self._occlusion,
            "score": self._score,
        }

    async def views(self, path: str | None) -> AsyncIterator[View | None]:
        """Caption a photo for the viewer, which also shows why a photo cannot be captioned.

        Args:
            path: of the photo, or None where the visitor took it away.

        Yields:
            The place in the line while there is one worth telling, then the captions.
        """
        if path is None:
            yield None
            return
        try:
            async for step in self._steps("view", partial(self._view, path)):
                yield View(of=path, waiting=step) if isinstance(step, Waiting) else step
        except ValueError as error:
            yield View(of=path, message=str(error))

    def view(self, path: str | None) -> View | None:
        """The last of `views`, for those that can wait for it."""
        if path is None:
            return None
        try:
            return self._line.enter(partial(self._view, path)).result.result()
        except ValueError as error:
            return View(of=path, message=visitors_message(error))

    async def caption(self, path: str | None) -> dict[str, Any]:
        """Caption a photo for a program; gives the best caption, as `Caption.to_json`.

        Raises:
            ValueError: the photo cannot be captioned, and why.
        """
        steps = [step async for step in self._steps("caption", partial(self._view, path))]
        return steps[-1].captions[0]

    async def answers(self, path: str | None, question: Any) -> AsyncIterator[dict[str, Any]]:
        """Answer a question of the viewer's.

        Args:
            path: of the photo.
            question: `kind`, one of animation, branch, captions, occlusion and score, with what
                that needs, and `id`, a number; from a visitor, so anything at all.

        Yields:
            The question's id and kind, with `waiting` while there is a place in the line worth
            telling; then with what was asked, or why there is none as `message`. All is plain JSON
            data, but for an `animation`: the bytes of a GIF.
        """
        question = question if isinstance(question, dict) else {}
        number, kind = question.get("id"), question.get("kind")
        kind = kind if isinstance(kind, str) and kind in self._kinds else "unknown"
        named = {"id": number if is_counting_number(number) else 0, "kind": kind}
        try:
            async for step in self._steps(kind, partial(self._answer, kind, path, question)):
                yield {
                    **named,
                    **({"waiting": step._asdict()} if isinstance(step, Waiting) else step),
                }
        except ValueError as error:
            yield {**named, "message": str(error)}

    async def _steps(self, kind: str, prepare: Callable[[], Any]) -> AsyncIterator[Any]:
        """Go through the line: gives Waiting, any number of times, and then the result.

        Raises:
            ValueError: there is no result, and why, for a visitor to read.
        """
        start = time.monotonic()
        ticket, result = None, LEFT
        try:
            ticket = self._line.enter(prepare)
            async for waiting in self._waiting(ticket):
                yield waiting
            yield ticket.result.result()
            result = OK
        except LineFullError as error:
            result = BUSY
            raise ValueError(CROWDED) from error
        except ValueError as error:
            result = error.code if isinstance(error, PhotoError) else REFUSED
            raise ValueError(visitors_message(error)) from error
        except Exception:
            result = FAULT
            raise
        finally:
            if ticket is not None:
                self._line.leave(ticket)
            log_request(kind, time.monotonic() - start, result)

    async def _waiting(self, ticket: Ticket) -> AsyncIterator[Waiting]:
        """Tell the place in the line, when it has changed, until there is a result."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        ticket.result.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
        told, pause = None, QUIET_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), pause)
                return
            seconds = math.ceil(self._line.seconds_left(ticket))
            waiting = Waiting(self._line.place(ticket), seconds)
            if waiting != told:
                yield waiting
            told, pause = waiting, PLACE_SECONDS

    # What follows is called beside the model, and gives a job for it or the result.

    def _view(self, path: str | None) -> Job:
        given = self._give(path, with_image=True)
        options = read_options({})

        def view(captions: list[dict[str, Any]]) -> View:
            return View(given.image, path, Path(str(path)).name, captions)

        return self._caption_job(given, options, view)

    def _answer(self, kind: str, path: str | None, question: dict[str, Any]) -> Any:
        if kind not in self._kinds:
            raise ValueError(f"kind must be one of {', '.join(self._kinds)}")
        return self._kinds[kind](path, question)

    def _captions(self, path: str | None, question: dict[str, Any]) -> Job:
        options = read_options(question.get("options", {}))
        return self._caption_job(self._give(path), options, lambda found: {"captions": found})

    def _branch(self, path: str | None, question: dict[str, Any]) -> Job:
        caption = read_caption(question.get("caption"))
        position, word = question.get("position"), question.get("word")
        if type(position) is not int:
            raise ValueError(f"position must be a whole number, got {str(position)[:40]!r}")
        if not isinstance(word, str):
            raise ValueError("word must be text")
        options = read_options(question.get("options", {}))

        def branch(photo: Features) -> dict[str, Any]:
            told = self._model.branch(photo, caption, position, word[:MAX_LETTERS], options)
            return {"caption": told.to_json()}

        return self._job(path, branch)

    def _score(self, path: str | None, question: dict[str, Any]) -> Job:
        text = read_text(question.get("text"))
        options = read_options(question.get("options", {}))
        return self._job(
            path,
            lambda photo: {"caption": self._model.score_caption(photo, text, options).to_json()},
        )

    def _occlusion(self, path: str | None, question: dict[str, Any]) -> Job:
        caption = read_caption(question.get("caption"))
        return self._job(
            path, lambda photo: {"occlusion": self._model.occlusion(photo, caption).to_json()}
        )

    def _animation(self, path: str | None, question: dict[str, Any]) -> dict[str, Any]:
        caption = read_caption(question.get("caption"))
        if not 1 <= len(caption.words) <= MAX_FRAMES:
            raise ValueError(f"an animation must have from 1 to {MAX_FRAMES} words")
        colours, opacity = question.get("colours"), question.get("opacity")
        if not isinstance(colours, str) or colours not in (*COLOUR_MAPS, SPOTLIGHT):
            raise ValueError(f"colours must be one of {', '.join(COLOUR_MAPS)}, {SPOTLIGHT}")
        if not isinstance(opacity, int | float):
            raise ValueError("opacity must be a number")
        image = self._give(path, with_image=True).image
        assert image is not None
        frames = animate(image, caption, colours, float(opacity))
        with TemporaryDirectory() as folder:
            file = Path(folder) / "caption.gif"
            save_animation(frames, file)
            return {"animation": file.read_bytes()}

    def _give(self, path: str | None, with_image: bool = False) -> Given:
        """Read a photo, and decode it where that is needed; one that was deleted is forgotten."""
        if not path:
            raise ValueError(NO_PHOTO)
        content = self._read(path)
        digest = hashlib.blake2b(content, digest_size=16).digest()
        with self._lock:
            features = self._seen.get(digest)
        needed = with_image or features is None
        return Given(digest, features, self._decode(content) if needed else None)

    def _job(self, path: str | None, answer: Callable[[Features], dict[str, Any]]) -> Job:
        """A job on one photo, which is run alone."""
        return Job(lambda given: [answer(*self._encoded(given))], self._give(path))

    def _caption_job(
        self,
        given: Given,
        options: DecodingOptions,
        finish: Callable[[list[dict[str, Any]]], Any],
    ) -> Job:
        """Caption a photo, together with others that want it with the same options."""

        def run(items: list[tuple[Given, Callable[[list[dict[str, Any]]], Any]]]) -> list[Any]:
            features = self._encoded([item[0] for item in items])
            found = self._model.generate_n_best(features, options)
            return [
                item[1]([caption.to_json() for caption in captions])
                for item, captions in zip(items, found, strict=True)
            ]

        return Job(run, (given, finish), alike=options)

    def _encoded(self, given: Sequence[Given]) -> list[Features]:
        """The features of photos, of which those that are not remembered are encoded together."""
        known = {photo.digest: photo.features for photo in given if photo.features is not None}
        new = {photo.digest: photo.image for photo in given if photo.digest not in known}
        if new:
            images = [image for image in new.values() if image is not None]
            known.update(zip(new, self._model.encode_batch(images), strict=True))
        with self._lock:
            for digest, features in known.items():
                self._seen[digest] = features
                self._seen.move_to_end(digest)
            while len(self._seen) > REMEMBERED_PHOTOS:
                self._seen.popitem(last=False)
        return [known[photo.digest] for photo in given]


def read_options(data: Any) -> DecodingOptions:
    """Read decoding options from a visitor. Three captions, unless others are wanted.

    Raises:
        ValueError: an option does not exist, is no number, or is out of the page's limits.
    """
    if not isinstance(data, dict):
        raise ValueError("options must be names and numbers")
    for name, value in data.items():
        if name not in OPTION_LIMITS:
            raise ValueError(f"no such option here: {name[:40]!r}")
        low, high = OPTION_LIMITS[name]
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}, got {str(value)[:40]}")
    return DecodingOptions(**{"num_captions": NUM_CAPTIONS, **data})


def read_text(data: Any) -> str:
    """Read a visitor's own caption.

    Raises:
        ValueError: it is no text, or too long.
    """
    if not isinstance(data, str):
        raise ValueError("a caption must be text")
    for count, limit, name in (
        (len(data), MAX_LETTERS, "letters"),
        (len(data.split()), MAX_WORDS, "words"),
    ):
        if count > limit:
            raise ValueError(f"A caption here must have at most {limit} {name}, got {count}.")
    return data


def read_caption(data: Any) -> Caption:
    """Read a caption that this page gave before, and that may have been changed since.

    Raises:
        ValueError: it is not a caption's data, or too long.
    """
    words = data.get("words") if isinstance(data, dict) else None
    if not isinstance(words, list) or len(words) > MAX_LETTERS:
        raise ValueError(f"a caption needs words, at most {MAX_LETTERS}")
    try:
        caption = Caption.from_json(data)
    except OverflowError as error:
        raise ValueError("this is not a caption's data: a number is too large") from error
    if not all(np.isfinite(word.alpha).all() for word in caption.words):
        raise ValueError("this is not a caption's data: an attention is no number")
    return caption


def is_counting_number(value: Any) -> bool:
    """Whether it is a whole number that JSON and JavaScript keep as it is."""
    return type(value) is int and abs(value) < MAX_ID


def visitors_message(error: ValueError) -> str:
    """What a visitor reads of an error: no name of a file that only the server knows."""
    if isinstance(error, PhotoError):
        named = {**error.values, "name": "This file"} if "name" in error.values else error.values
        text = str(PhotoError(error.code, named))
        return text if text.endswith(".") else f"{text}."
    return str(error)
