"""The optimizer's groups, the learning rate over a run, and averaged weights."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from captioner import Vocabulary
from train.config import FitConfig
from train.fit import build_model
from train.optim import build_optimizer, ema, learning_rate_at


def test_the_unfrozen_encoder_has_a_rate_of_its_own_and_vectors_are_not_decayed(
    fit_config: FitConfig,
) -> None:
    config = replace(fit_config, finetune_stages=1, lr=0.5, encoder_lr=0.25, weight_decay=0.125)
    model = build_model(config, Vocabulary(["wall"], False))
    groups = build_optimizer(config, model).param_groups
    found = {
        id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]
    }
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in found, name
            continue
        rate = 0.25 if name.startswith("encoder.") else 0.5
        plain = parameter.ndim == 1 or name == "decoder.embedding.embedding.weight"
        assert found.pop(id(parameter)) == (rate, 0.0 if plain else 0.125), name
    assert not found
    adam = build_optimizer(replace(config, optimizer="adam"), model)
    assert {group["weight_decay"] for group in adam.param_groups} == {0.0}


def test_the_learning_rate_is_halved_every_ten_epochs_or_warms_up_and_falls(
    fit_config: FitConfig,
) -> None:
    step = replace(fit_config, schedule="step", epochs=25)
    assert [learning_rate_at(epoch, step) for epoch in (0, 9.99, 10, 19.99, 20)] == [
        1, 1, 0.5, 0.5, 0.25,
    ]  # fmt: skip
    cosine = replace(fit_config, schedule="cosine", epochs=20)  # the first of them warms up
    rates = [learning_rate_at(epoch / 4, cosine) for epoch in range(81)]
    assert rates[:5] == pytest.approx([0.02, 0.25, 0.5, 0.75, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert learning_rate_at(10.5, cosine) == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0)
    assert learning_rate_at(7, replace(fit_config, schedule="constant")) == 1.0


def test_averaged_weights_forget_faster_at_first() -> None:
    """So that the random weights of the beginning are soon gone."""
    model = nn.Linear(1, 1, bias=False)
    average = AveragedModel(model, multi_avg_fn=ema(0.9))
    values = [float(number) ** 2 for number in range(1, 200)]
    wanted = values[0]
    for updates, value in enumerate(values):
        nn.init.constant_(model.weight, value)
        average.update_parameters(model)
        if updates:
            kept = min(0.9, (1 + updates) / (10 + updates))
            wanted = kept * wanted + (1 - kept) * value
        found = average.module.weight.detach()
        torch.testing.assert_close(found, torch.full((1, 1), wanted), rtol=1e-4, atol=0)
        if updates == 1:
            assert kept == pytest.approx(2 / 11)
    assert kept == 0.9
