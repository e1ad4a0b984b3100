"""Pixels of any mode as upright RGB, shrunk by a whole factor.

Knows what Pillow read of a file; reads no files itself. Works in strips: a large photo is never in
memory a second time at its full size.
"""

import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

STRIP_PIXELS = 1 << 20

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn a photo upright, by its Exif orientation; 1 is upright already."""

XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def to_rgb(image: Image.Image, factor: int = 1) -> Image.Image:
    """Convert an image to RGB, with transparency on white and deep greys scaled to 8 bits.

    Args:
        image: of any mode, loaded.
        factor: by which each side is divided, rounded up, by averaging pixels.

    Returns:
        A new image.
    """
    levels = _measure_levels(image) if _is_deep(image) else None
    small = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    for top, strip in strips(image, factor):
        rgb = _strip_to_rgb(strip, levels)
        small.paste(rgb.reduce(factor) if factor > 1 else rgb, (0, top // factor))
    return small


def strips(image: Image.Image, multiple: int = 1) -> Iterator[tuple[int, Image.Image]]:
    """Cut an image into strips of its width, from the top.

    Args:
        multiple: the heights, except the last, are multiples of this.

    Yields:
        The row where each strip begins, and a copy of it.
    """
    rows = max(1, STRIP_PIXELS // (image.width * multiple)) * multiple
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield top, image.crop((0, top, image.width, bottom))


def turn_upright(image: Image.Image, orientation: int | None) -> Image.Image:
    """Apply an Exif orientation to an image that is stored without it."""
    turn = TURNS.get(orientation or 1)
    return image if turn is None else image.transpose(turn)


def read_orientation(image: Image.Image) -> int | None:
    """The orientation in the header of a photo file, None if there is none left to apply.

    Avoids Pillow's own parser, which copies the value of every tag, even if in a hostile file many
    share the same bytes.

    Args:
        image: loaded.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return None  # Pillow has applied it
    orientation = _from_exif(_exif(image))
    return _from_xmp(image) if orientation is None else orientation


class _Levels(NamedTuple):
    """The values that become black and white."""

    low: float
    high: float

    def scale(self, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        scaled = (values - self.low) / max(self.high - self.low, 1e-12) * 255
        return scaled.clip(0, 255).astype(np.uint8)


def _is_deep(image: Image.Image) -> bool:
    """Whether greys have more than 8 bits; a plain conversion would clip them to white."""
    return image.mode.startswith(("I", "F"))


def _measure_levels(image: Image.Image) -> _Levels:
    values = (_deep_values(strip) for _, strip in strips(image))
    extremes = np.array([(part.min(), part.max()) for part in values], np.float64)
    low, high = float(extremes[:, 0].min()), float(extremes[:, 1].max())
    if image.mode == "F":
        return _Levels(low, high)
    return _Levels(0.0, 65535.0 if high > 255 else 255.0)


def _deep_values(image: Image.Image) -> np.ndarray[Any, Any]:
    values = np.asarray(image)
    if image.mode == "F":
        return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    return values


def _strip_to_rgb(strip: Image.Image, levels: _Levels | None) -> Image.Image:
    if levels is not None:
        return Image.fromarray(levels.scale(_deep_values(strip))).convert("RGB")
    if strip.has_transparency_data:
        layered = strip.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return strip.convert("RGB")


def _exif(image: Image.Image) -> bytes:
    if "exif" in image.info:
        return image.info["exif"]
    lines = image.info.get("Raw profile type exif", "").split("\n")  # as ImageMagick writes it
    return bytes.fromhex("".join(lines[3:]))


def _from_exif(exif: bytes) -> int | None:
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(f"{order}L", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, directory)
        for start in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHL", exif, start)
            if tag == ExifTags.Base.Orientation and number == 1 and kind in (1, 3, 4):
                return struct.unpack_from(order + "?B?HL"[kind], exif, start + 8)[0]
    except struct.error:  # cut off
        pass
    return None


def _from_xmp(image: Image.Image) -> int | None:
    xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or b""
    found = XMP_ORIENTATION.search(xmp.encode() if isinstance(xmp, str) else xmp)
    return int(found[1]) if found else None
