"""Reading photos of every kind upright and in RGB, and refusing the rest in plain words."""

import functools
import io
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from captioner.errors import PhotoError
from captioner.images import load_image
from tests.fuzz_photos import read_damaged

WIDTH, HEIGHT = 60, 40
ORIENTATION = 0x0112


def landmark(mode: str = "RGB", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """A black photo whose upper right quarter is white."""
    image = Image.new("L", size)
    image.paste(255, (size[0] // 2, 0, size[0], size[1] // 2))
    return image.convert(mode)


def quarters(image: Image.Image) -> list[list[int]]:
    """The middle of each quarter, 0 or 1, row by row; refuses greys that are neither."""
    assert image.mode == "RGB"
    middle = np.asarray(image)[
        image.height // 4 :: image.height // 2, image.width // 4 :: image.width // 2
    ][:2, :2].astype(int)
    assert np.ptp(middle, axis=2).max() <= 8, "not a grey"
    assert ((middle < 12) | (middle > 243)).all()
    return (middle[:, :, 0] > 127).astype(int).tolist()


UPPER_RIGHT = [[0, 1], [0, 0]]


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (8, 8), (301, 17)])
def test_a_photo_file_is_read_as_it_is(tmp_path: Path, size: tuple[int, int]) -> None:
    landmark(size=size).save(tmp_path / "photo.png")
    image = load_image(tmp_path / "photo.png")
    assert image.size == size
    assert quarters(image) == UPPER_RIGHT
    assert quarters(load_image(str(tmp_path / "photo.png"))) == UPPER_RIGHT


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"])
def test_an_image_of_any_mode_becomes_rgb_and_stays_as_it_was(mode: str) -> None:
    source = landmark("L").convert(mode)
    before = source.copy()
    image = load_image(source)
    assert quarters(image) == UPPER_RIGHT
    image.paste("red", (0, 0, WIDTH, HEIGHT))
    assert source.mode == mode
    assert source.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        ("png", "1"), ("png", "L"), ("png", "LA"), ("png", "P"), ("png", "RGBA"),
        ("jpg", "L"), ("jpg", "CMYK"), ("jpg", "RGB"), ("tif", "CMYK"), ("tif", "F"),
        ("gif", "P"), ("bmp", "RGB"), ("webp", "RGBA"),
    ],
)  # fmt: skip
def test_a_file_of_any_kind_becomes_rgb(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    landmark("L").convert(mode).save(path)
    assert quarters(load_image(path)) == UPPER_RIGHT


def test_a_16_bit_photo_keeps_its_greys(tmp_path: Path) -> None:
    """A plain conversion clips everything above 255 to white."""
    values = np.array([[0, 16384], [32768, 65535]], np.uint16).repeat(10, 0).repeat(10, 1)
    Image.fromarray(values).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as image:
        assert image.mode == "I;16"
    read = np.asarray(load_image(tmp_path / "deep.png"))[5::10, 5::10]
    assert read.tolist() == [[[0] * 3, [63] * 3], [[127] * 3, [255] * 3]]


def test_a_float_photo_with_values_that_are_no_numbers_is_read(tmp_path: Path) -> None:
    values = np.zeros((20, 20), np.float32)
    values[:10, 10:], values[10:, :10], values[15:, 15:] = 7.5, np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "photo.tif")
    assert quarters(load_image(tmp_path / "photo.tif")) == UPPER_RIGHT


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_lies_on_white(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (WIDTH, HEIGHT))  # black, and all transparent
    image.paste(Image.new(mode, (WIDTH, HEIGHT // 2), "black"), (0, HEIGHT // 2))
    image.save(tmp_path / "photo.png")
    assert quarters(load_image(image)) == [[1, 1], [0, 0]]
    assert quarters(load_image(tmp_path / "photo.png")) == [[1, 1], [0, 0]]


def test_a_palette_with_a_transparent_colour_lies_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (WIDTH, HEIGHT), 0)
    image.putpalette([255, 0, 0, 0, 0, 0])
    image.paste(1, (0, HEIGHT // 2, WIDTH, HEIGHT))
    image.save(tmp_path / "photo.png", transparency=0)
    assert quarters(load_image(tmp_path / "photo.png")) == [[1, 1], [0, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright_whatever_its_exif_orientation(
    tmp_path: Path, orientation: int
) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = landmark()
    if orientation in undo:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    image = load_image(tmp_path / "photo.jpg")
    assert image.size == (WIDTH, HEIGHT)
    assert quarters(image) == UPPER_RIGHT
    with Image.open(tmp_path / "photo.jpg") as opened:
        assert quarters(load_image(opened)) == UPPER_RIGHT


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_bytes_of_a_file_are_read_as_the_file_is(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    landmark().save(tmp_path / "photo", kind, exif=exif)
    image = load_image((tmp_path / "photo").read_bytes())
    assert image.size == (HEIGHT, WIDTH)
    assert image.tobytes() == load_image(tmp_path / "photo").tobytes()


@pytest.mark.parametrize(
    ("cut", "message"),
    [(0, "the file is not a photo .* use JPEG"), (3000, "the file is damaged or incomplete")],
)
def test_bytes_that_are_no_whole_photo_are_refused(cut: int, message: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    with pytest.raises(ValueError, match=message):
        load_image(buffer.getvalue()[:cut])


def test_the_first_frame_of_an_animation_is_the_photo(tmp_path: Path) -> None:
    frames = [landmark(), Image.new("RGB", (WIDTH, HEIGHT), "white")]
    frames[0].save(tmp_path / "photo.gif", save_all=True, append_images=frames[1:])
    assert quarters(load_image(tmp_path / "photo.gif")) == UPPER_RIGHT


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_array_is_a_photo_too(mode: str) -> None:
    array = np.asarray(landmark(mode))
    before = array.copy()
    image = load_image(array)
    assert image.size == (WIDTH, HEIGHT)
    assert quarters(image) == UPPER_RIGHT
    assert (array == before).all()


def test_an_array_may_have_one_channel_or_lie_backwards_in_memory() -> None:
    array = np.asarray(landmark("L"))
    assert quarters(load_image(array[:, :, np.newaxis])) == UPPER_RIGHT
    assert quarters(load_image(array[::-1, ::-1])) == [[0, 0], [1, 0]]


def test_a_transparent_array_lies_on_white() -> None:
    """Its alpha was once dropped, so that what nobody sees was captioned."""
    array = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    array[: HEIGHT // 2, :, 3] = 255
    assert quarters(load_image(array)) == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((20, 20, 3), np.float32), r"must be uint8 \(0-255\), got float32"),
        (np.zeros((20, 20, 2), np.uint8), r"\(height, width, 3\).*got \(20, 20, 2\)"),
        (np.zeros((1, 20, 20, 3), np.uint8), r"got \(1, 20, 20, 3\)"),
        (np.zeros((20,), np.uint8), r"got \(20,\)"),
        (np.zeros((7, 20, 3), np.uint8), "at least 8 pixels on each side, got 20 x 7"),
        (np.zeros((0, 20, 3), np.uint8), "at least 8 pixels|tile cannot"),
    ],
)
def test_an_array_that_is_no_photo_is_refused(array: np.ndarray[Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_image(array)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such photo: .*gone.jpg"):
        load_image(tmp_path / "gone.jpg")


def test_a_folder_is_no_photo(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder, not a photo"):
        load_image(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n"],
)
def test_a_file_that_is_no_photo_says_what_to_use(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(ValueError, match=r"photo.jpg is not a photo .* use JPEG, PNG"):
        load_image(tmp_path / "photo.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "TIFF", "BMP"])
def test_a_file_cut_short_anywhere_is_refused_and_nothing_else_happens(
    tmp_path: Path, kind: str
) -> None:
    """Pillow's readers raise errors of several kinds, some of them already on opening."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    whole = buffer.getvalue()
    for length in {1, 3, 9, 20, 30, 60, *range(0, len(whole) * 9 // 10, len(whole) // 15)}:
        (tmp_path / "photo").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"photo (is|must)"):
            load_image(tmp_path / "photo")


def test_a_truncated_photo_is_called_incomplete(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg")
    os.truncate(tmp_path / "photo.jpg", 3000)
    with pytest.raises(ValueError, match=r"photo.jpg is damaged or incomplete .* try another copy"):
        load_image(tmp_path / "photo.jpg")


@pytest.mark.parametrize("size", [(7, 100), (100, 7), (1, 1)])
def test_a_photo_too_small_to_show_anything_is_refused(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    Image.new("RGB", size).save(tmp_path / "photo.png")
    with pytest.raises(ValueError, match=rf"at least 8 pixels .* got {size[0]} x {size[1]}"):
        load_image(tmp_path / "photo.png")


@pytest.mark.parametrize("side", [9_500, 14_000])
def test_a_pixel_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow refuses twice its limit by itself, and only warns from once its limit on."""
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("unpacked"))
    with pytest.raises(PhotoError, match=r"has more than \d+ pixels") as refusal:
        load_image(tmp_path / "bomb.png")
    assert refusal.value.code == "too_many_pixels"


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"]


def waves(mode: str, size: tuple[int, int]) -> Image.Image:
    """A smooth photo, of which shrinking keeps the colours."""
    across, down = np.ogrid[: size[1], : size[0]]
    values = 128 + 60 * np.sin(across / 50) + 60 * np.cos(down / 70)
    if mode == "I;16":
        return Image.fromarray((values * 200).astype(np.uint16))
    if mode == "F":
        return Image.fromarray(values.astype(np.float32))
    grey = Image.fromarray(values.astype(np.uint8))
    if mode not in ("LA", "RGBA"):
        return grey.convert(mode)
    image = grey.convert(mode)
    image.putalpha(grey.rotate(180))
    return image


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(640, 401), (333, 1000)])
def test_a_large_photo_is_shrunk_by_a_whole_factor_while_it_is_read(
    mode: str, size: tuple[int, int]
) -> None:
    image = waves(mode, size)
    whole, small = load_image(image), load_image(image, min_side=100)
    factor = min(size) // 100
    assert small.size == tuple(-(-side // factor) for side in size)
    wanted = np.asarray(whole.reduce(factor)).astype(int)
    assert abs(np.asarray(small) - wanted).max() <= 1


@pytest.mark.parametrize("mode", MODES)
def test_a_photo_whose_shorter_side_is_below_twice_the_least_is_not_shrunk(mode: str) -> None:
    image = waves(mode, (500, 199))
    assert load_image(image, min_side=100).tobytes() == load_image(image).tobytes()


@pytest.mark.parametrize("size", [(2000, 150), (150, 2000), (1999, 199)])
def test_a_panorama_is_shrunk_until_it_is_small_enough(size: tuple[int, int]) -> None:
    """One of 236 kB became 178 MB of pixels, and many of them could wait at a time."""
    small = load_image(Image.new("RGB", size, "red"), min_side=100)
    assert 12 * 100**2 / 4 < small.width * small.height <= 12 * 100**2
    assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.05)
    assert load_image(small, min_side=100).size == small.size


@pytest.mark.parametrize("min_side", [50, 99, 100, 101, 130, 200, 399, 400, 500])
def test_a_jpeg_is_shrunk_as_far_as_its_sides_allow(min_side: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = io.BytesIO()
    waves("RGB", (901, 400)).save(content, "JPEG", exif=exif, quality=95)
    whole, small = load_image(content.getvalue()), load_image(content.getvalue(), min_side)
    assert whole.size == (400, 901)
    assert min_side <= min(small.size) < 2 * min_side or small.size == whole.size
    difference = np.asarray(whole.resize(small.size, Image.Resampling.BOX)).astype(int) - small
    assert abs(difference).mean() < 2


def test_a_deep_photo_is_scaled_by_its_whole_range_not_that_of_a_strip() -> None:
    values = np.zeros((3000, 1000), np.float32)
    values[:10], values[-10:] = -7.0, 21.0
    image = np.asarray(load_image(Image.fromarray(values), min_side=250))
    assert image[[0, 300, -1], 5, 0].tolist() == [0, 63, 255]


def test_a_least_side_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="min_side must be at least 1, got 0"):
        load_image(np.zeros((20, 20, 3), np.uint8), min_side=0)


def test_an_orientation_in_xmp_counts_where_exif_has_none(tmp_path: Path) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    for kind in ("JPEG", "WEBP", "AVIF"):
        landmark().save(tmp_path / "photo", kind, xmp=xmp)
        with Image.open(tmp_path / "photo") as opened:
            wanted = ImageOps.exif_transpose(opened).size
        assert load_image(tmp_path / "photo").size == wanted


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_every_format_stands_as_pillow_would_put_it(
    tmp_path: Path, kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    landmark().save(tmp_path / "photo", kind, exif=exif)
    with Image.open(tmp_path / "photo") as opened:
        wanted = ImageOps.exif_transpose(opened).convert("RGB")
    assert load_image(tmp_path / "photo").tobytes() == wanted.tobytes()


@functools.cache
def ends_of_damaged_files() -> dict[str, set[str]]:
    ends: dict[str, set[str]] = {}
    for name, end in read_damaged(3500, seed=0):
        ends.setdefault(name, set()).add(end)
    return ends


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_a_damaged_file_is_an_image_or_refused_and_nothing_else(kind: str) -> None:
    """`python -m tests.fuzz_photos` reads many more. AVIF and TIFF once raised errors of others."""
    assert {"read", "damaged"} <= ends_of_damaged_files()[kind]


def test_an_error_survives_the_way_between_processes() -> None:
    error = PhotoError("too_small", {"name": "x", "min_side": 8, "width": 1, "height": 2})
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.values, str(copy)) == (error.code, error.values, str(error))
    assert str(copy) == "x must be at least 8 pixels on each side, got 1 x 2"
    assert str(PhotoError("Caught PhotoError in DataLoader worker")).startswith("Caught")


def test_a_photo_in_memory_leaves_the_filters_of_warnings_to_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To put them back takes those away that another thread has set meanwhile."""
    file = io.BytesIO()
    landmark().save(file, "PNG")
    monkeypatch.setattr("captioner.images._quiet_pillow", None)
    assert load_image(landmark()).size == (WIDTH, HEIGHT)
    with pytest.raises(PhotoError):
        load_image(Image.open(file))  # is read only now


def test_threads_that_read_photos_leave_warnings_as_they_were() -> None:
    """`warnings.catch_warnings` in two threads at a time can leave its filters for good."""
    filters = warnings.filters[:]
    content = io.BytesIO()
    landmark().save(content, "TIFF")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load_image, [content.getvalue()] * 200))
    assert warnings.filters == filters
