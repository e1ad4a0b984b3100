"""What the largest photos that are read cost: processor time, and memory above an idle process.

    python -m tests.benchmarks.photos [--only NAME]

Makes, for each format and mode, files of the most pixels allowed and of at most 10 MB, as hard to
read as they can be made, and reads each in a process of its own as the model does.
"""

import argparse
import io
import json
import math
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from captioner.images import READ_MIN_SIDE, load_image
from captioner.photo_limits import (
    MAX_DEEP_PIXELS,
    MAX_FORMAT_PIXELS,
    MAX_PIXELS,
    MAX_READS,
    MAX_RLE_PIXELS,
    MAX_SIDE,
)

FILE_BYTES = 10_000_000
NOISE = np.random.default_rng(0).integers(0, 256, FILE_BYTES, np.uint8).tobytes()
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "P": 1, "CMYK": 4, "I;16": 1, "F": 1}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--read", type=Path, help="measure a file, in this process")
    flags = parser.parse_args()
    if flags.read:
        print(json.dumps(measure(flags.read)))
        return
    print(f"{'':<40}{'size':>15}{'MB':>6}{'seconds':>9}{'peak MB':>9}")
    for name, make in cases():
        if flags.only in name:
            print(row(name, make()), flush=True)


def row(name: str, content: bytes) -> str:
    """Measure one file in a process of its own."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "photo")
        path.write_bytes(content)
        command = [sys.executable, "-m", "tests.benchmarks.photos", "--read", str(path)]
        found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return (
        f"{name:<40}{found['size']:>15}{len(content) / 1e6:>6.1f}{found['seconds']:>9.2f}"
        f"{found['megabytes']:>9.0f}  {found['error']}"
    )


def measure(path: Path) -> dict[str, Any]:
    """Read a file as the model does."""
    load_image(encode(Image.new("RGB", (64, 64)), "PNG"))  # imports what is imported once
    idle, error, size = resident_bytes("VmRSS"), "", ""
    started = time.process_time()
    try:
        image = load_image(path, READ_MIN_SIDE)
        size = f"{image.width} x {image.height}"
    except ValueError as refusal:
        error = str(refusal).removeprefix(str(path))
    seconds = time.process_time() - started
    megabytes = (resident_bytes("VmHWM") - idle) / 1e6
    return {"size": size, "seconds": seconds, "megabytes": megabytes, "error": error}


def resident_bytes(name: str) -> int:
    """Memory that this process has (VmRSS), or the most that it ever had (VmHWM)."""
    (line,) = (n for n in Path("/proc/self/status").read_text().splitlines() if n.startswith(name))
    return int(line.split()[1]) * 1024


def cases() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Names of files, and what makes them."""
    for mode in ("RGB", "L", "CMYK"):
        yield f"JPEG {mode}", lambda mode=mode: jpeg(mode)
        yield f"JPEG {mode} progressive", lambda mode=mode: jpeg(mode, progressive=True)
        yield f"JPEG {mode} panorama", lambda mode=mode: panorama(mode)
        yield f"JPEG {mode} noise", lambda mode=mode: noisy_jpeg(mode)
        yield f"JPEG {mode} progressive noise", lambda m=mode: noisy_jpeg(m, progressive=True)
    for name, depth, colour in (
        ("1-bit", 1, 0), ("grey", 8, 0), ("grey 16-bit", 16, 0), ("RGB", 8, 2),
        ("RGB 16-bit", 16, 2), ("palette", 8, 3), ("grey alpha 16-bit", 16, 4),
        ("RGBA", 8, 6), ("RGBA 16-bit", 16, 6),
    ):  # fmt: skip
        for interlaced in (False, True):
            yield (
                f"PNG {name}{' interlaced' * interlaced}",
                lambda d=depth, c=colour, i=interlaced: png(d, c, i),
            )
    for mode in ("L", "RGB", "RGBA", "CMYK", "I;16", "F", "P"):
        for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
            if compression != "jpeg" or mode in ("L", "RGB"):
                yield f"TIFF {mode} {compression}", lambda m=mode, c=compression: tiff(m, c)
        yield f"TIFF {mode} tiles", lambda m=mode: tiled_tiff(m)
    for mode in ("RGB", "RGBA"):
        yield f"WebP {mode}", lambda m=mode: flat(m, "WEBP", quality=80, method=0)
        yield f"WebP {mode} noise", lambda m=mode: noisy(m, "WEBP", 0.6, quality=80, method=0)
        yield f"WebP {mode} lossless", lambda m=mode: flat(m, "WEBP", lossless=True, quality=0)
        yield (
            f"WebP {mode} lossless noise",
            lambda m=mode: noisy(m, "WEBP", 3.1, lossless=True, quality=0, method=0),
        )
        yield f"WebP {mode} animated", lambda m=mode: animated(m)
        yield f"AVIF {mode}", lambda m=mode: flat(m, "AVIF", quality=50, speed=10)
        yield f"AVIF {mode} noise", lambda m=mode: noisy(m, "AVIF", 1.4, quality=80, speed=10)
    yield "GIF", lambda: flat("P", "GIF")
    yield "GIF noise", lambda: noisy("P", "GIF", 1.4)
    yield "BMP RLE", lambda: rle_bmp(8)
    yield "BMP RLE 4-bit", lambda: rle_bmp(4)


def side(name: str) -> int:
    """Of a square photo of the most pixels."""
    return math.isqrt(MAX_FORMAT_PIXELS.get(name, MAX_PIXELS))


def encode(image: Image.Image, name: str, **options: Any) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def gradients(mode: str, width: int, height: int) -> Image.Image:
    """Smooth waves: what is easy to compress, but not flat."""
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    waves = 128 + 60 * np.sin(across / 300)[None] + 60 * np.sin(down / 200)[:, None]
    if mode == "F":
        return Image.fromarray(waves)
    if mode == "I;16":
        return Image.fromarray((waves * 256).astype(np.uint16))
    grey = waves.astype(np.uint8)
    del waves
    count = CHANNELS[mode]
    if count == 1:
        return Image.frombytes(mode, (width, height), grey.tobytes())
    bands = [Image.fromarray(np.roll(grey, 99 * band, 1)) for band in range(count)]
    return Image.merge(mode, bands)


def noise(mode: str, bytes_per_pixel: float) -> Image.Image:
    """A square of noise that a file of FILE_BYTES holds."""
    length = math.isqrt(int(FILE_BYTES / bytes_per_pixel))
    count = length * length * CHANNELS[mode]
    return Image.frombytes(mode, (length, length), (NOISE * (1 + count // FILE_BYTES))[:count])


def flat(mode: str, name: str, **options: Any) -> bytes:
    """The most pixels, of waves."""
    return encode(gradients(mode, side(name), side(name)), name, **options)


def noisy(mode: str, name: str, bytes_per_pixel: float, **options: Any) -> bytes:
    """As much noise as 10 MB hold."""
    return encode(noise(mode, bytes_per_pixel), name, **options)


def jpeg(mode: str, **options: Any) -> bytes:
    """The most pixels, of waves."""
    return flat(mode, "JPEG", quality=30, subsampling=0, **options)


def panorama(mode: str) -> bytes:
    """The longest photo that is just not shrunk."""
    image = gradients(mode, MAX_SIDE, 2 * READ_MIN_SIDE - 1)
    return encode(image, "JPEG", quality=30, subsampling=0, progressive=True)


def noisy_jpeg(mode: str, **options: Any) -> bytes:
    """The most pixels, of as much noise as 10 MB hold at a low quality."""
    length = side("JPEG")
    pixels = NOISE * (1 + length * length * CHANNELS[mode] // FILE_BYTES)
    size = length, length if mode != "CMYK" else length // 5
    image = Image.frombytes(mode, size, pixels[: size[0] * size[1] * CHANNELS[mode]])
    return encode(image, "JPEG", quality=1, subsampling=0, **options)


def animated(mode: str) -> bytes:
    """A full canvas first, then many small changes."""
    first = gradients(mode, side("WEBP"), side("WEBP"))
    second = first.copy()
    second.paste(0, (0, 0, 8, 8))
    return encode(first, "WEBP", save_all=True, append_images=[second], quality=50, method=0)


def png(depth: int, colour: int, interlaced: bool) -> bytes:
    """The most pixels, Paeth filtered, with 9 MB that do not compress."""
    deep = depth == 16 and colour != 0
    length = math.isqrt(MAX_DEEP_PIXELS) if deep else side("PNG")
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    passes = (
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]
    )  # fmt: skip
    compressor, packed = zlib.compressobj(1), []
    for left, top, right, down in passes:
        columns, rows = -(-(length - left) // right), -(-(length - top) // down)
        size = -(-columns * bits // 8)
        fresh = min(size, 9_000_000 // length)
        for number in range(rows):
            at = number * fresh % (FILE_BYTES - fresh)
            line = NOISE[at : at + fresh] + (NOISE[:1000] * (1 + size // 1000))[: size - fresh]
            packed.append(compressor.compress(b"\4" + line))
    packed.append(compressor.flush())
    header = struct.pack(">IIBBBBB", length, length, depth, colour, 0, 0, interlaced)
    chunks = [(b"IHDR", header)]
    if colour == 3:
        chunks += [(b"PLTE", NOISE[:768]), (b"tRNS", NOISE[:256])]
    chunks += [(b"IDAT", b"".join(packed)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def tiff(mode: str, compression: str) -> bytes:
    """The most pixels, of waves."""
    return flat(mode, "TIFF", compression=compression)


def tiled_tiff(mode: str, tile: int = 16) -> bytes:
    """The most pixels, in the smallest tiles that TIFF has; all with the same data, deflated."""
    length, width = side("TIFF"), {"I;16": 2, "F": 4}.get(mode, CHANNELS[mode])
    across = -(-length // tile)
    data = zlib.compress(NOISE[: tile * tile * width])
    content = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    photometric = {"RGB": 2, "RGBA": 2, "CMYK": 5, "P": 3}.get(mode, 1)
    bits = {"I;16": [16], "F": [32]}.get(mode, [8] * CHANNELS[mode])
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("I", [length]), 257: ("I", [length]), 258: ("H", bits), 259: ("H", [8]),
        262: ("H", [photometric]), 277: ("H", [len(bits)]),
        322: ("I", [tile]), 323: ("I", [tile]),
        324: ("I", [8] * across * across),
        325: ("I", [len(data)] * across * across),
        339: ("H", [3 if mode == "F" else 1] * len(bits)),
    }  # fmt: skip
    if mode == "RGBA":
        tags[338] = ("H", [2])
    if mode == "P":
        tags[320] = ("H", list(range(0, 768 * 80, 80)))
    directory, outside = struct.pack("<H", len(tags)), b""
    end = len(content) + 2 + 12 * len(tags) + 4
    for tag, (kind, values) in sorted(tags.items()):
        value = struct.pack(f"<{len(values)}{kind}", *values)
        directory += struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(values))
        if len(value) > 4:
            directory += struct.pack("<I", end + len(outside))
            outside += value
        else:
            directory += value.ljust(4, b"\0")
    return content + directory + bytes(4) + outside


def rle_bmp(bits: int) -> bytes:
    """The most pixels, in as many runs as may be read."""
    length = math.isqrt(MAX_RLE_PIXELS)
    runs = MAX_READS // 2 // length - 4
    line = bytes([1, 7]) * (runs - length // 255) + bytes([255, 7]) * (length // 255) + bytes(2)
    data = line * length
    colours = bytes(range(256)) * (4 << bits >> 8) if bits == 8 else bytes(64)
    offset = 54 + len(colours)
    return (
        struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
        + struct.pack("<IiiHHIIiiII", 40, length, length, 1, bits, 1 if bits == 8 else 2,
                      len(data), 0, 0, 0, 0)
        + colours + data
    )  # fmt: skip


if __name__ == "__main__":
    main()
