"""From photos that are listed to what the model says of them, in small batches.

Knows the model; knows nothing of how its answers are written.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from PIL import Image

from captioner.captions import Caption
from captioner.command_line.listing import Listed
from captioner.model import Features, ImageCaptioningModel
from captioner.options import DecodingOptions

BLANK_PHOTO_SIDE = 32


class Answer(NamedTuple):
    """What the model says of a photo."""

    photo: Listed
    captions: list[Caption]
    """Its own, best first; at least one."""
    scored: Caption | None
    """A person's words for the photo, where there are any."""

    @property
    def pictured(self) -> Caption:
        """The caption that pictures are made of: the person's, or else the model's best."""
        return self.scored or self.captions[0]


class Failure(NamedTuple):
    """Why there is no answer."""

    photo: Listed
    error: OSError | ValueError


def caption_photos(
    model: ImageCaptioningModel,
    photos: Iterable[Listed],
    options: DecodingOptions,
    own_words: str | None = None,
    batch_size: int = 8,
) -> Iterator[Answer | Failure]:
    """Caption photos, no more of them at a time than a batch holds.

    Args:
        own_words: a person's caption, to be scored for every photo.

    Yields:
        One result a photo, in order.
    """
    waiting = iter(photos)
    while batch := list(islice(waiting, batch_size)):
        encoded = [_encode(model, photo) for photo in batch]
        readable = [result for result in encoded if isinstance(result, Features)]
        found = iter(model.generate_n_best(readable, options))
        for photo, result in zip(batch, encoded, strict=True):
            if not isinstance(result, Features):
                yield Failure(photo, result)
            elif own_words is None:
                yield Answer(photo, next(found), None)
            else:
                scored = model.score_caption(result, own_words, options)
                yield Answer(photo, next(found), scored)


def check_words(
    model: ImageCaptioningModel, options: DecodingOptions, own_words: str | None = None
) -> None:
    """Find out before any photo is read whether the model can use the words it is given.

    Raises:
        ValueError: it cannot, and why.
    """
    model.check_options(options)
    if own_words is not None:
        blank = Image.new("RGB", (BLANK_PHOTO_SIDE, BLANK_PHOTO_SIDE))
        model.score_caption(blank, own_words, options)


def unknown_bans(model: ImageCaptioningModel, options: DecodingOptions) -> list[str]:
    """The banned words that the model does not know: it never says them anyway."""
    return [word for word in options.banned_words if word.lower() not in model.vocabulary]


def _encode(model: ImageCaptioningModel, photo: Listed) -> Features | OSError | ValueError:
    if photo.error is not None:
        return photo.error
    try:
        return model.encode(photo.path)
    except (OSError, ValueError) as error:
        return error
