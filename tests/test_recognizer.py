"""The recognizer: the encoder's last stages as they were, whatever becomes of the encoder."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from captioner import FeatureExtractor, ImageCaptioningModel, ModelConfig
from captioner.recognizer import Recognizer
from tests.tiny_models import build_pointing_model

NAMES = ["test_resnet", "test_efficientnet"]


def change(encoder: FeatureExtractor, stages: int) -> None:
    """Change the weights of the last stages."""
    with torch.no_grad():
        for stage in encoder.stages[encoder.num_stages - stages :]:
            for parameter in stage.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 96, 96)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_features_are_those_of_the_encoder_before_its_last_stages_changed(
    name: str, stages: int, images: Tensor
) -> None:
    encoder = FeatureExtractor(name, "random")
    before = encoder(images)
    recognizer = Recognizer(encoder, stages)
    change(encoder, stages)
    maps = encoder.run_stages(images, 0, encoder.num_stages - stages)
    torch.testing.assert_close(recognizer(maps), before)
    assert not torch.allclose(encoder(images), before, atol=1e-3)


def test_without_stages_of_its_own_its_features_are_the_encoders(images: Tensor) -> None:
    encoder = FeatureExtractor("test_resnet", "random")
    recognizer = Recognizer(encoder, 0)
    assert recognizer.state_dict() == {}
    change(encoder, 2)
    torch.testing.assert_close(recognizer(encoder.run_stages(images)), encoder(images))


def test_it_never_trains() -> None:
    encoder = FeatureExtractor("test_resnet", "random")
    encoder.unfreeze(2, trained_statistics=True)
    encoder.train()
    recognizer = Recognizer(encoder, 2).train()
    assert any(module.training for module in encoder.modules())
    assert not any(module.training for module in recognizer.modules())
    assert not any(parameter.requires_grad for parameter in recognizer.parameters())
    assert any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize(
    ("name", "stages", "message"),
    [
        ("test_resnet", 6, "test_resnet has 5 stages, not 6"),
        ("test_resnet", -1, "test_resnet has 5 stages, not -1"),
        ("test_vit", 2, "test_vit has 1 stages, not 2"),
        ("test_vit", 1, "no stages of test_vit can be kept: it is not run in parts"),
    ],
)
def test_more_stages_than_there_are_cannot_be_kept(name: str, stages: int, message: str) -> None:
    """The whole of a backbone that is not run in parts was kept, and gave no regions."""
    with pytest.raises(ValueError, match=message):
        Recognizer(FeatureExtractor(name, "random"), stages)


@pytest.mark.parametrize("kept", [0, 2])
@pytest.mark.parametrize("left", [None, 2, 3, 5])
def test_regions_are_the_encoders_followed_by_those_as_pretrained(
    config: ModelConfig, images: Tensor, kept: int, left: int | None
) -> None:
    model = build_pointing_model(config)
    model.recognizer = Recognizer(model.encoder, kept)
    pretrained = model.encoder(images)
    if kept:
        change(model.encoder, kept)
    maps = images if left is None else model.encoder.run_stages(images, 0, 5 - left)
    regions = model.regions(maps, left)
    size = model.encoder.feature_size
    assert regions.shape == (2, 9, 2 * size)
    torch.testing.assert_close(regions[:, :, :size], model.encoder(images))
    torch.testing.assert_close(regions[:, :, size:], pretrained)
    torch.testing.assert_close(model.pretrained_means(regions), pretrained.mean(dim=1))


def test_a_model_without_nouns_has_no_recognizer(
    config: ModelConfig, model: ImageCaptioningModel, images: Tensor
) -> None:
    assert replace(config, recognizer_stages=2) != config
    assert model.recognizer is None
    regions = model.regions(images)
    torch.testing.assert_close(regions, model.encoder(images))
    torch.testing.assert_close(model.pretrained_means(regions), regions.mean(dim=1))


def test_training_the_encoder_leaves_the_recognizer_as_it_was(
    config: ModelConfig, images: Tensor
) -> None:
    model = build_pointing_model(config)
    assert model.recognizer is not None
    model.encoder.unfreeze(2)
    model.train()
    kept = {name: tensor.clone() for name, tensor in model.recognizer.state_dict().items()}
    trained = [parameter for parameter in model.encoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    model(images, torch.randint(4, len(model.vocabulary), (2, 5)))[0].square().mean().backward()
    optimizer.step()
    for name, tensor in model.recognizer.state_dict().items():
        assert torch.equal(tensor, kept[name]), name
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in trained)
