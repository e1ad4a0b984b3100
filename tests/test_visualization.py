"""Attention on photos: the hot place is where the landmark is, whatever the photo's shape."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import Caption, Word, load_image
from captioner.visualization import attention_sheet, heat_map, overlay

SIZES = [(60, 40), (40, 60), (300, 20), (8, 8), (1, 1), (700, 500)]
GRIDS = [(7, 7), (3, 5), (1, 4), (14, 14)]


def hot(grid: tuple[int, int], row: int, col: int) -> np.ndarray:
    alpha = np.full(grid, 0.1 / (grid[0] * grid[1]), np.float32)
    alpha[row, col] += 0.9
    return alpha


def caption_of(*words: str, grid: tuple[int, int] = (7, 7)) -> Caption:
    alphas = [hot(grid, n % grid[0], n % grid[1]) for n in range(len(words))]
    told = (Word(text, 0.5, (), alpha) for text, alpha in zip(words, alphas, strict=True))
    return Caption(tuple(told), -1.0, grid, -2.0)


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (300, 20), (700, 500)])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_hot_cell_is_hottest_at_its_own_place_in_the_photo(
    size: tuple[int, int], grid: tuple[int, int], corner: tuple[int, int]
) -> None:
    heat = heat_map(hot(grid, *corner), size)
    assert heat.shape == (size[1], size[0])
    assert heat.dtype == np.float32
    assert heat.min() == 0
    assert heat.max() == 1
    row, col = np.unravel_index(heat.argmax(), heat.shape)
    cell = (int(row) * grid[0] // size[1], int(col) * grid[1] // size[0])
    assert cell == (corner[0] % grid[0], corner[1] % grid[1])


def test_the_heat_is_centred_on_its_cell() -> None:
    heat = heat_map(hot((7, 7), 2, 5), (700, 350))
    rows, cols = np.nonzero(heat > 0.5)
    assert (rows.mean() + 0.5) / 350 == pytest.approx(2.5 / 7, abs=0.005)
    assert (cols.mean() + 0.5) / 700 == pytest.approx(5.5 / 7, abs=0.005)


@pytest.mark.parametrize("size", SIZES)
def test_even_attention_points_nothing_out(size: tuple[int, int]) -> None:
    heat = heat_map(np.full((7, 7), 1 / 49, np.float32), size)
    assert heat.shape == (size[1], size[0])
    assert not heat.any()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
@pytest.mark.parametrize("size", [(60, 40), (40, 60), (9, 8)])
@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("low", [False, True])
def test_an_overlay_lights_the_corner_looked_at_on_any_photo(
    tmp_path: Path, mode: str, size: tuple[int, int], right: bool, low: bool
) -> None:
    Image.new("RGB", size, "black").convert(mode).save(tmp_path / "photo.png")
    drawn = overlay(load_image(tmp_path / "photo.png"), hot((7, 7), -low, -right))
    assert drawn.mode == "RGB"
    assert drawn.size == size
    light = np.asarray(drawn.convert("L")).astype(int)
    corners = light[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert int(corners.argmax()) == 2 * low + right
    assert sorted(corners)[3] > 2 * sorted(corners)[2]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_overlay_lies_on_the_photo_as_it_is_seen_not_as_it_is_stored(
    tmp_path: Path, orientation: int
) -> None:
    stored = Image.new("L", (60, 40))
    stored.paste(255, (0, 0, 20, 20))  # the landmark, wherever orientation takes it
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    photo = load_image(tmp_path / "photo.jpg")
    row, col = {1: (0, 0), 3: (-1, -1), 6: (0, -1), 8: (-1, 0)}[orientation]
    drawn = overlay(photo, hot((4, 4), row, col), colormap="gray", opacity=0.5)
    assert drawn.size == photo.size
    assert np.asarray(drawn)[row, col].min() > 240
    assert np.asarray(drawn)[-1 - row, -1 - col].max() < 15


def test_the_opacity_goes_from_the_photo_to_the_colours() -> None:
    photo = Image.new("RGB", (20, 20), (200, 100, 50))
    alpha = hot((2, 2), 0, 0)
    assert overlay(photo, alpha, opacity=0).tobytes() == photo.tobytes()
    full = np.asarray(overlay(photo, alpha, opacity=1))
    assert full[0, 0].tolist() == [253, 231, 36]  # viridis at 1
    assert [68, 1, 84] in full.reshape(-1, 3).tolist()  # viridis at 0


@pytest.mark.parametrize("opacity", [-0.1, 1.1])
def test_an_opacity_out_of_range_is_refused(opacity: float) -> None:
    with pytest.raises(ValueError, match=f"opacity must be from 0 to 1, got {opacity}"):
        overlay(Image.new("RGB", (20, 20)), hot((2, 2), 0, 0), opacity=opacity)


def test_an_unknown_colour_map_is_refused() -> None:
    with pytest.raises(ValueError, match="colormap must be a name matplotlib knows, got 'blue'"):
        overlay(Image.new("RGB", (20, 20)), hot((2, 2), 0, 0), colormap="blue")


@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_a_sheet_shows_the_photo_and_every_word(count: int) -> None:
    words = [f"word{n}" for n in range(count)]
    caption = caption_of(*words)
    figure = attention_sheet(Image.new("RGB", (60, 40)), caption)
    shown = [axis for axis in figure.axes if axis.get_images()]
    assert [axis.get_title() for axis in shown] == ["", *(f"{word}  50%" for word in words)]
    assert figure.get_suptitle() == str(caption)


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_a_sheet_can_be_saved_whatever_the_words_are(kind: str) -> None:
    """Two dollar signs once made a formula of the caption, and a wrong one an error."""
    caption = caption_of("a", "$", "\\frac", "$", "%", "_^{", "&", "<b>")
    buffer = io.BytesIO()
    attention_sheet(Image.new("RGB", (60, 40)), caption).savefig(buffer, format=kind)
    assert buffer.tell() > 1000


@pytest.mark.parametrize("size", [(8, 4000), (4000, 8)])
def test_a_sheet_of_a_very_long_photo_stays_of_a_size_to_look_at(size: tuple[int, int]) -> None:
    """A photo of 8 x 4000 once asked for a figure of 1200 inches."""
    figure = attention_sheet(Image.new("RGB", size), caption_of("a", "line"))
    assert max(figure.get_size_inches()) < 20


def test_drawing_changes_neither_photo_nor_attention() -> None:
    photo = Image.new("RGB", (20, 20), "red")
    word = replace(caption_of("dog").words[0])
    before = word.alpha.copy()
    overlay(photo, word.alpha)
    assert (word.alpha == before).all()
    assert photo.getextrema() == ((255, 255), (0, 0), (0, 0))
