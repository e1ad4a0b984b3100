"""Fixtures that several test files share: a tiny model, photos and a data set made on the spot."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import captioner.__main__ as command_line
from captioner import ImageCaptioningModel, ModelConfig, PreprocessConfig, Vocabulary, save_model
from tests.colour_walls import common, write_data
from tests.tiers import (
    pytest_collection_modifyitems,  # noqa: F401
    pytest_ignore_collect,  # noqa: F401
)
from tests.tiny_models import WORDS, build_model
from train.config import FitConfig, PrepareConfig
from train.features import prepare

Run = Callable[..., tuple[int, list[str], str]]
"""Runs the command line: exit status, lines of standard output, standard error."""


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
        position=False,
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


@pytest.fixture
def checkpoint(model: ImageCaptioningModel, tmp_path: Path) -> Path:
    """The tiny model as a checkpoint folder."""
    save_model(model, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def folder(photos: list[Image.Image], tmp_path: Path) -> Path:
    """A folder with four photos, a.png to d.png."""
    (tmp_path / "photos").mkdir()
    for name, photo in zip("abcd", photos, strict=True):
        photo.save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A photo whose decoder fails with a RuntimeError."""
    buffer = io.BytesIO()
    Image.effect_noise((60, 40), 50).convert("RGB").save(buffer, "AVIF", max_threads=1)
    content = bytearray(buffer.getvalue())
    start = content.index(b"mdat") + 4
    content[start : start + 8] = b"\xff" * 8
    (tmp_path / "damaged.avif").write_bytes(content)
    return tmp_path / "damaged.avif"


@pytest.fixture
def run(
    checkpoint: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run the command line with the tiny checkpoint."""

    def run_with(*arguments: Any, stdin: bytes = b"") -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            status = command_line.main(["--checkpoint", str(checkpoint), *map(str, arguments)])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        output, errors = capfd.readouterr()
        return status, output.splitlines(), errors

    return run_with


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos of one colour each, their captions and splits, see `colour_walls`."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def features(data: Path) -> Path:
    """Cached features of these photos."""
    config = PrepareConfig(**common(data), features=data / "features", views=3, stages_left=0)
    prepare(config)
    return config.features


@pytest.fixture(scope="session")
def stages_left(data: Path) -> Path:
    """The same photos before the last two stages of the encoder."""
    config = PrepareConfig(**common(data), features=data / "left", views=3, stages_left=2)
    prepare(config)
    return config.features


@pytest.fixture
def fit_config(data: Path, features: Path, tmp_path: Path) -> FitConfig:
    """A run on these features that takes seconds."""
    return FitConfig(
        **common(data),
        features=features,
        name="run",
        runs=tmp_path,
        epochs=4,
        batch_photos=3,
        embedding_size=16,
        hidden_size=24,
        attention_size=8,
        projection_size=16,
        position=False,  # a wall has one colour, and twelve photos tell nothing of places
        dropout=0.1,
        lr=1e-2,
        ema_decay=0.5,
    )
