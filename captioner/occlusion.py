"""Hiding regions of a photo, and how probable given words are then.

Knows features, token ids and a decoder; knows nothing of photos or of words as text. Occlusion and
the deletion metric of evaluation are made of these. Shape letters are those of `captioner.model`;
M is a number of variants of a photo.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from captioner.vocabulary import PAD_ID, START_ID

MAX_VARIANTS, MAX_NUMBERS = 64, 2**25
"""Variants of a photo that are decoded together, and numbers in a tensor of them (128 MB)."""

Decoder = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes features (M, P, D) and token_ids (M, T), from `<sos>` on and padded, to logits (M, T, V)
and alphas (M, T, P), as `LSTMWithAttention.forward`."""


def hide_regions(regions: Tensor, hidden: Tensor) -> Tensor:
    """Put the photo's mean region in the place of hidden regions.

    Zeros are nothing that an encoder gives, and would show how much they confuse the decoder.

    Args:
        regions: (P, D).
        hidden: (M, P) bool.

    Returns:
        (M, P, D).
    """
    return torch.where(hidden.unsqueeze(2), regions.mean(dim=0), regions)


def word_probabilities(
    decoder: Decoder, features: Tensor, token_ids: Tensor, last: Tensor | None = None
) -> Tensor:
    """The probability of each word of a caption after the words before it, for several photos.

    Args:
        decoder: an evaluating one.
        features: (M, P, D).
        token_ids: (T,), of the words, without special tokens.
        last: (M,), index of the last word wanted for each photo; by default, all are.

    Returns:
        (M, T); what lies beyond the last word wanted means nothing.
    """
    given = torch.cat([token_ids.new_tensor([START_ID]), token_ids[:-1]])  # (T,)
    inputs = given.expand(len(features), -1)
    if last is not None:
        unwanted = torch.arange(len(given), device=given.device) > last.unsqueeze(1)  # (M, T)
        inputs = inputs.masked_fill(unwanted, PAD_ID)
    logits, _ = decoder(features, inputs)
    targets = token_ids.expand(len(features), -1).unsqueeze(2)
    return logits.float().softmax(dim=2).gather(2, targets).squeeze(2)


def occlusion_drops(
    decoder: Decoder, vocab_size: int, regions: Tensor, token_ids: Tensor
) -> Tensor:
    """How much less probable each word becomes when one region is hidden from the whole caption.

    No more variants of the photo are held at a time than MAX_VARIANTS and MAX_NUMBERS allow.

    Args:
        vocab_size: V, by which the decoder's memory grows.
        regions: (P, D), of the photo.
        token_ids: (T,), of the words, without special tokens.

    Returns:
        (P, T), -1 to 1.
    """
    num_regions, width = regions.shape
    largest = max(num_regions * width, len(token_ids) * max(vocab_size, num_regions))
    chunk = max(1, min(MAX_VARIANTS, MAX_NUMBERS // largest))
    shown = word_probabilities(decoder, regions.unsqueeze(0), token_ids)  # (1, T)
    every = torch.arange(num_regions, device=regions.device)
    without = [
        word_probabilities(decoder, hide_regions(regions, part.unsqueeze(1) == every), token_ids)
        for part in every.split(chunk)
    ]
    return shown - torch.cat(without)
