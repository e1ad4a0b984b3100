"""What the encoder sees of a photo. Knows pixels and tensors; knows no files and no networks."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from captioner.checks import check_choice, check_fields, check_integer, check_numbers, short


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
