"""Attention on photos: the hot place is where the landmark is, whatever the photo's shape."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import Caption, Word, load_image
from captioner.visualization import (
    animate,
    attention_sheet,
    heat_map,
    overlay,
    save_animation,
)

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


def test_a_spotlight_leaves_what_was_looked_at_and_darkens_the_rest() -> None:
    photo = Image.new("RGB", (20, 20), (200, 100, 50))
    alpha = hot((2, 2), 0, 0)
    assert overlay(photo, alpha, "spotlight", opacity=0).tobytes() == photo.tobytes()
    half, full = (np.asarray(overlay(photo, alpha, "spotlight", o)) for o in (0.4, 1))
    assert half[0, 0].tolist() == full[0, 0].tolist() == [200, 100, 50]
    assert half.min(axis=(0, 1)).tolist() == [100, 50, 25]  # what a strength of 1.25 * 0.4 leaves
    assert full.min(axis=(0, 1)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("opacity", [-0.1, 1.1])
def test_an_opacity_out_of_range_is_refused(opacity: float) -> None:
    with pytest.raises(ValueError, match=f"opacity must be from 0 to 1, got {opacity}"):
        overlay(Image.new("RGB", (20, 20)), hot((2, 2), 0, 0), opacity=opacity)


def test_an_unknown_colour_map_is_refused() -> None:
    with pytest.raises(
        ValueError, match="colormap must be a name matplotlib knows or spotlight, got 'blue'"
    ):
        overlay(Image.new("RGB", (20, 20)), hot((2, 2), 0, 0), colormap="blue")


@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_a_sheet_shows_the_photo_and_every_word(count: int) -> None:
    words = [f"word{n}" for n in range(count)]
    caption = caption_of(*words)
    figure = attention_sheet(Image.new("RGB", (60, 40)), caption)
    shown = [axis for axis in figure.axes if axis.get_images()]
    assert [axis.get_title() for axis in shown] == ["", *(f"{word}  50%" for word in words)]
    assert figure.get_suptitle() == str(caption)


@pytest.mark.slow
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


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (1000, 700), (700, 1000), (8, 4000), (1, 1)])
def test_an_animation_is_the_photo_and_then_a_frame_for_each_word(size: tuple[int, int]) -> None:
    frames = animate(Image.new("RGB", size, "red"), caption_of("a", "red", "photo"))
    assert len(frames) == 4
    assert len({frame.size for frame in frames}) == 1
    scale = min(1, 480 / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    assert frames[0].width == max(240, width)
    assert height + 40 < frames[0].height < height + 100
    left = (frames[0].width - width) // 2
    assert frames[0].crop((left, 0, left + width, height)).getcolors() == [
        (width * height, (255, 0, 0))
    ]
    assert all(frame.mode == "RGB" for frame in frames)


def test_a_frame_shows_its_own_words_overlay() -> None:
    photo = Image.new("RGB", (280, 280), "gray")
    caption = caption_of("a", "red", "dog")
    for word, frame in zip(caption.words, animate(photo, caption)[1:], strict=True):
        assert frame.crop((0, 0, 280, 280)).tobytes() == overlay(photo, word.alpha).tobytes()


def below(frame: Image.Image, height: int = 280) -> np.ndarray:
    """How dark it is below the photo, 0 to 255."""
    return 255 - np.asarray(frame.crop((0, height, *frame.size)).convert("L"))


def test_a_frame_says_its_word_and_probability_and_where_the_caption_is() -> None:
    """The word stands large at the top, and dark in the caption below."""
    caption = caption_of("mmmm", "mmmm", "mmmm")
    sure = replace(caption, words=tuple(replace(w, probability=0.9) for w in caption.words))
    photo = Image.new("RGB", (280, 280))
    first, *others = map(below, animate(photo, caption))
    assert not first[:30].any()  # no word is said yet
    assert (first[30:] > 200).any()
    assert all((other[:30] > 200).any() for other in others)
    darkest = [int((other[30:] > 200).any(axis=0).argmax()) for other in others]
    assert darkest == sorted(set(darkest))  # it goes from left to right
    surer = below(animate(photo, sure)[1])
    assert (surer[:30] != others[0][:30]).any()
    assert (surer[30:] == others[0][30:]).all()


@pytest.mark.parametrize("size", [(20, 20), (280, 280)])
def test_any_word_and_any_number_of_them_stay_inside_a_frame(size: tuple[int, int]) -> None:
    texts = ["w" * 5000, "日本", "\0", "", "a\nb", "<b>", "$", *["words"] * 30]
    frames = animate(Image.new("RGB", size, "white"), caption_of(*texts))
    for frame in frames[:9]:
        dark = below(frame, size[1])
        assert not dark[:, :8].any()
        assert not dark[:, -8:].any()
        assert not dark[-8:].any()
        assert dark.any()


def test_a_long_word_leaves_room_for_its_probability() -> None:
    caption = caption_of("w" * 5000)
    sure = replace(caption, words=(replace(caption.words[0], probability=0.9),))
    photo = Image.new("RGB", (280, 280))
    half, most = (below(animate(photo, each)[1])[:30] for each in (caption, sure))
    assert (half != most).any()


def test_an_empty_caption_is_one_frame() -> None:
    assert len(animate(Image.new("RGB", (20, 20)), caption_of())) == 1


def test_a_longest_side_too_short_to_see_is_refused() -> None:
    with pytest.raises(ValueError, match="longest_side must be at least 16, got 15"):
        animate(Image.new("RGB", (20, 20)), caption_of("dog"), longest_side=15)
    assert (
        animate(Image.new("RGB", (900, 300)), caption_of("dog"), longest_side=300)[0].width == 300
    )


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.GIF"])
def test_an_animation_comes_back_from_its_file(tmp_path: Path, name: str) -> None:
    frames = animate(Image.radial_gradient("L").convert("RGB"), caption_of("a", "dog"))
    save_animation(frames, tmp_path / name, seconds=0.5)
    with Image.open(tmp_path / name) as read:
        assert getattr(read, "n_frames", 1) == 3
        assert read.info["loop"] == 0
        for number, frame in enumerate(frames):
            read.seek(number)
            read.load()
            assert read.info["duration"] == 500
            difference = np.asarray(read.convert("RGB")).astype(int) - np.asarray(frame)
            assert abs(difference).mean() < 5


@pytest.mark.parametrize(
    ("name", "count", "seconds", "message"),
    [
        ("a.png", 1, 0.8, "path must end in .gif or .webp, got '.*a.png'"),
        ("gif", 1, 0.8, "path must end in .gif or .webp, got '.*gif'"),
        ("a.gif", 0, 0.8, "an animation needs at least one frame, got none"),
        ("a.gif", 1, 0.01, "seconds must be from 0.02 to 60, got 0.01"),
        ("a.webp", 1, 61, "seconds must be from 0.02 to 60, got 61"),
    ],
)
def test_an_animation_that_cannot_be_is_refused(
    tmp_path: Path, name: str, count: int, seconds: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        save_animation([Image.new("RGB", (8, 8))] * count, tmp_path / name, seconds)
    assert not list(tmp_path.iterdir())


def test_drawing_changes_neither_photo_nor_attention() -> None:
    photo = Image.new("RGB", (20, 20), "red")
    word = replace(caption_of("dog").words[0])
    before = word.alpha.copy()
    overlay(photo, word.alpha)
    animate(photo, caption_of("dog"))
    assert (word.alpha == before).all()
    assert photo.getextrema() == ((255, 255), (0, 0), (0, 0))
