"""Words of references are counted as one caption at a time, without padding, would have them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import ImageCaptioningModel, ModelConfig, Vocabulary
from captioner.vocabulary import UNK_ID
from tests.tiny_models import build_model
from train.calibration import count_bins
from train.data import CaptionedPhoto
from train.findings import count_references

CAPTIONS = (
    ("dog runs on the grass", "the cat"),
    ("cat sleeps on the sofa", "a zebra runs", "dog"),
    ("the dog sleeps",),
)


@pytest.fixture
def tempered(config: ModelConfig, vocabulary: Vocabulary) -> ImageCaptioningModel:
    """With a temperature other than 1."""
    return build_model(replace(config, temperature=2.0), vocabulary)


def test_words_are_counted_with_the_probabilities_of_teacher_forcing(
    tempered: ImageCaptioningModel, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts of two photos; the unknown words "a" and "zebra" are left out, ends are not."""
    monkeypatch.setattr("train.findings.PREDICTED_TOGETHER", 2)
    features = tempered.encode_batch(photos[:3])
    named = [CaptionedPhoto(f"{n}.jpg", texts, Path()) for n, texts in enumerate(CAPTIONS)]
    found = count_references(tempered, named, features)
    assert [counts[:, 0].sum() for counts in found] == [9, 6 + 2 + 2, 4]
    for counts, photo, part in zip(found, named, features, strict=True):
        wanted = np.zeros_like(counts)
        for text in photo.captions:
            token_ids = torch.tensor([tempered.vocabulary.encode(text)])
            with torch.inference_mode():
                logits, _ = tempered.decoder(part.regions.unsqueeze(0), token_ids[:, :-1])
            best = logits[0].softmax(dim=1).max(dim=1)
            known = token_ids[0, 1:] != UNK_ID
            correct = best.indices == token_ids[0, 1:]
            wanted += count_bins(best.values[known].numpy(), correct[known].numpy())
        np.testing.assert_allclose(counts, wanted, atol=1e-5)
