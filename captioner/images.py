"""Photos from anywhere, read safely as upright RGB.

Knows files and pixels; knows nothing of tensors, networks, words or captions.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from captioner.errors import PhotoError as PhotoError
from captioner.orientation import read_orientation, turn_upright
from captioner.photo_files import read_file
from captioner.photo_headers import BoundedFile, hide_exif
from captioner.photo_limits import check_scans, check_size
from captioner.pillow_errors import pillow_errors
from captioner.pixels import to_rgb

Photo = str | Path | bytes | Image.Image | np.ndarray[Any, Any]
"""What a photo may be given as: a path, the bytes of a file, a PIL image, or an HWC (or HW) uint8
array, RGB, 0-255."""

READ_MIN_SIDE = 1024
"""The least side, in pixels, that large photos are shrunk to for the model."""

PLUGINS = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    AvifImagePlugin.AvifImageFile,
    GifImagePlugin.GifImageFile,
    BmpImagePlugin.BmpImageFile,
    TiffImagePlugin.TiffImageFile,
)
"""The only formats tried: among Pillow's others are some that start programs, such as EPS."""
FORMATS = tuple(str(plugin.format) for plugin in PLUGINS)


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
        return _copy(Image.fromarray(_checked_array(photo)), "the array", min_side)
    if isinstance(photo, Image.Image):
        return _copy(photo, "the photo", min_side)
    if isinstance(photo, bytes):
        return _decode(photo, "the file", min_side)
    return _decode(read_file(Path(photo)), str(photo), min_side)


def _decode(content: bytes, name: str, min_side: int | None) -> Image.Image:
    with pillow_errors(name):
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
    with pillow_errors(name):
        check_size(image, name)
        image.load()
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        return turn_upright(_shrink_to_rgb(image, min_side), orientation)


def _shrink_to_rgb(image: Image.Image, min_side: int | None) -> Image.Image:
    return to_rgb(image, max(1, min(image.size) // min_side) if min_side else 1)


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
