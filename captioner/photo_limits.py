"""What a photo file may cost: its pixels, its scans, the parts of its header.

Knows what Pillow read of a file's header, and the bytes of the file; decodes no pixels.

The numbers of pixels are such that a file of up to 10 MB takes at most 3 seconds of one core and
1 GB of memory to read; `python -m tests.benchmarks.photos` measures it.
"""

import io
import re
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageFile, JpegImagePlugin, TiffImagePlugin

from captioner.errors import PhotoError

MIN_SIDE, MAX_SIDE = 8, 30_000
MAX_ASPECT_RATIO = 20

MAX_PIXELS = 89_478_485
"""Of a photo in memory, or in a format without its own limit here: Pillow's limit against
decompression bombs."""
MAX_FORMAT_PIXELS = {"PNG": 64_000_000, "TIFF": 64_000_000, "WEBP": 56_000_000, "AVIF": 40_000_000}
MAX_DEEP_PIXELS = 40_000_000
"""Of a PNG with 16-bit colours."""
MAX_RLE_PIXELS = 16_000_000
"""Of a compressed BMP, which Pillow decodes in Python."""
STRIP_OFFSETS, TILE_OFFSETS = 273, 324
"""TIFF tags."""
MAX_SCANNED_PIXELS = 20 * MAX_PIXELS
"""Pixels of a JPEG times its scans: a progressive one decodes all its pixels in each scan."""

MAX_HEADER_READS, MAX_READS = 8_000, 500_000
"""Calls of `read` until Pillow knows an image's size, and in all. Its loops over chunks, segments,
tags and runs are in Python, with at least one call in each iteration."""
MAX_READ_FACTOR, MAX_EXTRA_BYTES = 3, 1 << 20
"""How often the bytes of a file may be read, and some more: in a TIFF, thousands of tags may share
the same bytes as their value."""

EXIF_SEGMENT = re.compile(rb"\xff\xe1..Exif\0\0", re.DOTALL)
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
"""In a JPEG, the start of a segment or the end."""
SEGMENTS_PER_SCAN = 100


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
        start: where Pillow stopped reading the file.

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


class BoundedFile(io.BytesIO):
    """A file in memory with a limit on how much is read from it."""

    def __init__(self, content: bytes, name: str) -> None:
        """Make the file.

        Args:
            name: what the error calls it.
        """
        super().__init__(content)
        self.in_header = True
        self._name = name
        self._reads = 0
        self._bytes_left = MAX_READ_FACTOR * len(content) + MAX_EXTRA_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, as any file.

        Raises:
            PhotoError: too much has been read.
        """
        content = super().read(size)
        self._reads += 1
        self._bytes_left -= len(content)
        most = MAX_HEADER_READS if self.in_header else MAX_READS
        if self._reads > most or self._bytes_left < 0:
            raise PhotoError("too_complex", {"name": self._name})
        return content


def hide_exif(content: bytes) -> bytes:
    """Rename Exif data that Pillow would parse at once, however large, and that are not needed.

    An AVIF photo has its orientation in other properties, which take precedence. In a JPEG, Pillow
    joins all segments of Exif data; the orientation is in the first.
    """
    if content[4:8] == b"ftyp":
        found = [(s, e) for s, e in _avif_headers(content) if content.find(b"Exif", s, e) >= 0]
    elif content[:2] == b"\xff\xd8":
        found = [match.span() for match in EXIF_SEGMENT.finditer(content)][1:]
    else:
        return content
    if not found:
        return content
    hidden = bytearray(content)
    for start, end in found:
        hidden[start:end] = hidden[start:end].replace(b"Exif", b"skip")
    return bytes(hidden)


def count_scans(content: bytes, start: int, most: int) -> int:
    """Count the scans of a JPEG, up to one more than `most`.

    SEGMENTS_PER_SCAN other segments count as one scan.

    Args:
        start: where the data of the first scan begin.
    """
    scans = 1
    for _ in range(SEGMENTS_PER_SCAN * most):
        found = MARKER.search(content, start)
        if found is None or found[1] == b"\xd9" or scans > most:
            return scans
        scans += found[1] == b"\xda"
        start = found.end() + int.from_bytes(content[found.end() : found.end() + 2], "big")
    return most + 1


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


def _avif_headers(content: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of each box that holds no pixels."""
    start = 0
    while start + 8 <= len(content):
        size, kind = struct.unpack_from(">L4s", content, start)
        if size == 1 and start + 16 <= len(content):
            (size,) = struct.unpack_from(">Q", content, start + 8)
        if 0 < size < 8:
            return
        end = start + size if size else len(content)
        if kind in (b"meta", b"moov"):
            yield start, min(end, len(content))
        start = end
