"""Which side of a photo is up. Knows what Pillow read of a file's header; reads no files."""

import re
import struct

from PIL import ExifTags, Image, TiffImagePlugin

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a photo upright, by its Exif orientation; there is nothing to do for 1."""

XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def turn_upright(image: Image.Image, orientation: int | None) -> Image.Image:
    """Apply an Exif orientation to an image that is stored without it."""
    turn = TURNS.get(orientation or 1)
    return image if turn is None else image.transpose(turn)


def read_orientation(image: Image.Image) -> int | None:
    """The orientation in the header of a photo file, None where there is none left to apply.

    Does without Pillow's own parser, which copies the value of every tag, however many share the
    same bytes of a hostile file.

    Args:
        image: loaded.
    """
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return None  # Pillow has applied it
    orientation = _from_exif(_exif(image))
    return _from_xmp(image) if orientation is None else orientation


def _exif(image: Image.Image) -> bytes:
    if "exif" in image.info:
        return image.info["exif"]
    lines = image.info.get("Raw profile type exif", "").split("\n")  # as ImageMagick writes it
    return bytes.fromhex("".join(lines[3:]))


def _from_exif(exif: bytes) -> int | None:
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(f"{order}L", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, directory)
        for start in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f"{order}HHL", exif, start)
            if tag == ExifTags.Base.Orientation and number == 1 and kind in (1, 3, 4):
                return struct.unpack_from(order + "?B?HL"[kind], exif, start + 8)[0]
    except struct.error:  # cut off
        pass
    return None


def _from_xmp(image: Image.Image) -> int | None:
    xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or b""
    found = XMP_ORIENTATION.search(xmp.encode() if isinstance(xmp, str) else xmp)
    return int(found[1]) if found else None
