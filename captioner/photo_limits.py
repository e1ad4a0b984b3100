"""How large a photo may be. Knows what Pillow read of a file's header; decodes nothing.

The numbers of pixels are such that a file of up to 10 MB takes at most 3 seconds of one core and
1 GB of memory to read; `python -m tests.benchmarks.photos` measures it.
"""

from typing import Any

from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from captioner.errors import PhotoError
from captioner.photo_headers import count_scans

MIN_SIDE, MAX_SIDE = 8, 30_000
MAX_ASPECT_RATIO = 20

MAX_PIXELS = 89_478_485
"""Of a photo in memory, or in a format without a limit of its own: Pillow's own limit against
decompression bombs."""
MAX_FORMAT_PIXELS = {"PNG": 64_000_000, "TIFF": 64_000_000, "WEBP": 56_000_000, "AVIF": 40_000_000}
MAX_DEEP_PIXELS = 40_000_000
"""Of a PNG with 16-bit colours."""
MAX_RLE_PIXELS = 16_000_000
"""Of a compressed BMP, which Pillow decodes in Python."""
STRIP_OFFSETS, TILE_OFFSETS = 273, 324
"""TIFF tags."""
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS
"""Pixels of a JPEG times its scans: a progressive one goes over its pixels once for each scan."""


def check_size(image: Image.Image, name: str) -> None:
    """Refuse an image that is too small, too large or too elongated.

    Args:
        image: not loaded yet, where it is of a file.
        name: what the message calls it.

    Raises:
        PhotoError: it is.
    """
    width, height = image.size
    values: dict[str, Any] = {"name": name, "width": width, "height": height}
    max_pixels = _max_pixels(image)
    if min(width, height) < MIN_SIDE:
        raise PhotoError("too_small", {**values, "min_side": MIN_SIDE})
    if max(width, height) > MAX_SIDE:
        raise PhotoError("too_long_sides", {**values, "max_side": MAX_SIDE})
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise PhotoError("too_elongated", {**values, "max_ratio": MAX_ASPECT_RATIO})
    if width * height > max_pixels:
        raise PhotoError("too_many_pixels", {**values, "max_pixels": max_pixels})


def check_scans(image: ImageFile.ImageFile, content: bytes, start: int, name: str) -> None:
    """Refuse a JPEG, or a TIFF with JPEG inside, of very many scans.

    Args:
        image: not loaded yet.
        start: where Pillow stopped to read the file.

    Raises:
        PhotoError: it is.
    """
    pixels = image.width * image.height
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        scanned = pixels * count_scans(content, start, MAX_SCANNED_PIXELS // pixels)
    elif isinstance(image, TiffImagePlugin.TiffImageFile) and "jpeg" in image.info["compression"]:
        parts = len(image.tag_v2.get(TILE_OFFSETS) or image.tag_v2.get(STRIP_OFFSETS) or "?")
        scanned = pixels * content.count(b"\xff\xda") / parts
    else:
        return
    if scanned > MAX_SCANNED_PIXELS:
        raise PhotoError("too_complex", {"name": name})


def _max_pixels(image: Image.Image) -> int:
    decoder, raw_mode = _decoder(image)
    if decoder == "bmp_rle":
        return MAX_RLE_PIXELS
    if image.format == "PNG" and raw_mode in ("RGB;16B", "LA;16B", "RGBA;16B"):
        return MAX_DEEP_PIXELS
    return MAX_FORMAT_PIXELS.get(image.format or "", MAX_PIXELS)


def _decoder(image: Image.Image) -> tuple[str, str]:
    """Pillow's names of the decoder that will read an image, and of its mode in the file."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return "", ""
    tile = image.tile[0]
    raw_mode = tile.args[0] if isinstance(tile.args, tuple) and tile.args else tile.args
    return tile.codec_name, str(raw_mode)
