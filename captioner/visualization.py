"""Attention on photos: overlays, contact sheets, animations. Knows captions; knows no model.

Matplotlib is imported on first use: most programs that import this draw nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from captioner.captions import Caption, Word

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET_COLUMNS = 5
SHEET_INCHES = 2.4
"""Width of one picture on an attention sheet."""
SHEET_LETTERS = 26
"""Letters of the heading that stand above one picture."""
MAX_SHEET_RATIO = 3.0
"""Pictures taller than this many widths are made smaller to fit their place."""

SPOTLIGHT = "spotlight"
"""In place of a colour map: attended regions as they are, and the rest darkened."""
SPOTLIGHT_STRENGTH = 1.25
"""Darkness of the spotlight for each unit of opacity: it must be darker than colours to show."""

OCTREE = Image.Quantize.FASTOCTREE
ANIMATION_FORMATS = {".gif": "GIF", ".webp": "WEBP"}
MIN_FRAME_WIDTH = 240
"""Of an animation, in pixels, so that there is room for words below a narrow photo."""
WORD_SIZE, CAPTION_SIZE = 22, 15
"""Height of the letters below a frame's picture, in pixels: of the current word and the rest."""
LINE_HEIGHT, MARGIN = 21, 8
MAX_FRAME_LETTERS = 100
PAPER, INK, PALE_INK = "#ffffff", "#111111", "#767676"


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
    if high - low < 1e-9:  # the same everywhere
        return np.zeros_like(smooth)
    return (smooth - low) / (high - low)


def overlay(
    image: Image.Image, alpha: np.ndarray[Any, Any], colormap: str = "viridis", opacity: float = 0.6
) -> Image.Image:
    """Draw one word's attention on its photo.

    Args:
        image: the photo, RGB, upright.
        alpha: (rows, cols).
        colormap: a name matplotlib knows, or "spotlight", which darkens what has little attention.
        opacity: of the colours, 0 to 1.

    Returns:
        RGB, at the photo's own size.

    Raises:
        ValueError: the opacity is out of range, or the colour map is unknown.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be from 0 to 1, got {opacity}")
    import matplotlib as mpl

    if colormap != SPOTLIGHT and colormap not in mpl.colormaps:
        raise ValueError(f"colormap must be a name matplotlib knows or spotlight, got {colormap!r}")
    heat = heat_map(alpha, image.size)
    if colormap == SPOTLIGHT:
        light = 1 - min(1.0, SPOTLIGHT_STRENGTH * opacity) * (1 - heat)
        lit = np.rint(np.asarray(image.convert("RGB")) * light[:, :, np.newaxis])
        return Image.fromarray(lit.astype(np.uint8))
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
    from matplotlib.figure import Figure

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


def animate(
    image: Image.Image,
    caption: Caption,
    colormap: str = "viridis",
    opacity: float = 0.6,
    longest_side: int = 480,
) -> list[Image.Image]:
    """Step through a caption: the photo, then one overlay per word, with the caption below.

    Args:
        image: the photo, RGB, upright.
        caption: its caption.
        longest_side: of the photo in a frame, in pixels; a larger photo is made smaller.

    Returns:
        RGB frames of one size, for `save_animation`: the photo with the whole caption, and for
        each word its overlay with the word, its probability, and its place in the caption.

    Raises:
        ValueError: longest_side is under 16, or as `overlay`.
    """
    if longest_side < 16:
        raise ValueError(f"longest_side must be at least 16, got {longest_side}")
    scale = min(1.0, longest_side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    photo = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    texts = [_fit(word.text, _font(CAPTION_SIZE), _width(photo)) for word in caption.words]
    corners, height = _lay_out(texts, _width(photo))
    whole, pale = (
        _write_caption(texts, corners, (_width(photo), height), ink) for ink in (INK, PALE_INK)
    )
    frames = [_stack(photo, whole)]
    for word, text, corner in zip(caption.words, texts, corners, strict=True):
        picture = overlay(photo, word.alpha, colormap, opacity)
        frames.append(_stack(picture, _write_word(pale, word, text, corner)))
    return frames


def save_animation(frames: Sequence[Image.Image], path: str | Path, seconds: float = 0.8) -> None:
    """Write frames as an animation that begins again at its end.

    Args:
        frames: images of one size, as `animate` gives them.
        path: ends in .gif or .webp, which says what is written.
        seconds: how long each frame stays, 0.02 to 60.

    Raises:
        OSError: the file cannot be written.
        ValueError: there is no frame, the name ends otherwise, or seconds is out of range.
    """
    form = ANIMATION_FORMATS.get(Path(path).suffix.lower())
    if form is None:
        raise ValueError(f"path must end in {' or '.join(ANIMATION_FORMATS)}, got {str(path)!r}")
    if not frames:
        raise ValueError("an animation needs at least one frame, got none")
    if not 0.02 <= seconds <= 60:
        raise ValueError(f"seconds must be from 0.02 to 60, got {seconds}")
    if form == "GIF":  # of Pillow's ways to 256 colours, the one that keeps small bright places
        frames = [frame.convert("RGB").quantize(method=OCTREE) for frame in frames]
    first, *others = frames
    first.save(
        path,
        format=form,
        save_all=True,
        append_images=others,
        duration=round(seconds * 1000),  # milliseconds
        loop=0,
    )


def _width(picture: Image.Image) -> int:
    return max(picture.width, MIN_FRAME_WIDTH)


def _stack(picture: Image.Image, below: Image.Image) -> Image.Image:
    """A frame: a picture, and what is written below it."""
    frame = Image.new("RGB", (below.width, picture.height + below.height), PAPER)
    frame.paste(picture, ((below.width - picture.width) // 2, 0))
    frame.paste(below, (0, picture.height))
    return frame


def _write_caption(
    texts: Sequence[str], corners: Sequence[tuple[int, int]], size: tuple[int, int], ink: str
) -> Image.Image:
    paper = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(paper)
    for text, corner in zip(texts, corners, strict=True):
        pen.text(corner, text, ink, _font(CAPTION_SIZE))
    return paper


def _write_word(
    caption: Image.Image, word: Word, text: str, corner: tuple[int, int]
) -> Image.Image:
    """A written caption with one of its words underlined, and above it that word, large, with its
    probability."""
    paper, (left, top) = caption.copy(), corner
    pen, font = ImageDraw.Draw(paper), _font(CAPTION_SIZE)
    pen.text(corner, text, INK, font)
    bottom = top + LINE_HEIGHT - 3
    pen.line((left, bottom, left + font.getlength(text), bottom), INK, 2)
    large = _font(WORD_SIZE, bold=True)
    share = f"  {word.probability:.0%}" if word.probability >= 0.01 else "  <1%"
    shown = _fit(word.text, large, paper.width - round(large.getlength(share)))
    pen.text((MARGIN, MARGIN), shown + share, INK, large)
    return paper


def _lay_out(texts: Sequence[str], width: int) -> tuple[list[tuple[int, int]], int]:
    """Where each word of a caption begins below the picture, and how high all of it is."""
    font, x, y = _font(CAPTION_SIZE), MARGIN, MARGIN + round(1.4 * WORD_SIZE)
    corners: list[tuple[int, int]] = []
    for text in texts:
        length = round(font.getlength(text))
        if x > MARGIN and x + length > width - MARGIN:
            x, y = MARGIN, y + LINE_HEIGHT
        corners.append((x, y))
        x += length + CAPTION_SIZE // 3
    return corners, y + LINE_HEIGHT + MARGIN


def _fit(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The word, or as much of it as fits between the margins."""
    text = " ".join(text.split())[:MAX_FRAME_LETTERS]
    if font.getlength(text) <= width - 2 * MARGIN:
        return text
    while text and font.getlength(f"{text}…") > width - 2 * MARGIN:
        text = text[:-1]
    return f"{text}…"


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    import matplotlib as mpl

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
