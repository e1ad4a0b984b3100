"""What the words of a caption owe to the photo: read off it, or said out of habit.

Knows features, token ids and a decoder; knows nothing of photos or of words as text. Shape letters
are those of `captioner.model`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from captioner.decoder import DecoderState, LSTMWithAttention
from captioner.vocabulary import PAD_ID, START_ID


class Evidence(NamedTuple):
    """Of one word."""

    recognized: float
    """The share of its probability that was read off the photo, 0 to 1."""
    blind: float | None
    """Its probability without the photo, 0 to 1; None if it is not known."""


def weigh(
    decoder: LSTMWithAttention,
    photos: DecoderState,
    captions: Sequence[Sequence[Sequence[int]]],
    unseen: DecoderState | None,
) -> list[list[list[Evidence]]]:
    """Find the evidence for every word of captions, in one pass of the decoder.

    Args:
        decoder: an evaluating one.
        photos: its initial state, of B rows.
        captions: for each photo, the token ids of its captions, without special tokens.
        unseen: its initial state for a photo that is not seen, of one row; None if there is none.

    Returns:
        For each photo, for each caption, the evidence for each word.
    """
    found = [[[Evidence(0.0, None) for _ in ids] for ids in own] for own in captions]
    if decoder.pointing is None and unseen is None:
        return found
    placed = [
        (photo, number, ids)
        for photo, own in enumerate(captions)
        for number, ids in enumerate(own)
        if ids
    ]
    if not placed:
        return found
    device, twins = photos.device, 1 if unseen is None else 2
    if unseen is not None:
        photos = photos.with_rows(unseen.repeated(photos.num_rows))
    targets = pad_sequence(
        [torch.tensor(ids) for *_, ids in placed], batch_first=True, padding_value=PAD_ID
    )
    targets = targets.to(device).repeat(twins, 1)  # (N, T)
    inputs = torch.cat([torch.full_like(targets[:, :1], START_ID), targets[:, :-1]], dim=1)
    inputs = inputs.masked_fill(targets == PAD_ID, PAD_ID)
    photo_of_row = torch.tensor([photo for photo, *_ in placed], device=device)
    photo_of_row = torch.cat([photo_of_row + len(captions) * twin for twin in range(twins)])
    output = decoder.predict(photos, inputs, photo_of_row)
    chosen = targets[output.rows, output.steps]
    shares = output.logits.new_zeros(len(chosen))
    if output.mixture is not None:
        shares = output.mixture.recognized(chosen)
    logprobs = output.logits.float().log_softmax(dim=1).gather(1, chosen.unsqueeze(1)).squeeze(1)
    table = torch.zeros(2, *targets.shape)  # (2, N, T)
    rows, steps = output.rows.cpu(), output.steps.cpu()
    table[0, rows, steps], table[1, rows, steps] = shares.float().cpu(), logprobs.exp().cpu()
    recognized, probability = table.tolist()
    for row, (photo, number, ids) in enumerate(placed):
        blind = [None] * len(ids) if twins == 1 else probability[row + len(placed)][: len(ids)]
        pairs = zip(recognized[row], blind, strict=False)
        found[photo][number] = [Evidence(*pair) for pair in pairs]
    return found
