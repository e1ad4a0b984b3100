"""What training minimises: the losses of captions, and the module that works them out of a batch.

Knows models and batches; knows nothing of optimizers, epochs or processes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioner.decoder import TeacherForcingOutput
from captioner.model import ImageCaptioningModel
from captioner.vocabulary import END_ID, PAD_ID
from train.batches import Batch
from train.config import TrainingConfig


class Counts(NamedTuple):
    """What the means of losses are over, each a number in a tensor ()."""

    words: Tensor
    """Words, `<eos>` included."""
    captions: Tensor
    boxed: Tensor
    """Words of which it is known what regions they are about."""


def count(token_ids: Tensor, coverage: Tensor | None) -> Counts:
    """What a batch's means are over; arguments as of `caption_losses`."""
    words = (token_ids[:, 1:] != PAD_ID).sum()
    captions = torch.full_like(words, len(token_ids))
    boxed = torch.zeros_like(words) if coverage is None else (coverage.amax(dim=2) > 0).sum()
    return Counts(words, captions, boxed)


class Losses(NamedTuple):
    """What training minimises, and its parts."""

    total: Tensor
    nll: Tensor
    """Mean negative log-likelihood of a word in nats, without smoothing or penalty."""
    box: Tensor
    """Mean negative log of the attention on the regions that a word is known to be about."""


def caption_losses(
    output: TeacherForcingOutput,
    token_ids: Tensor,
    coverage: Tensor | None = None,
    smoothing: float = 0.0,
    doubly_stochastic: float = 0.0,
    box_weight: float = 0.0,
    counts: Counts | None = None,
) -> Losses:
    """The training loss of a batch.

    Args:
        output: of captions given as `caption_inputs(token_ids)`.
        token_ids: (N, T + 1), from `<sos>` to `<eos>`, then `<pad>`.
        coverage: (N, T, P), which regions a word is about; all 0 where that is not known.
        smoothing: probability spread over all words, 0 to 1.
        doubly_stochastic: weight of the penalty on regions whose attention over the caption does
            not sum to 1.
        box_weight: weight of attending to the regions a word is about.
        counts: what the means are over, where this is a share of a larger batch; the losses of
            all shares then add up to those of the batch.

    Source: Show, Attend and Tell (arXiv:1502.03044), sec. 4.2.1, eq. 14; attention supervised
    after Liu et al. (arXiv:1605.09553), sec. 3.2, here by the mass on the region's box.
    """
    counts = counts or count(token_ids, coverage)
    logprobs = output.logits.float().log_softmax(dim=1)  # (W, V)
    targets = token_ids[output.rows, output.steps + 1]
    nll = F.nll_loss(logprobs, targets, reduction="sum") / counts.words
    total = (1 - smoothing) * nll - smoothing * logprobs.mean(dim=1).sum() / counts.words
    alphas = output.alphas.float()  # (W, P)
    if doubly_stochastic:
        attended = alphas.new_zeros(len(token_ids), alphas.shape[1])
        attended = attended.index_add(0, output.rows, alphas)  # (N, P)
        penalty = ((1 - attended) ** 2).mean(dim=1).sum() / counts.captions
        total = total + doubly_stochastic * penalty
    box = nll.new_zeros(())
    if coverage is not None:
        about = coverage[output.rows, output.steps]  # (W, P)
        mass = (alphas * about).sum(dim=1)[about.amax(dim=1) > 0]
        box = -mass.clamp(min=1e-6).log().sum() / counts.boxed.clamp(min=1)
        total = total + box_weight * box
    return Losses(total, nll.detach(), box.detach())


def caption_inputs(token_ids: Tensor) -> Tensor:
    """What a decoder is given of captions (N, T + 1): (N, T), without `<eos>`."""
    return token_ids[:, :-1].masked_fill(token_ids[:, :-1] == END_ID, PAD_ID)


class Objective(nn.Module):
    """A model's losses of batches, as a module that gradients can be averaged over."""

    def __init__(self, config: TrainingConfig, model: ImageCaptioningModel) -> None:
        super().__init__()
        self.config = config
        self.model = model

    def forward(
        self,
        batch: Batch,
        stages_left: int | None,
        counts: Counts | None = None,
    ) -> Losses:
        """The losses of a batch.

        Args:
            stages_left: how many of the encoder's stages its photos have still to go through.
            counts: see `caption_losses`.
        """
        device, config, decoder = self.config.device, self.config, self.model.decoder
        token_ids, photo_of_row = batch.token_ids.to(device), batch.photo_of_row.to(device)
        coverage = None if batch.coverage is None else batch.coverage.to(device)
        features = encode_batch(config, self.model, batch, stages_left)
        with autocast(config):
            output = decoder.predict(features, caption_inputs(token_ids), photo_of_row)
        return caption_losses(
            output,
            token_ids,
            coverage,
            config.label_smoothing,
            config.doubly_stochastic,
            config.box_weight,
            counts,
        )


def encode_batch(
    config: TrainingConfig, model: ImageCaptioningModel, batch: Batch, stages_left: int | None
) -> Tensor:
    """The features (B, P, D) of a batch's photos, of which `stages_left` stages are still to do."""
    # A CPU takes three times as long for the gradient of depthwise convolutions in bfloat16.
    slow = torch.device(config.device).type == "cpu" and model.encoder.unfrozen_stages > 0
    with autocast(config, allowed=not slow):
        return model.regions(batch.photos.to(config.device), stages_left)


def autocast(config: TrainingConfig, allowed: bool = True) -> torch.autocast:
    """Computing in bfloat16 where that is safe, if the configuration wants it."""
    kind = torch.device(config.device).type
    return torch.autocast(kind, torch.bfloat16, config.autocast and allowed)
