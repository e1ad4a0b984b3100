"""Guards against headers that Pillow would spend much time or memory on. Decodes no pixels."""

import io
import re
import struct
from collections.abc import Iterator

from captioner.errors import PhotoError

MAX_HEADER_READS, MAX_READS = 8_000, 500_000
"""Calls of `read` until Pillow knows an image's size, and in all. Its loops over chunks, segments,
tags and runs are in Python, with at least one call a round."""
MAX_READ_FACTOR, MAX_EXTRA_BYTES = 3, 1 << 20
"""How many times a file may be read, and some more: in a TIFF thousands of tags may have the same
bytes as their value."""

EXIF_SEGMENT = re.compile(rb"\xff\xe1..Exif\0\0", re.DOTALL)
MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
"""Of a JPEG, where a segment begins, or the end."""
SEGMENTS_PER_SCAN = 100


class BoundedFile(io.BytesIO):
    """A file in memory that is read only so often."""

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
            PhotoError: it has been read too often.
        """
        content = super().read(size)
        self._reads += 1
        self._bytes_left -= len(content)
        most = MAX_HEADER_READS if self.in_header else MAX_READS
        if self._reads > most or self._bytes_left < 0:
            raise PhotoError("too_complex", {"name": self._name})
        return content


def hide_exif(content: bytes) -> bytes:
    """Rename Exif data that Pillow would parse at once, however large, and that nothing needs.

    An AVIF photo has its orientation in properties of its own, which count for more. In a JPEG
    Pillow puts all segments of Exif data together; the orientation is in the first.
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

    Segments between them count too, at SEGMENTS_PER_SCAN a scan.

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


def _avif_headers(content: bytes) -> Iterator[tuple[int, int]]:
    """Where the boxes are that hold no pixels."""
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
