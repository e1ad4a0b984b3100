"""A decoder's layers for inference: packed where nothing is lost, and never out of date."""

import copy
import pickle
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from captioner import ImageCaptioningModel, LSTMWithAttention, load_model, save_model
from captioner.packed import packed_linear
from captioner.vocabulary import START_ID

HAS_FBGEMM = platform.machine().lower() in ("x86_64", "amd64")
"""On other processors nothing is packed."""
D, H, V, P = 6, 16, 20, 4


def is_packed(weight: Tensor) -> bool:
    """Only a packed layer has weights of its own, and is not changed by changing these."""
    given, changed = torch.randn(3, weight.shape[1]), weight.clone()
    layer = packed_linear(changed)
    before = layer(given)
    changed.zero_()
    return torch.equal(layer(given), before)


def test_weights_that_float16_holds_are_packed_and_others_are_not() -> None:
    weight = torch.randn(5, 7)
    assert is_packed(weight.half().float()) == HAS_FBGEMM
    assert not is_packed(weight)
    assert not is_packed(weight.half().float() * 1e6)


@pytest.mark.parametrize("rows", [0, 1, 3, 50])
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_packed_layer_gives_what_the_layer_gives(rows: int, with_bias: bool) -> None:
    weight = torch.randn(300, 70).half().float()
    bias = torch.randn(300) if with_bias else None
    given = torch.randn(rows, 70)
    wanted = nn.functional.linear(given, weight, bias)
    torch.testing.assert_close(packed_linear(weight, bias)(given), wanted, atol=1e-4, rtol=1e-4)


def build_decoder() -> LSTMWithAttention:
    decoder = LSTMWithAttention(V, D, 10, H, 8, 9, gate=True, deep_output=True).eval()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(parameter.half())
    return decoder


def logits_of(decoder: LSTMWithAttention, features: Tensor) -> Tensor:
    return decoder.step(torch.full((len(features),), START_ID), decoder.initial_state(features))[0]


def test_steps_without_gradients_give_what_steps_with_gradients_give() -> None:
    decoder, features = build_decoder(), torch.randn(3, P, D)
    wanted = logits_of(decoder, features).detach()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            torch.testing.assert_close(logits_of(decoder, features), wanted)


@pytest.mark.parametrize(
    "name",
    [
        "lstm.weight_ih", "lstm.weight_hh", "lstm.bias_ih", "attention.query.weight", "gate.bias",
        "deep_output.weight", "output_bias", "embedding.embedding.weight",
    ],
)  # fmt: skip
@torch.no_grad()
def test_a_weight_that_training_changes_counts_at_the_next_step(name: str) -> None:
    decoder, features = build_decoder(), torch.randn(3, P, D)
    before = logits_of(decoder, features)
    decoder.get_parameter(name).mul_(2).add_(0.5)
    with torch.enable_grad():
        wanted = logits_of(decoder, features).detach()
    assert not torch.allclose(before, wanted)
    torch.testing.assert_close(logits_of(decoder, features), wanted)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_copies_and_pickles_of_a_decoder_that_was_used_compute_on_their_own(
    mode: Callable[[], AbstractContextManager[None]],
) -> None:
    decoder, features = build_decoder(), torch.randn(3, P, D)
    with mode():
        wanted = logits_of(decoder, features)
        for other in (copy.deepcopy(decoder), pickle.loads(pickle.dumps(decoder))):
            torch.testing.assert_close(logits_of(other, features), wanted)
            other.output_bias.zero_()
            other.embedding.weight.zero_()
            assert not logits_of(other, features).any()
        torch.testing.assert_close(logits_of(decoder, features), wanted)


@torch.inference_mode()
def test_a_model_that_is_loaded_in_inference_mode_has_ordinary_weights(
    model: ImageCaptioningModel, tmp_path: Path
) -> None:
    save_model(model, tmp_path / "saved")
    loaded = load_model(tmp_path / "saved")
    assert not any(weight.is_inference() for weight in loaded.parameters())
