"""Photos from anywhere, read safely as upright RGB.

Knows files and pixels; knows nothing of tensors, networks, words or captions.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from captioner.photo_errors import PhotoError
from captioner.photo_files import read_file
from captioner.pixels import to_rgb

Photo = str | Path | bytes | Image.Image | np.ndarray[Any, Any]
"""What a photo may be given as: a path, the bytes of a file, a PIL image, or an HWC (or HW) uint8
array, RGB, 0-255."""

READ_MIN_SIDE = 1024
"""The least side, in pixels, that large photos are shrunk to for the model."""

MIN_SIDE, MAX_SIDE = 8, 30_000
MAX_ASPECT_RATIO = 20
MAX_PIXELS = 89_478_485
"""Pillow's own limit against decompression bombs."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""The only ones tried: among Pillow's others are some that start programs, such as EPS."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a photo upright, by its EXIF orientation."""


def load_image(photo: Photo, min_side: int | None = None) -> Image.Image:
    """Read a photo as an upright RGB image.

    Applies EXIF orientation, lays transparency on white, converts 16-bit, CMYK, palette and grey
    to RGB, and takes the first frame of an animation.

    Args:
        photo: a path, the bytes of a file, a PIL image of any mode, or a uint8 array (H, W),
            (H, W, 3) or (H, W, 4).
        min_side: shrink a large photo by a whole factor while it is read, which takes less time
            and memory, as far as both sides keep so many pixels; by default not at all.

    Returns:
        A new RGB image; the argument is left as it was.

    Raises:
        FileNotFoundError: there is no such file.
        PhotoError: it is not a regular file or not a photo, is damaged, or is too small, too
            large or too elongated.
        ValueError: an array has another type or shape, or min_side is below 1.
    """
    if min_side is not None and min_side < 1:
        raise ValueError(f"min_side must be at least 1, got {min_side}")
    if isinstance(photo, np.ndarray):
        return _to_upright_rgb(Image.fromarray(_checked_array(photo)), "the array", min_side)
    if isinstance(photo, Image.Image):
        return _to_upright_rgb(photo, "the photo", min_side)
    if isinstance(photo, bytes):
        return _decode(photo, "the file", min_side)
    return _decode(read_file(Path(photo)), str(photo), min_side)


def _decode(content: bytes, name: str, min_side: int | None) -> Image.Image:
    with _decoder_errors(name), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        _check_size(image, name)
        if min_side is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(None, (min_side, min_side))
        return _to_upright_rgb(image, name, min_side)


def _to_upright_rgb(image: Image.Image, name: str, min_side: int | None) -> Image.Image:
    with _decoder_errors(name):
        _check_size(image, name)
        image.load()
        factor = max(1, min(image.size) // min_side) if min_side else 1
        rgb = to_rgb(image, factor)
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        return rgb if turn is None else rgb.transpose(turn)


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    values = {"name": name, "width": width, "height": height}
    if min(image.size) < MIN_SIDE:
        raise PhotoError("too_small", {**values, "min_side": MIN_SIDE})
    if max(image.size) > MAX_SIDE:
        raise PhotoError("too_long_sides", {**values, "max_side": MAX_SIDE})
    if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
        raise PhotoError("too_elongated", {**values, "max_ratio": MAX_ASPECT_RATIO})
    if width * height > MAX_PIXELS:
        raise PhotoError("too_many_pixels", {**values, "max_pixels": MAX_PIXELS})


@contextmanager
def _decoder_errors(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a PhotoError, and drop its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError("format", {"name": name}) from error
    except Image.DecompressionBombError as error:
        raise PhotoError("too_many_pixels", {"name": name, "max_pixels": MAX_PIXELS}) from error
    except MemoryError as error:
        raise PhotoError("too_much_memory", {"name": name}) from error
    except Exception as error:
        # Damaged data make Pillow's decoders raise errors of any kind: TypeError, RuntimeError,
        # AttributeError, struct.error, ZeroDivisionError and more.
        raise PhotoError("damaged", {"name": name, "reason": str(error)}) from error


def _checked_array(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype != np.uint8:
        raise ValueError(f"a photo as an array must be uint8 (0-255), got {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ValueError(
            f"a photo as an array must be (height, width, 3) or (height, width), got {array.shape}"
        )
    return array
