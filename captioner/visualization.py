"""Attention drawn on photos: overlays and contact sheets. Knows captions; knows no model."""

import textwrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from captioner.captions import Caption

SHEET_COLUMNS = 5
SHEET_INCHES = 2.4
"""Width of one picture on an attention sheet."""
SHEET_LETTERS = 26
"""Letters of the heading that stand above one picture."""
MAX_SHEET_RATIO = 3.0
"""Pictures taller than this many widths are made smaller to fit their place."""


def heat_map(alpha: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Enlarge one word's attention to a photo's size.

    Args:
        alpha: (rows, cols), at least 0; covers the whole photo.
        size: (width, height) in pixels.

    Returns:
        float32 (height, width), from 0 (least attention) to 1 (most).
    """
    cells = Image.fromarray(np.asarray(alpha, dtype=np.float32))
    smooth = np.asarray(cells.resize(size, Image.Resampling.BICUBIC)).clip(0)
    low, high = float(smooth.min()), float(smooth.max())
    if high - low < 1e-9:  # the same everywhere: nothing to point out
        return np.zeros_like(smooth)
    return (smooth - low) / (high - low)


def overlay(
    image: Image.Image, alpha: np.ndarray[Any, Any], colormap: str = "viridis", opacity: float = 0.6
) -> Image.Image:
    """Draw one word's attention on its photo.

    Args:
        image: the photo, RGB, upright.
        alpha: (rows, cols).
        colormap: a name matplotlib knows.
        opacity: of the colours, 0 to 1.

    Returns:
        RGB, at the photo's own size.

    Raises:
        ValueError: the opacity is out of range, or the colour map is unknown.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be from 0 to 1, got {opacity}")
    if colormap not in mpl.colormaps:
        raise ValueError(f"colormap must be a name matplotlib knows, got {colormap!r}")
    heat = heat_map(alpha, image.size)
    colours = np.asarray(mpl.colormaps[colormap](heat, bytes=True))[:, :, :3]
    return Image.blend(image.convert("RGB"), Image.fromarray(colours), opacity)


def attention_sheet(
    image: Image.Image, caption: Caption, colormap: str = "viridis", opacity: float = 0.6
) -> Figure:
    """Lay the photo and one overlay per word out on a figure, with each word's probability.

    Args:
        image: the photo, RGB, upright.
        caption: its caption.

    Returns:
        A figure of matplotlib, to be saved with `savefig` as PNG, PDF or SVG.
    """
    pictures = [("", image)]
    for word in caption.words:
        title = f"{word.text}  {word.probability:.0%}"
        pictures.append((title, overlay(image, word.alpha, colormap, opacity)))
    columns = min(SHEET_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    height = SHEET_INCHES * min(image.height / image.width, MAX_SHEET_RATIO) + 0.3
    figure = Figure(figsize=(SHEET_INCHES * columns, height * rows + 0.4), layout="constrained")
    heading = textwrap.fill(str(caption), SHEET_LETTERS * columns)
    figure.suptitle(heading, parse_math=False)  # a caption may hold two dollar signs
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (title, picture) in zip(axes.flat, pictures, strict=False):
        axis.imshow(picture)
        axis.set_title(title, fontsize=10, parse_math=False)
    return figure
