"""The summary of training photos: what is like them is familiar, and no numbers make it fail."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from captioner import ImageCaptioningModel, ModelConfig, load_model, save_model
from captioner.training_photos import QUANTILES, TrainingPhotos
from tests.tiny_models import build_pointing_model

D, K, C = 24, 8, 6
BASIS = torch.randn(K, D, generator=torch.Generator().manual_seed(5))
"""Spans where photos like those of training lie."""


def like_training(count: int) -> Tensor:
    return 3 + torch.randn(count, K) @ BASIS + 0.3 * torch.randn(count, D)


def unlike_training(count: int) -> Tensor:
    return 3 + 4 * torch.randn(count, D)


def build_classifier() -> nn.Linear:
    return nn.Linear(D, C).requires_grad_(False)


def summarize(classifier: nn.Linear | None, count: int = 3000) -> TrainingPhotos:
    photos = TrainingPhotos(D, K, 0 if classifier is None else C)
    means = like_training(count)
    photos.summarize(means, means.mean(dim=0).repeat(1 if classifier is None else 2), classifier)
    return photos


@pytest.mark.parametrize("with_classes", [True, False])
def test_photos_like_those_of_training_are_as_familiar_as_one_another_and_others_are_not(
    with_classes: bool,
) -> None:
    classifier = build_classifier() if with_classes else None
    photos = summarize(classifier)
    familiar = photos.familiarity(like_training(2000), classifier)
    assert float(familiar.mean()) == pytest.approx(0.5, abs=0.05)
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):  # uniformly distributed
        assert float((familiar < share).float().mean()) == pytest.approx(share, abs=0.06)
    assert float(photos.familiarity(unlike_training(500), classifier).mean()) < 0.03


def test_things_that_are_rare_in_training_are_less_familiar() -> None:
    """Photos differ in one direction, by which the classifier tells two classes apart."""
    classifier = nn.Linear(D, 2).requires_grad_(False)
    classifier.weight.zero_()
    classifier.bias.zero_()
    classifier.weight[:, 0] = torch.tensor([4.0, -4.0])

    def of_class(number: int, count: int) -> Tensor:
        means = like_training(count)
        means[:, 0] = 2.0 if number == 0 else -2.0
        return means

    photos = TrainingPhotos(D, K, 2)
    means = torch.cat([of_class(0, 970), of_class(1, 30)])
    photos.summarize(means, means.mean(dim=0).repeat(2), classifier)
    assert photos.class_shares.tolist() == pytest.approx([0.97, 0.03], abs=1e-3)
    common, rare = (photos.familiarity(of_class(n, 300), classifier).mean() for n in (0, 1))
    assert float(common) > 0.4
    assert float(rare) < 0.1


def test_the_least_and_most_familiar_photo_have_0_and_1() -> None:
    photos = summarize(None)
    scores = photos._scores(photos._signs(like_training(5), None))
    photos.quantiles.copy_(torch.linspace(float(scores.min()), float(scores.max()), QUANTILES))
    torch.manual_seed(0)
    means = like_training(4000)
    found = photos.familiarity(means, None)
    order = photos._scores(photos._signs(means, None)).argsort()
    assert (found[order].diff() >= 0).all()
    assert (float(found.min()), float(found.max())) == (0.0, 1.0)


def test_the_components_span_most_of_what_photos_differ_in() -> None:
    photos = summarize(None)
    products = photos.components @ photos.components.T
    torch.testing.assert_close(products, torch.eye(K), atol=2e-3, rtol=0)
    directions = nn.functional.normalize(like_training(500), dim=1) - photos.center
    inside = (directions @ photos.components.T).square().sum()
    assert float(inside / directions.square().sum()) > 0.95


def test_a_summary_is_the_same_after_saving_and_loading(
    config: ModelConfig, photos: list[Image.Image], tmp_path: Path
) -> None:
    model = build_pointing_model(config)
    save_model(model, tmp_path / "checkpoint")
    again = load_model(tmp_path / "checkpoint")
    assert model.training_photos is not None
    assert again.training_photos is not None
    for name, tensor in model.training_photos.state_dict().items():
        assert torch.equal(tensor, again.training_photos.state_dict()[name]), name
    assert model.decoder.pointing is not None
    means = model.pretrained_means(torch.stack([f.regions for f in model.encode_batch(photos)]))
    classifier = model.decoder.pointing.classifier
    torch.testing.assert_close(
        again.training_photos.familiarity(means, classifier),
        model.training_photos.familiarity(means, classifier),
    )


def zeros(tensor: Tensor) -> None:
    tensor.zero_()


def huge(tensor: Tensor) -> None:
    tensor.fill_(1e8)


def hugely_negative(tensor: Tensor) -> None:
    tensor.fill_(-1e8)


def wild(tensor: Tensor) -> None:
    tensor.copy_(torch.randn_like(tensor) * 1e8)


@pytest.mark.parametrize("fill", [zeros, huge, hugely_negative, wild])
@pytest.mark.parametrize(
    "name", ["center", "components", "class_shares", "sign_means", "sign_deviations", "quantiles"]
)
def test_whatever_a_summary_holds_familiarity_is_from_0_to_1(name: str, fill: Any) -> None:
    """A negative share of a class gave no number."""
    classifier = build_classifier()
    photos = summarize(classifier, 200)
    fill(photos.state_dict()[name])
    for means in (like_training(20), unlike_training(20), torch.zeros(1, D)):
        found = photos.familiarity(means, classifier).tolist()
        assert all(0 <= value <= 1 for value in found)


def test_a_summary_that_holds_nothing_but_huge_numbers_gives_valid_captions(
    config: ModelConfig, photos: list[Image.Image]
) -> None:
    model = build_pointing_model(config)
    assert model.training_photos is not None
    for tensor in model.training_photos.state_dict().values():
        wild(tensor)
    for caption in model.generate_captions(photos, max_length=5):
        data = json.loads(json.dumps(caption.to_json(), allow_nan=False))
        assert math.isfinite(data["familiarity"])


def test_a_model_without_nouns_keeps_a_summary_too(
    model: ImageCaptioningModel, photos: list[Image.Image], tmp_path: Path
) -> None:
    """Of which the table of classes is empty."""
    size = model.encoder.feature_size
    model.training_photos = TrainingPhotos(size, 3, 0)
    means = torch.rand(30, size)
    model.training_photos.summarize(means, means.mean(dim=0), None)
    model.config = ModelConfig(**{**model.config.__dict__, "photo_components": 3})
    save_model(model, tmp_path / "checkpoint")
    caption = load_model(tmp_path / "checkpoint").generate_caption(photos[0])
    assert caption.familiarity is not None
    assert all(word.blind is not None for word in caption.words)
