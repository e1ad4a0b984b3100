"""Small files that would take much time or memory: refused by their header, or read cheaply."""

import io
import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from captioner import photo_limits
from captioner.errors import PhotoError
from captioner.images import load_image
from captioner.photo_limits import hide_exif

MEGABYTE = 1 << 20


def encode(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8))
PNG, JPEG, GIF = (encode(PHOTO, name) for name in ("PNG", "JPEG", "GIF"))
GIF_PIXELS = GIF.index(b"\x2c\0\0\0\0")
PROGRESSIVE = encode(PHOTO, "JPEG", progressive=True)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def blank_png(width: int, height: int, depth: int = 8, colour: int = 0) -> bytes:
    """The header of a PNG whose pixels are missing."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def blank_bmp(width: int, height: int) -> bytes:
    """The header of a BMP in runs that are missing."""
    sizes = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 1078, 0, 0, 1078) + sizes + bytes(1024)


def many_tags(tags: int, length: int) -> bytes:
    """A TIFF structure whose tags have all the rest of it as their values."""
    entries = (struct.pack("<HHII", 1000 + n, 7, length - 8, 8) for n in range(tags))
    start = b"II*\0" + struct.pack("<IH", 8, tags) + b"".join(entries) + bytes(4)
    return start.ljust(length, b"\0")


def refusal(content: bytes) -> PhotoError:
    with pytest.raises(PhotoError) as found:
        load_image(content)
    return found.value


@pytest.mark.parametrize(
    ("width", "height", "code"),
    [
        (8, 4_000_000, "too_long_sides"),  # took half a minute and 5 GB
        (11_000_000, 8, "too_long_sides"),
        (30_001, 2_000, "too_long_sides"),
        (1_400, 29_000, "too_elongated"),
        (29_000, 1_400, "too_elongated"),
        (8, 161, "too_elongated"),
        (8_001, 8_000, "too_many_pixels"),
        (7, 7, "too_small"),
    ],
)
def test_a_photo_of_extreme_size_is_refused_before_it_is_unpacked(
    width: int, height: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("unpacked"))
    assert refusal(blank_png(width, height)).code == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (blank_png(8_000, 8_000), "damaged"),
        (blank_png(6_400, 6_200, 16, 2), "damaged"),
        (blank_png(6_400, 6_400, 16, 2), "too_many_pixels"),
        (blank_bmp(4_000, 4_000), "damaged"),
        (blank_bmp(4_001, 4_000), "too_many_pixels"),
    ],
)
def test_how_many_pixels_a_photo_may_have_depends_on_what_they_cost(
    content: bytes, code: str
) -> None:
    assert refusal(content).code == code


def test_a_jpeg_may_have_as_many_pixels_as_pillow_allows() -> None:
    large = encode(Image.new("L", (9_459, 9_459)), "JPEG", quality=10)
    assert load_image(large, min_side=1024).size == (1_183, 1_183)
    assert refusal(encode(Image.new("L", (9_460, 9_460)), "JPEG")).code == "too_many_pixels"


def test_arrays_and_images_have_the_same_limits() -> None:
    for image in (Image.new("L", (8, 200)), np.zeros((8, 200), np.uint8)):
        with pytest.raises(PhotoError, match="at most 20 times as long as it is wide, got 200 x 8"):
            load_image(image if isinstance(image, np.ndarray) else image.transpose(4))


def repeated_scans(count: int) -> bytes:
    """A progressive JPEG whose first scan comes very often."""
    start = PROGRESSIVE.index(b"\xff\xda")
    found = re.compile(rb"\xff[^\x00\xff]").search(PROGRESSIVE, start + 2)
    assert found is not None
    scan = PROGRESSIVE[start : found.start()]
    return PROGRESSIVE[:start] + scan * count + PROGRESSIVE[found.start() :]


def test_a_jpeg_of_very_many_scans_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes over all pixels once more."""
    monkeypatch.setattr(photo_limits, "MAX_SCANNED_PIXELS", 20 * PHOTO.width * PHOTO.height)
    assert PROGRESSIVE.count(b"\xff\xda") == 10
    assert load_image(repeated_scans(10)).size == PHOTO.size
    assert refusal(repeated_scans(12)).code == "too_complex"
    hidden = repeated_scans(12).replace(b"\xff\xc4", segment(0xFE, b"\xff\xd9") + b"\xff\xc4")
    assert refusal(hidden).code == "too_complex"


def test_what_follows_a_jpeg_is_no_scan_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telephones put a video there."""
    monkeypatch.setattr(photo_limits, "MAX_SCANNED_PIXELS", PHOTO.width * PHOTO.height)
    assert load_image(JPEG + b"\xff\xda" * 1000).size == PHOTO.size


def test_a_tiff_of_jpegs_of_very_many_scans_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(PHOTO, "TIFF", compression="jpeg")
    assert load_image(content).size == PHOTO.size
    monkeypatch.setattr(photo_limits, "MAX_SCANNED_PIXELS", 20 * PHOTO.width * PHOTO.height)
    assert load_image(content).size == PHOTO.size
    assert refusal(content + b"\xff\xda" * 40).code == "too_complex"


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        PNG[:33] + chunk(b"prIv", b"") * 100_000 + PNG[33:],
        PNG[:-12] + chunk(b"prIv", b"") * 300_000 + PNG[-12:],
        JPEG[:2] + b"\xff" * 100_000 + JPEG[2:],
        JPEG[:2] + segment(0xE5, b"") * 100_000 + JPEG[2:],
        GIF[:GIF_PIXELS] + b"!\xfe" + (b"\xff" + bytes(255)) * 30_000 + b"\0" + GIF[GIF_PIXELS:],
        many_tags(60_000, 4 * MEGABYTE),
    ],
    ids=["chunks", "last chunks", "fill bytes", "segments", "comment", "tags"],
)  # fmt: skip
def test_a_file_of_very_many_parts_is_refused(content: bytes) -> None:
    """Pillow walks through them in Python, and copies some of them over and over."""
    assert refusal(content).code == "too_complex"


def exif_in_jpeg() -> bytes:
    exif = many_tags(60_000, MEGABYTE)
    parts = (exif[start : start + 65_000] for start in range(0, len(exif), 65_000))
    return JPEG[:2] + b"".join(segment(0xE1, b"Exif\0\0" + part) for part in parts) + JPEG[20:]


@pytest.mark.parametrize(
    "make",
    [
        lambda: PNG[:33] + chunk(b"eXIf", many_tags(60_000, MEGABYTE)) + PNG[33:],
        lambda: encode(PHOTO, "WEBP", exif=b"Exif\0\0" + many_tags(60_000, MEGABYTE)),
        exif_in_jpeg,
    ],
    ids=["PNG", "WEBP", "JPEG"],
)
def test_exif_tags_that_share_their_values_take_no_memory(make: Callable[[], bytes]) -> None:
    """Each would be a copy of its own: 60 GB of a file of 1 MB."""
    content = make()
    tracemalloc.start()
    assert load_image(content).size == PHOTO.size
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * MEGABYTE


def test_pillow_sees_no_exif_data_of_an_avif_photo_but_its_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a photo"
    content = encode(PHOTO, "AVIF", exif=exif)
    with Image.open(io.BytesIO(content)) as opened:
        assert b"a photo" in opened.info["exif"]
        wanted = ImageOps.exif_transpose(opened).convert("RGB")
    with Image.open(io.BytesIO(hide_exif(content))) as opened:
        assert b"a photo" not in opened.info["exif"]
    assert wanted.size == PHOTO.size[::-1]
    assert load_image(content).tobytes() == wanted.tobytes()


def test_exif_data_are_hidden_in_every_box_but_that_of_the_pixels() -> None:
    def box(kind: bytes, data: bytes = b"..Exif..") -> bytes:
        return struct.pack(">I4s", 8 + len(data), kind) + data

    def long_box(kind: bytes, data: bytes = b"..Exif..") -> bytes:
        return struct.pack(">I4sQ", 1, kind, 16 + len(data)) + data

    last = struct.pack(">I4s", 0, b"meta") + b"Exif"
    content = box(b"ftyp") + box(b"meta") + long_box(b"mdat") + long_box(b"moov") + last
    hidden = hide_exif(content)
    assert [match.start() for match in re.finditer(b"Exif", hidden)] == [
        content.index(b"Exif"), content.index(b"Exif", content.index(b"mdat")),
    ]  # fmt: skip
    assert hidden.replace(b"skip", b"Exif") == content
    assert hide_exif(content[:20] + bytes(20)) == content[:20] + bytes(20)


def test_the_first_exif_segment_of_a_jpeg_still_counts() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(PHOTO, "JPEG", exif=exif)
    second = segment(0xE1, b"Exif\0\0" + bytes(100))
    start = content.index(b"\xff\xdb")
    assert load_image(content[:start] + second + content[start:]).size == PHOTO.size[::-1]


def test_a_jpeg_of_several_photos_is_shrunk_too() -> None:
    large = PHOTO.resize((960, 640))
    content = encode(large, "MPO", save_all=True, append_images=[large.rotate(180)])
    assert load_image(content, min_side=80).size == (120, 80)
    assert load_image(content).size == (960, 640)
