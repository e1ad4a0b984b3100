"""Photos: read them safely, and turn them into what the encoder sees.

Knows files and pixels; knows nothing of networks, words or captions.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from captioner.checks import check_choice, check_fields, check_integer, check_numbers, short

Photo = str | Path | bytes | Image.Image | np.ndarray[Any, Any]
"""What a photo may be given as: a path, the bytes of a file, a PIL image, or an HWC (or HW) uint8
array, RGB, 0-255."""

MIN_SIDE = 8
MAX_PIXELS = 89_478_485
"""Larger photos are refused: Pillow's own limit against decompression bombs."""

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""The only ones tried: among Pillow's others are some that start programs, such as EPS."""

UNREADABLE = "is not a photo this program can read; use JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF"


@dataclass(frozen=True)
class PreprocessConfig:
    """How a photo becomes the encoder's input. Part of every checkpoint."""

    image_size: int = 256
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    resize: Literal["stretch"] = "stretch"
    """The whole photo is stretched to a square, so the attention grid covers all of it."""

    def __post_init__(self) -> None:
        check_integer("image_size", self.image_size, 32, 1024)
        check_numbers("mean", self.mean, 3, -10, 10)
        check_numbers("std", self.std, 3, -10, 10)
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")
        check_choice("interpolation", self.interpolation, ("bilinear", "bicubic"))
        if self.resize != "stretch":
            raise ValueError(f"resize must be 'stretch', got {short(self.resize)}")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "PreprocessConfig":
        """Read the plain data that `dataclasses.asdict` and JSON make of a configuration.

        Raises:
            ValueError: a field is unknown or out of range.
        """
        check_fields(cls, data)
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**values)


def load_image(photo: Photo) -> Image.Image:
    """Read a photo as an upright RGB image.

    Applies EXIF orientation, lays transparency on white, converts 16-bit, CMYK, palette and grey
    to RGB, and takes the first frame of an animation.

    Args:
        photo: a path, the bytes of a file, a PIL image of any mode, or a uint8 array (H, W),
            (H, W, 3) or (H, W, 4).

    Returns:
        A new RGB image; the argument is left as it was.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a photo, is damaged, or is too small or too large; the message
            is fit for a visitor to read.
    """
    if isinstance(photo, np.ndarray):
        return _to_rgb(_checked(Image.fromarray(_checked_array(photo)), "the array"))
    if isinstance(photo, Image.Image):
        return _upright_rgb(photo, "the photo")
    if isinstance(photo, bytes):
        return _read(io.BytesIO(photo), "the file")
    path = Path(photo)
    if not path.exists():
        raise FileNotFoundError(f"no such photo: {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a photo; name the photos in it")
    return _read(path, str(path))


def to_tensor(image: Image.Image, config: PreprocessConfig) -> Tensor:
    """Turn a photo into the encoder's input.

    Args:
        image: upright RGB, any size (see load_image).

    Returns:
        float32 (3, S, S), normalised with config.mean and config.std, S = config.image_size.
    """
    size = [config.image_size, config.image_size]
    interpolation = v2.InterpolationMode(config.interpolation)
    pixels = F.resize(F.pil_to_tensor(image), size, interpolation, antialias=True)
    scaled = F.to_dtype(pixels, torch.float32, scale=True)
    return F.normalize(scaled, list(config.mean), list(config.std))


def _read(file: Path | BinaryIO, name: str) -> Image.Image:
    try:
        with Image.open(file, formats=FORMATS) as image:
            return _upright_rgb(image, name)
    except UnidentifiedImageError as error:
        raise ValueError(f"{name} {UNREADABLE}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{name} has more than {MAX_PIXELS} pixels, which is the limit") from error
    except PermissionError as error:
        raise ValueError(f"{name} cannot be opened: permission denied") from error
    except OSError as error:  # a damaged header
        raise ValueError(f"{name} is damaged or incomplete ({error}); try another copy") from error


def _checked_array(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype != np.uint8:
        raise ValueError(f"a photo as an array must be uint8 (0-255), got {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ValueError(
            f"a photo as an array must be (height, width, 3) or (height, width), got {array.shape}"
        )
    return array


def _checked(image: Image.Image, name: str) -> Image.Image:
    if min(image.size) < MIN_SIDE:
        raise ValueError(
            f"{name} must be at least {MIN_SIDE} pixels on each side, "
            f"got {image.width} x {image.height}"
        )
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"{name} must have at most {MAX_PIXELS} pixels, got {image.width} x {image.height}"
        )
    return image


def _upright_rgb(image: Image.Image, name: str) -> Image.Image:
    _checked(image, name)
    try:
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        # Pillow's decoders raise any of these on damaged data.
        raise ValueError(f"{name} is damaged or incomplete ({error}); try another copy") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _scale_to_8_bits(image).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _scale_to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit and float greys hold more than 255; a plain convert would clip them to white."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0.0, neginf=0.0)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
    else:
        low, high = 0.0, 65535.0 if values.max() > 255 else 255.0
    scaled = (values - low) / max(high - low, 1e-12) * 255
    return Image.fromarray(scaled.clip(0, 255).astype(np.uint8))
