"""The page's requests to a model, and the answers as JSON. Knows no layout and no browser.

Everything that comes from a visitor is checked here: a bad value gets a ValueError or an answer
with an error, never a fault. A photo is encoded once for all requests about it, and photos that
wait are encoded and captioned as a batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from captioner.captions import Caption, Occlusion
from captioner.errors import PhotoError
from captioner.images import Photo
from captioner.options import DecodingOptions
from captioner.page.components import COLOUR_MAPS, View, Waiting
from captioner.page.errors import PageError, error_data
from captioner.page.line import Job, Line, LineFullError, Ticket
from captioner.page.request_log import BUSY, FAULT, LEFT, OK, REFUSED, log_request
from captioner.search_tree import SearchTree
from captioner.visualization import SPOTLIGHT, animate, save_animation

if TYPE_CHECKING:  # so that the page is served before torch is imported
    from captioner.model import Features

NUM_CAPTIONS = 3
"""Found with the first; as many as the default beam holds, so they cost nothing more."""
MAX_LETTERS, MAX_WORDS = 300, 40
"""Of a caption on this page, whoever wrote it."""
MAX_TOKENS = 80
"""Of a caption's data: a tokenizer may split a text into more words than spaces do."""
REMEMBERED_PHOTOS = 64
"""Whose features are kept, some 300 kB each."""
QUIET_SECONDS = 0.7
"""Before a visitor sees their place in the line: most photos are captioned by then."""
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


class Captioner(Protocol):
    """What the page needs of a model; see ImageCaptioningModel."""

    def encode_batch(self, photos: Sequence[Photo]) -> list[Features]: ...
    def generate_n_best(
        self, photos: list[Features], options: DecodingOptions
    ) -> list[list[Caption]]: ...
    def generate_blind_caption(self, options: DecodingOptions) -> Caption: ...
    def search_tree(self, photo: Features, options: DecodingOptions) -> SearchTree: ...
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


class CaptionService:
    """Captions photos by their paths, and answers requests about them."""

    def __init__(
        self,
        model: Callable[[], Captioner],
        read: Callable[[str], bytes],
        decode: Callable[[bytes], Image.Image],
        line: Line,
    ) -> None:
        """Make them of their parts.

        Args:
            model: gives the model, once it is loaded.
            read: gives the content of the file that a request names; raises PhotoError.
            decode: turns that into upright RGB; raises PhotoError.
            line: in which requests wait for the model.
        """
        self._get_model, self._read, self._decode, self._line = model, read, decode, line
        self._seen: OrderedDict[bytes, Features] = OrderedDict()
        self._lock = Lock()
        self._kinds: dict[str, Callable[[str | None, dict[str, Any]], Job | dict[str, Any]]] = {
            "animation": self._animation,
            "blind": self._blind,
            "branch": self._branch,
            "captions": self._captions,
            "occlusion": self._occlusion,
            "score": self._score,
            "tree": self._tree,
        }

    @property
    def _model(self) -> Captioner:
        return self._get_model()

    @property
    def is_closed(self) -> bool:
        """Whether photos are captioned no more, since the server stops."""
        return self._line.is_closed

    async def respond(self, request: Any) -> AsyncIterator[View]:
        """Give the viewer what it requests.

        Args:
            request: `kind`: view, for the captions of a photo, or a kind of `answers`; `photo`, its
                path; from a visitor, so anything at all.
        """
        request = request if isinstance(request, dict) else {}
        photo = request.get("photo")
        path = photo if isinstance(photo, str) else None
        if request.get("kind") == "view":
            async for view in self.views(path):
                yield view
        else:
            async for answer in self.answers(path, request):
                yield View(answer=answer, animation=answer.pop("animation", None))

    async def views(self, path: str | None) -> AsyncIterator[View]:
        """Caption a photo for the viewer, which also shows why a photo cannot be captioned.

        Args:
            path: of the photo.

        Yields:
            The place in the line, if the wait is long enough to show it; then the captions.
        """
        try:
            async for step in self._steps("view", partial(self._view, path)):
                yield View(of=path, waiting=step) if isinstance(step, Waiting) else step
        except ValueError as error:
            yield View(of=path, error=error_data(error))

    def view(self, path: str) -> View:
        """The last of `views`, for those that can wait for it."""
        try:
            return self._enter(partial(self._view, path)).result.result()
        except ValueError as error:
            return View(of=path, error=error_data(error))

    async def caption(self, path: str | None) -> dict[str, Any]:
        """Caption a photo for a program; gives the best caption, as `Caption.to_json`.

        Raises:
            ValueError: the photo cannot be captioned, and why.
        """
        steps = [step async for step in self._steps("caption", partial(self._view, path))]
        return steps[-1].captions[0]

    async def answers(self, path: str | None, request: Any) -> AsyncIterator[dict[str, Any]]:
        """Answer a request of the viewer's.

        Args:
            path: of the photo.
            request: `kind`, one of animation, blind, branch, captions, occlusion, score and tree,
                with what that needs, and `id`, a number; from a visitor, so anything at all.

        Yields:
            The request's id and kind, with `waiting`, the place in the line, if the wait is long
            enough to show it; then with the result, or an `error` as error_data gives it. All is
            plain JSON data, but for an `animation`: the bytes of a GIF.
        """
        request = request if isinstance(request, dict) else {}
        number, kind = request.get("id"), request.get("kind")
        kind = kind if isinstance(kind, str) and kind in self._kinds else "unknown"
        named = {"id": number if is_counting_number(number) else 0, "kind": kind}
        try:
            async for step in self._steps(kind, partial(self._answer, kind, path, request)):
                yield {
                    **named,
                    **({"waiting": step._asdict()} if isinstance(step, Waiting) else step),
                }
        except ValueError as error:
            yield {**named, "error": error_data(error)}

    async def _steps(self, kind: str, prepare: Callable[[], Any]) -> AsyncIterator[Any]:
        """Go through the line: gives Waiting, any number of times, and then the result.

        Raises:
            ValueError: there is no result, and why, for a visitor to read.
        """
        start = time.monotonic()
        ticket, result = None, LEFT
        try:
            ticket = self._enter(prepare)
            async for waiting in self._waiting(ticket):
                yield waiting
            yield ticket.result.result()
            result = OK
        except LineFullError as error:
            result = BUSY
            raise PageError("queue_full") from error
        except ValueError as error:
            result = error.code if isinstance(error, PhotoError) else REFUSED
            raise
        except Exception:
            result = FAULT
            raise
        finally:
            if ticket is not None:
                self._line.leave(ticket)
            log_request(kind, time.monotonic() - start, result)

    def _enter(self, prepare: Callable[[], Any]) -> Ticket:
        """Take a place in the line, whose jobs are ready when there is a model to run them."""

        def prepare_and_wait() -> Any:
            prepared = prepare()
            self._get_model()
            return prepared

        return self._line.enter(prepare_and_wait)

    async def _waiting(self, ticket: Ticket) -> AsyncIterator[Waiting]:
        """Give the place in the line whenever it has changed, until there is a result."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        ticket.result.add_done_callback(lambda _: loop.call_soon_threadsafe(ended.set))
        sent, pause = None, QUIET_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), pause)
                return
            seconds = math.ceil(self._line.seconds_left(ticket))
            waiting = Waiting(self._line.place(ticket), seconds)
            if waiting != sent:
                yield waiting
            sent, pause = waiting, PLACE_SECONDS

    # What follows is called beside the model, and gives a job for it or the result.

    def _view(self, path: str | None) -> Job:
        given = self._give(path, with_image=True)
        options = read_options({})

        def view(captions: list[dict[str, Any]]) -> View:
            return View(given.image, path, Path(str(path)).name, captions)

        return self._caption_job(given, options, view)

    def _answer(self, kind: str, path: str | None, request: dict[str, Any]) -> Any:
        if kind not in self._kinds:
            raise malformed(f"kind must be one of {', '.join(self._kinds)}")
        return self._kinds[kind](path, request)

    def _captions(self, path: str | None, request: dict[str, Any]) -> Job:
        options = read_options(request.get("options", {}))
        options = replace(options, prefix=read_text(request.get("prefix", "")))
        return self._caption_job(self._give(path), options, lambda found: {"captions": found})

    def _branch(self, path: str | None, request: dict[str, Any]) -> Job:
        caption = read_caption(request.get("caption"))
        position, word = request.get("position"), request.get("word")
        if type(position) is not int:
            raise malformed(f"position must be a whole number, got {str(position)[:40]!r}")
        if not isinstance(word, str):
            raise malformed("word must be text")
        options = read_options(request.get("options", {}))

        def branch(photo: Features) -> dict[str, Any]:
            branched = self._model.branch(photo, caption, position, word[:MAX_LETTERS], options)
            return {"caption": branched.to_json()}

        return self._job(path, branch)

    def _score(self, path: str | None, request: dict[str, Any]) -> Job:
        text = read_text(request.get("text"))
        options = read_options(request.get("options", {}))
        return self._job(
            path,
            lambda photo: {"caption": self._model.score_caption(photo, text, options).to_json()},
        )

    def _blind(self, path: str | None, request: dict[str, Any]) -> Job:
        options = read_options(request.get("options", {}))

        def caption(_: list[None]) -> list[dict[str, Any]]:
            return [{"caption": self._model.generate_blind_caption(options).to_json()}]

        return Job(caption, None)

    def _tree(self, path: str | None, request: dict[str, Any]) -> Job:
        options = read_options(request.get("options", {}))
        return self._job(
            path, lambda photo: {"tree": self._model.search_tree(photo, options).to_json()}
        )

    def _occlusion(self, path: str | None, request: dict[str, Any]) -> Job:
        caption = read_caption(request.get("caption"))
        return self._job(
            path, lambda photo: {"occlusion": self._model.occlusion(photo, caption).to_json()}
        )

    def _animation(self, path: str | None, request: dict[str, Any]) -> dict[str, Any]:
        caption = read_caption(request.get("caption"))
        if not 1 <= len(caption.words) <= MAX_TOKENS:
            raise PageError("animation_length", low=1, high=MAX_TOKENS, got=len(caption.words))
        colours, opacity = request.get("colours"), request.get("opacity")
        if not isinstance(colours, str) or colours not in (*COLOUR_MAPS, SPOTLIGHT):
            raise malformed(f"colours must be one of {', '.join(COLOUR_MAPS)}, {SPOTLIGHT}")
        if not isinstance(opacity, int | float) or not 0 <= opacity <= 1:
            raise PageError(
                "option_out_of_range", name="opacity", low=0, high=1, got=str(opacity)[:40]
            )
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
            raise PageError("no_photo")
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
        raise malformed("options must be names and numbers")
    for name, value in data.items():
        if name not in OPTION_LIMITS:
            raise PageError("option_unknown", name=str(name)[:40])
        low, high = OPTION_LIMITS[name]
        if type(value) not in (int, float) or not low <= value <= high:
            got = str(value)[:40]
            raise PageError("option_out_of_range", name=name, low=low, high=high, got=got)
    return DecodingOptions(**{"num_captions": NUM_CAPTIONS, **data})


def read_text(data: Any) -> str:
    """Read a visitor's own caption.

    Raises:
        ValueError: it is no text, or too long.
    """
    if not isinstance(data, str):
        raise malformed("a caption must be text")
    for code, count, limit in (
        ("caption_too_many_letters", len(data), MAX_LETTERS),
        ("caption_too_many_words", len(data.split()), MAX_WORDS),
    ):
        if count > limit:
            raise PageError(code, limit=limit, got=count)
    return data


def read_caption(data: Any) -> Caption:
    """Read a caption that this page gave before, and that may have been changed since.

    Raises:
        ValueError: it is not a caption's data, or too long.
    """
    words = data.get("words") if isinstance(data, dict) else None
    if not isinstance(words, list) or len(words) > MAX_TOKENS:
        raise malformed_caption(f"it needs words, at most {MAX_TOKENS}")
    try:
        caption = Caption.from_json(data)
    except OverflowError as error:
        raise malformed_caption("a number is too large") from error
    if not all(np.isfinite(word.alpha).all() for word in caption.words):
        raise malformed_caption("an attention is not a number")
    return caption


def is_counting_number(value: Any) -> bool:
    """Whether it is a whole number that JSON and JavaScript keep as it is."""
    return type(value) is int and abs(value) < MAX_ID


def malformed(reason: str) -> PageError:
    """The error of a request that this page does not send."""
    return PageError("request_malformed", reason=reason)


def malformed_caption(reason: str) -> PageError:
    """The error of data that is not a caption's."""
    return PageError("caption_malformed", reason=reason)
