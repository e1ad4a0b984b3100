"""Damaged photo files of every format: each is read as an RGB image, or refused by a PhotoError.

python -m tests.fuzz_photos --count 250000 --seed 1
"""

import argparse
import io
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
from PIL import Image

from captioner.errors import PhotoError
from captioner.images import FORMATS, load_image

HEADER_BYTES = 64
NASTY = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1")


def valid_files() -> dict[str, list[bytes]]:
    """Small photos of each format, in several modes, and with Exif data where it has them."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 4), np.uint8)
    colour = Image.fromarray(pixels).convert("RGB")
    deep = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a photo"
    saved = {
        "JPEG": [(colour, {"exif": exif}), (colour, {"progressive": True}),
                 (colour.convert("CMYK"), {}), (colour.convert("L"), {"comment": b"hello"})],
        "PNG": [(Image.fromarray(pixels), {"exif": exif}), (colour.quantize(), {}), (deep, {}),
                (colour.convert("1"), {})],
        "WEBP": [(colour, {"exif": exif}), (Image.fromarray(pixels), {"lossless": True}),
                 (colour, {"save_all": True, "append_images": [colour.rotate(90)]})],
        "AVIF": [(colour, {"exif": exif, "speed": 10}), (Image.fromarray(pixels), {"speed": 10}),
                 (colour, {"save_all": True, "append_images": [colour.rotate(90)], "speed": 10})],
        "GIF": [(colour, {"comment": b"hello"}),
                (colour, {"save_all": True, "append_images": [colour.rotate(90)]})],
        "BMP": [(colour, {}), (colour.quantize(), {}), (Image.fromarray(pixels), {})],
        "TIFF": [(colour, {"exif": exif}), (deep, {"compression": "tiff_adobe_deflate"}),
                 (colour, {"compression": "tiff_lzw"}), (colour, {"compression": "jpeg"}),
                 (colour.convert("CMYK"), {"compression": "packbits"}),
                 (colour.convert("1"), {"compression": "group4"}),
                 (colour.convert("L").convert("F"), {})],
    }  # fmt: skip
    assert sorted(saved) == sorted(FORMATS)
    return {name: [_encode(*photo, name) for photo in photos] for name, photos in saved.items()}


def mutate(files: list[bytes], generator: np.random.Generator) -> bytes:
    """Damage one of some files: flip, cut, overwrite and splice, once or several times."""
    content = bytearray(files[generator.integers(len(files))])
    for _ in range(generator.integers(1, 4)):
        place = int(generator.integers(max(1, len(content))))
        match generator.integers(6):
            case 0 if content:
                content[place] ^= 1 << int(generator.integers(8))
            case 1 if content:
                content[place] = int(generator.integers(256))
            case 2:
                del content[place:]
            case 3:
                del content[place : place + int(generator.integers(1, 40))]
            case 4:
                other = files[generator.integers(len(files))]
                start = int(generator.integers(len(other)))
                content[place:] = other[start:]
            case _:
                place = int(generator.integers(HEADER_BYTES))
                content[place : place + 4] = NASTY[generator.integers(len(NASTY))]
    return _with_checksums(content) if generator.integers(2) else bytes(content)


def read_damaged(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Read damaged files, in turn of each format.

    Yields:
        The format, and "read" or the code of the error.

    Raises:
        Exception: a file came to another end, which is a bug.
    """
    generator, files = np.random.default_rng(seed), valid_files()
    for number in range(count):
        name = FORMATS[number % len(FORMATS)]
        content = mutate(files[name], generator)
        min_side = (None, 8)[int(generator.integers(2))]
        try:
            image = load_image(content, min_side)
        except PhotoError as error:
            yield name, error.code
        else:
            assert image.mode == "RGB"
            assert len(image.tobytes()) == image.width * image.height * 3
            yield name, "read"


def _with_checksums(content: bytearray) -> bytes:
    """Put the checksums of a PNG right, so that damage goes deeper; others stay as they are."""
    start = 8
    while content.startswith(b"\x89PNG") and start + 12 <= len(content):
        end = start + 8 + int.from_bytes(content[start : start + 4], "big")
        if end + 4 > len(content):
            break
        content[end : end + 4] = zlib.crc32(content[start + 4 : end]).to_bytes(4, "big")
        start = end + 4
    return bytes(content)


def main() -> None:
    """Read damaged files, and print how many came to which end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    warnings.simplefilter("error")
    totals = Counter(read_damaged(flags.count, flags.seed))
    for (name, end), number in sorted(totals.items()):
        print(f"{name:<6}{end:<20}{number:>9}")
    print(f"{sum(totals.values())} damaged files, and no other error")


def _encode(image: Image.Image, options: dict[str, object], name: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
