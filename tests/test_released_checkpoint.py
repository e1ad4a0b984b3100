"""The released checkpoint: whole, small, the one its card describes, and able to caption."""

import hashlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from captioner import ImageCaptioningModel, load_model
from captioner.checkpoint import BUNDLED, WEIGHTS_FILE

MAX_BYTES = 40_000_000

PHOTOS = {
    "gradio/media_assets/images/lion.jpg": {"lion"},
    "matplotlib/mpl-data/sample_data/grace_hopper.jpg": {"woman", "man"},
}
"""Photos that ship with packages, and words of which the caption must hold one."""


@cache
def released() -> ImageCaptioningModel:
    return load_model()


def packaged(path: str) -> Path:
    """A file of an installed package, found without importing the package."""
    package, _, inside = path.partition("/")
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / inside


def test_the_weights_are_small_enough_for_a_repository() -> None:
    assert (BUNDLED / WEIGHTS_FILE).stat().st_size < MAX_BYTES


def test_the_card_states_the_checksum_of_the_weights() -> None:
    card = (BUNDLED / "README.md").read_text(encoding="utf-8")
    stated = re.findall(r"sha256 of model\.safetensors: `([0-9a-f]{64})`", card)
    actual = hashlib.sha256((BUNDLED / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert stated == [actual]


def test_the_vocabulary_has_no_word_that_cannot_be_said() -> None:
    words = released().vocabulary.words
    assert len(words) > 1000
    assert all(word == word.lower().strip() and word for word in words)


@pytest.mark.parametrize("path", PHOTOS)
@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_photo_is_captioned_with_a_word_that_fits(path: str, beam_size: int) -> None:
    caption = released().generate_caption(packaged(path), beam_size=beam_size)
    assert PHOTOS[path] & {word.text for word in caption.words}, str(caption)
    assert 3 <= len(caption.words) <= 30
    assert all(word.alpha.shape == caption.grid for word in caption.words)


def test_a_lion_is_read_off_the_photo_and_is_no_habit() -> None:
    caption = released().generate_caption(packaged("gradio/media_assets/images/lion.jpg"))
    (lion,) = (word for word in caption.words if word.text == "lion")
    assert lion.recognized > 0.9
    assert lion.blind is not None
    assert lion.blind < 0.01 < lion.probability
    assert caption.familiarity is not None
    assert caption.familiarity < 0.5
