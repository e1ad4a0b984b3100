"""Photos from anywhere, read safely as upright RGB.

Knows files and pixels; knows nothing of tensors, networks, words or captions.
"""

import math
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from captioner.errors import PhotoError as PhotoError
from captioner.photo_limits import MAX_PIXELS, BoundedFile, check_scans, check_size, hide_exif
from captioner.pixels import read_orientation, to_rgb, turn_upright

Photo = str | Path | bytes | Image.Image | np.ndarray[Any, Any]
"""A path, the bytes of a file, a PIL image, or an HWC (or HW) uint8 array, RGB, 0-255."""

MAX_SQUARES = 12
"""Pixels of a photo that is shrunk, in squares of the least side. Only a panorama has more, and
would take too much memory among others that wait."""
READ_MIN_SIDE = 1024
"""The shorter side, in pixels, down to which large photos are shrunk for the model."""

MAX_BYTES = 512 * 2**20
"""Of a file. The largest photo that is read has fewer, even uncompressed."""

PLUGINS = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    AvifImagePlugin.AvifImageFile,
    GifImagePlugin.GifImageFile,
    BmpImagePlugin.BmpImageFile,
    TiffImagePlugin.TiffImageFile,
)
"""The only formats tried: some of Pillow's others start programs, such as EPS."""
FORMATS = tuple(str(plugin.format) for plugin in PLUGINS)


def load_image(photo: Photo, min_side: int | None = None) -> Image.Image:
    """Read a photo as an upright RGB image.

    Applies EXIF orientation, lays transparency on white, converts 16-bit, CMYK, palette and grey
    to RGB, and takes the first frame of an animation.

    Args:
        photo: a path, the bytes of a file, a PIL image of any mode, or a uint8 array (H, W),
            (H, W, 3) or (H, W, 4).
        min_side: shrink a large photo by a whole factor while it is read, which saves time and
            memory, while both sides keep at least this many pixels; a panorama further, to at most
            12 * min_side ** 2 pixels. By default not at all.

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
        return _copy(Image.fromarray(_checked_array(photo)), "the array", min_side)
    if isinstance(photo, Image.Image):
        return _copy(photo, "the photo", min_side)
    if isinstance(photo, bytes):
        return _decode(photo, "the file", min_side)
    return _decode(read_file(Path(photo)), str(photo), min_side)


def read_file(path: Path) -> bytes:
    """Read a file.

    Raises:
        FileNotFoundError: there is none.
        PhotoError: it is not a regular file, may not be read, or is too large.
    """
    try:
        _require_regular(path, path.stat().st_mode)  # opening a device may have side effects
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())  # the path may have changed since
            _require_regular(path, status.st_mode)
            content = file.read(MAX_BYTES + 1) if status.st_size <= MAX_BYTES else None
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"no such photo: {path}") from error
    except PermissionError as error:
        raise PhotoError("permission_denied", {"name": str(path)}) from error
    except OSError as error:
        values = {"name": str(path), "reason": error.strerror or type(error).__name__}
        raise PhotoError("unreadable", values) from error
    except PhotoError:
        raise
    except ValueError as error:  # a null character in the path
        raise FileNotFoundError(f"no such photo: {str(path)!r}") from error
    if content is None or len(content) > MAX_BYTES:
        raise PhotoError("too_many_bytes", {"name": str(path), "max_bytes": MAX_BYTES})
    return content


def _decode(content: bytes, name: str, min_side: int | None) -> Image.Image:
    with _pillow_errors(name):
        content = hide_exif(content)
        file = BoundedFile(content, name)
        with Image.open(file, formats=FORMATS) as image:
            check_size(image, name)
            check_scans(image, content, file.tell(), name)
            file.in_header = False
            if min_side is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
                image.draft(None, (min_side, min_side))
            image.load()
            return turn_upright(_shrink_to_rgb(image, min_side), read_orientation(image))


def _copy(image: Image.Image, name: str, min_side: int | None) -> Image.Image:
    with _pillow_errors(name, is_read=not isinstance(image, ImageFile.ImageFile)):
        check_size(image, name)
        image.load()
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        return turn_upright(_shrink_to_rgb(image, min_side), orientation)


def _shrink_to_rgb(image: Image.Image, min_side: int | None) -> Image.Image:
    return to_rgb(image, _factor(image.size, min_side) if min_side else 1)


def _factor(size: tuple[int, int], min_side: int) -> int:
    """The factor to shrink by: the same photo is not shrunk again."""
    factor = max(1, min(size) // min_side)
    while math.prod(-(-side // factor) for side in size) > MAX_SQUARES * min_side**2:
        factor += 1
    return factor


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


@contextmanager
def _pillow_errors(name: str, is_read: bool = False) -> Iterator[None]:
    """Turn whatever a decoder raises into a PhotoError, and drop Pillow's warnings.

    Args:
        name: what messages call the photo.
        is_read: that its pixels are in memory, of which Pillow does not warn: the filters of
            warnings, which other threads may be changing, are then left alone.
    """
    try:
        with nullcontext() if is_read else _quiet_pillow:
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


class _QuietPillow:
    """Ignores warnings of Pillow while any thread is inside.

    `warnings.catch_warnings` alone is not enough: filters belong to the whole process, and two
    threads that leave in a different order than they entered would leave them changed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._saved.__exit__(None, None, None)


_quiet_pillow = _QuietPillow()


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise PhotoError("folder", {"name": str(path)})
    if not stat.S_ISREG(mode):
        raise PhotoError("not_a_file", {"name": str(path)})


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting, as a FIFO otherwise would. Some systems lack these flags."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
