"""What the page's tests with and without a browser share: the page, served with the model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import captioner
from tests.serving import serving


@pytest.fixture(scope="module")
def model() -> captioner.ImageCaptioningModel:
    return captioner.load_model()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all servers here keep files: Gradio has one such place for a process."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def address(model: captioner.ImageCaptioningModel, folder: Path) -> Iterator[str]:
    with serving(model, folder) as address:
        yield address
