"""Reading photos of every kind upright and in RGB, and refusing the rest in plain words."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from captioner.images import load_image
from captioner.photo_limits import MAX_PIXELS
from captioner.preprocessing import PreprocessConfig, to_tensor

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
@pytest.mark.filterwarnings(
    "ignore:(.*orrupt EXIF data|Truncated File Read):UserWarning"
)  # Pillow, of a cut TIFF
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
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_pixel_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow refuses twice its limit by itself, and only warns from once its limit on."""
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("unpacked"))
    with pytest.raises(ValueError, match=f"{MAX_PIXELS}"):
        load_image(tmp_path / "bomb.png")


def test_a_tensor_shows_the_whole_photo_stretched_to_a_square_and_normalised() -> None:
    config = PreprocessConfig(32, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    tensor = to_tensor(landmark(), config)
    assert tensor.shape == (3, 32, 32)
    assert tensor.dtype == torch.float32
    assert tensor[:, 2, 29].tolist() == [1.0, 3.0, 1.0]
    assert tensor[:, 29, 2].tolist() == [-1.0, -1.0, 0.0]
    assert tensor[:, 2, 2].tolist() == tensor[:, 29, 29].tolist() == [-1.0, -1.0, 0.0]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_interpolation_is_the_one_configured(interpolation: Any) -> None:
    """Bicubic goes beyond the edge's brighter side, bilinear does not."""
    grey = Image.new("L", (40, 40), 100)
    grey.paste(150, (20, 0, 40, 40))
    config = PreprocessConfig(160, (0, 0, 0), (1, 1, 1), interpolation)
    highest = round(float(to_tensor(grey.convert("RGB"), config).max()) * 255)
    assert (highest > 150) == (interpolation == "bicubic")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 31}, "image_size must be at least 32, got 31"),
        ({"mean": (0.5, 0.5)}, "mean must have 3 values, got 2"),
        ({"std": (1.0, 0.0, 1.0)}, r"std must be positive, got \(1.0, 0.0, 1.0\)"),
        ({"interpolation": "nearest"}, "interpolation must be bilinear or bicubic, got 'nearest'"),
        ({"resize": "crop"}, "resize must be 'stretch', got 'crop'"),
    ],
)
def test_a_wrong_preprocessing_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PreprocessConfig(**changes)
