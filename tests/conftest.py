"""Fixtures that several test files share: a tiny model, and photos made on the spot."""

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import ImageCaptioningModel, ModelConfig, PreprocessConfig, Vocabulary
from tests.tiny_models import WORDS, build_model


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same seed, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(WORDS)


@pytest.fixture
def config() -> ModelConfig:
    return ModelConfig(
        encoder="test_resnet",
        embedding_size=24,
        hidden_size=32,
        attention_size=16,
        projection_size=20,
        dropout=0.1,
        preprocess=PreprocessConfig(image_size=96),
    )


@pytest.fixture
def model(config: ModelConfig, vocabulary: Vocabulary) -> ImageCaptioningModel:
    """A tiny model on a 3 x 3 grid, with random weights that make it talk in varied ways."""
    return build_model(config, vocabulary)


@pytest.fixture
def photos() -> list[Image.Image]:
    """Four photos that differ in every corner."""
    generator = np.random.default_rng(0)
    return [
        Image.fromarray(generator.integers(0, 256, (4, 6, 3), np.uint8)).resize((90, 60), 0)
        for _ in range(4)
    ]
