"""What the encoder sees of a photo. Knows pixels and tensors; knows no files and no networks."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

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
    size = (config.image_size, config.image_size)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)  # (3, H, W)
    resized = F.interpolate(pixels[None], size, mode=config.interpolation, antialias=True)[0]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
    return (resized * (1 / 255) - mean) / std
