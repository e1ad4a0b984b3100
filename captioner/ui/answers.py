"""What the page asks of a model, and its answers as JSON. Knows no layout and no browser.

Everything that comes from a visitor is checked here: a value that does not fit gets a ValueError
or an answer with a message, never a fault. A photo is encoded once for all that is asked of it.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Protocol

import numpy as np
from PIL import Image

from captioner.captions import Caption, Occlusion
from captioner.images import Photo
from captioner.model import Features
from captioner.options import DecodingOptions
from captioner.ui.photo_input import read_photo
from captioner.ui.viewer import COLOUR_MAPS, View
from captioner.visualization import SPOTLIGHT, animate, save_animation

NUM_CAPTIONS = 3
"""Found with the first; as many as the default beam holds, so they cost nothing more."""
MAX_LETTERS, MAX_WORDS = 300, 40
"""Of a caption on this page, whoever says it."""
MAX_FRAMES = 80
"""Of an animation: the words of a caption, which a tokenizer may make more of than a person."""
REMEMBERED_PHOTOS = 16
"""Whose features are kept, some 300 kB each."""
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

    def encode(self, photo: Photo) -> Features: ...
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


class Answers:
    """Captions photos by their paths, and answers what is asked of them."""

    def __init__(self, model: Captioner) -> None:
        self._model = model
        self._seen: OrderedDict[tuple[str, int], Features] = OrderedDict()
        self._lock = Lock()
        self._kinds: dict[str, Callable[[str | None, dict[str, Any]], dict[str, Any]]] = {
            "animation": self._animation,
            "branch": self._branch,
            "captions": self._captions,
            "occlusion": self._occlusion,
            "score": self._score,
        }

    def view(self, path: str | None) -> View | None:
        """Caption a photo for the viewer, which also shows why a photo cannot be captioned.

        Args:
            path: of the photo, or None where the visitor took it away.
        """
        if path is None:
            return None
        try:
            image = read_photo(path)
            features = self._features(path, image)
        except ValueError as error:
            return View(of=path, message=str(error))
        return View(image, path, Path(path).name, self._found(features, {}))

    def answer(self, path: str | None, question: Any) -> dict[str, Any]:
        """Answer a question of the viewer's.

        Args:
            path: of the photo.
            question: `kind`, one of animation, branch, captions, occlusion and score, with what
                that needs, and `id`, a number; from a visitor, so anything at all.

        Returns:
            The question's id and kind, and what was asked, or why there is none as `message`. All
            is plain JSON data, but for an `animation`: the bytes of a GIF.
        """
        question = question if isinstance(question, dict) else {}
        number, kind = question.get("id"), question.get("kind")
        named = {"id": number if isinstance(number, int) else 0, "kind": str(kind)[:20]}
        try:
            if not isinstance(kind, str) or kind not in self._kinds:
                raise ValueError(f"kind must be one of {', '.join(self._kinds)}")
            return {**named, **self._kinds[kind](path, question)}
        except ValueError as error:
            return {**named, "message": str(error)}

    def _features(self, path: str | None, image: Image.Image | None = None) -> Features:
        """Of a photo that is still there: a file that was deleted is not remembered, either."""
        if path is None or not Path(path).is_file():
            image = read_photo(path)  # says what is wrong
        file = (str(path), Path(str(path)).stat().st_mtime_ns)
        with self._lock:
            if file not in self._seen:
                self._seen[file] = self._model.encode(image or read_photo(path))
            self._seen.move_to_end(file)
            if len(self._seen) > REMEMBERED_PHOTOS:
                self._seen.popitem(last=False)
            return self._seen[file]

    def _found(self, features: Features, options: Any) -> list[dict[str, Any]]:
        (found,) = self._model.generate_n_best([features], read_options(options))
        return [caption.to_json() for caption in found]

    def _captions(self, path: str | None, question: dict[str, Any]) -> dict[str, Any]:
        return {"captions": self._found(self._features(path), question.get("options", {}))}

    def _branch(self, path: str | None, question: dict[str, Any]) -> dict[str, Any]:
        caption = read_caption(question.get("caption"))
        position, word = question.get("position"), question.get("word")
        if type(position) is not int:
            raise ValueError(f"position must be a whole number, got {str(position)[:40]!r}")
        if not isinstance(word, str):
            raise ValueError("word must be text")
        options = read_options(question.get("options", {}))
        features = self._features(path)
        told = self._model.branch(features, caption, position, word[:MAX_LETTERS], options)
        return {"caption": told.to_json()}

    def _score(self, path: str | None, question: dict[str, Any]) -> dict[str, Any]:
        text = read_text(question.get("text"))
        options = read_options(question.get("options", {}))
        scored = self._model.score_caption(self._features(path), text, options)
        return {"caption": scored.to_json()}

    def _occlusion(self, path: str | None, question: dict[str, Any]) -> dict[str, Any]:
        caption = read_caption(question.get("caption"))
        return {"occlusion": self._model.occlusion(self._features(path), caption).to_json()}

    def _animation(self, path: str | None, question: dict[str, Any]) -> dict[str, Any]:
        caption = read_caption(question.get("caption"))
        if not 1 <= len(caption.words) <= MAX_FRAMES:
            raise ValueError(f"an animation must have from 1 to {MAX_FRAMES} words")
        colours, opacity = question.get("colours"), question.get("opacity")
        if not isinstance(colours, str) or colours not in (*COLOUR_MAPS, SPOTLIGHT):
            raise ValueError(f"colours must be one of {', '.join(COLOUR_MAPS)}, {SPOTLIGHT}")
        if not isinstance(opacity, int | float):
            raise ValueError("opacity must be a number")
        frames = animate(read_photo(path), caption, colours, float(opacity))
        with TemporaryDirectory() as folder:
            file = Path(folder) / "caption.gif"
            save_animation(frames, file)
            return {"animation": file.read_bytes()}


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
