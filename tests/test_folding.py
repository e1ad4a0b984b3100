"""Batch norms folded into convolutions: the same features, by a network that does less."""

import copy

import pytest
import torch
from torch import nn

from captioner import FeatureExtractor
from captioner.folding import fold_batch_norms


def with_statistics(encoder: FeatureExtractor) -> FeatureExtractor:
    """As trained: a batch norm that has seen nothing changes nothing."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return encoder


@pytest.fixture(params=["tf_efficientnet_lite2", "efficientnet_lite0", "resnet18"])
def encoder(request: pytest.FixtureRequest) -> FeatureExtractor:
    return with_statistics(FeatureExtractor(request.param, "random"))


def test_folded_stages_give_what_the_stages_give(encoder: FeatureExtractor) -> None:
    images = torch.randn(2, 3, 64, 64)
    stages = nn.Sequential(*encoder.stages)
    with torch.no_grad():
        wanted = stages(images)
        folded = fold_batch_norms(stages)
        assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
        torch.testing.assert_close(folded(images), wanted, atol=1e-3, rtol=1e-3)


def test_an_encoder_gives_the_same_with_gradients_and_without(encoder: FeatureExtractor) -> None:
    encoder.unfreeze(encoder.num_stages)
    images = torch.randn(2, 3, 64, 64)
    wanted = encoder(images).detach()
    with torch.no_grad():
        found = encoder(images)
        parts = encoder.run_stages(encoder.run_stages(images, 0, 2), 2)
    assert not torch.equal(found, wanted)  # it is computed otherwise
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(parts.flatten(2).transpose(1, 2), found, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_a_changed_weight_is_folded_anew(encoder: FeatureExtractor) -> None:
    images = torch.randn(1, 3, 64, 64)
    before = encoder(images)
    norm = [part for part in encoder.modules() if isinstance(part, nn.BatchNorm2d)][-1]
    norm.bias.add_(0.5)
    changed = encoder(images)
    assert not torch.allclose(before, changed)
    twin = copy.deepcopy(encoder)
    norm.bias.sub_(0.5)
    torch.testing.assert_close(encoder(images), before)
    torch.testing.assert_close(twin(images), changed)


def test_folding_leaves_the_random_numbers_to_others(encoder: FeatureExtractor) -> None:
    state = torch.get_rng_state()
    fold_batch_norms(nn.Sequential(*encoder.stages))
    assert torch.equal(torch.get_rng_state(), state)


@torch.no_grad()
def test_only_a_changed_stage_is_folded_anew(encoder: FeatureExtractor) -> None:
    encoder(torch.randn(1, 3, 64, 64))
    first, last = encoder._folded[0], encoder._folded[encoder.num_stages - 1]
    for parameter in encoder.stages[-1].parameters():
        parameter.mul_(1.5)
    assert encoder._folded[0] is first
    assert encoder._folded[encoder.num_stages - 1] is not last
