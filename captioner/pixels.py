"""Pixels of every mode as RGB, shrunk by a whole factor. Knows no files.

Works in strips: a large photo is never in memory a second time at its full size.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

STRIP_PIXELS = 1 << 20


def to_rgb(image: Image.Image, factor: int = 1) -> Image.Image:
    """Convert an image to RGB: transparency lies on white, and deep greys are scaled to 8 bits.

    Args:
        image: of any mode, loaded.
        factor: each side becomes so many times shorter, rounded up, by averaging.

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
        multiple: of which the heights are, but for the last.

    Yields:
        The row where each strip begins, and a copy of it.
    """
    rows = max(1, STRIP_PIXELS // (image.width * multiple)) * multiple
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield top, image.crop((0, top, image.width, bottom))


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
