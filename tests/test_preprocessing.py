"""What the encoder sees of a photo."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from captioner.preprocessing import PreprocessConfig, to_tensor
from tests.test_images import landmark


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


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(700, 900), (100, 90), (256, 256), (255, 257)])
def test_a_tensor_is_bit_for_bit_what_torchvision_makes(
    interpolation: Any, size: tuple[int, int]
) -> None:
    config = PreprocessConfig(interpolation=interpolation, mean=(0.4, 0.5, 0.6))
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
    mode = v2.InterpolationMode(interpolation)
    pixels = F.resize(F.pil_to_tensor(image), [256, 256], mode, antialias=True)
    scaled = F.to_dtype(pixels, torch.float32, scale=True)
    expected = F.normalize(scaled, list(config.mean), list(config.std))
    assert torch.equal(to_tensor(image, config), expected)
