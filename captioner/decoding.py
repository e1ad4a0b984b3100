"""Decoding: from a step function to captions, by greedy search, beam search or chance.

Knows token ids and a step function; knows nothing of images. Shape letters are those of
`captioner.model`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from captioner.beams import Beams
from captioner.hypotheses import (
    NO_WORDS,
    Choice,
    Hypothesis,
    S,
    Step,
    Words,
    best_of,
    make_hypothesis,
    predict,
    rules_at,
    without_repeats,
)
from captioner.options import DecodingOptions
from captioner.rules import draw, keep_top_k, keep_top_p
from captioner.vocabulary import END_ID


def search(
    step: Step[S],
    state: S,
    num_photos: int,
    options: DecodingOptions,
    device: torch.device | str = "cpu",
    words: Words = NO_WORDS,
) -> list[list[Hypothesis]]:
    """Find captions of several photos at once.

    Args:
        step: the decoder's step.
        state: the decoder's first state, B rows, one per photo.
        num_photos: B.
        options: a temperature above 0 draws; else beam_size 1 searches greedily.
        device: where the step computes.
        words: for the words among the options, which this does not read.

    Returns:
        For each photo different hypotheses, best score first: at least one; of a beam at most
        beam_size or num_captions, whichever is more; of captions that are drawn, or that have a
        beam each, at most num_captions. Only when none ended within max_length is there an
        unfinished one among those of a beam, the best of them.
    """
    if options.temperature:
        return sample(step, state, num_photos, options, device, words)
    if options.beam_size == options.num_captions == 1:
        return greedy_search(step, state, num_photos, options, device, words)
    return beam_search(step, state, num_photos, options, device, words)


def greedy_search(
    step: Step[S],
    state: S,
    num_photos: int,
    options: DecodingOptions,
    device: torch.device | str = "cpu",
    words: Words = NO_WORDS,
) -> list[list[Hypothesis]]:
    """Take the most probable word at each step. Arguments and result as `search`."""
    found = _one_by_one(_likeliest, step, state, num_photos, options, device, words)
    return [[hypothesis] for hypothesis in found]


def sample(
    step: Step[S],
    state: S,
    num_photos: int,
    options: DecodingOptions,
    device: torch.device | str = "cpu",
    words: Words = NO_WORDS,
) -> list[list[Hypothesis]]:
    """Draw num_captions captions of each photo. Arguments and result as `search`.

    A photo's captions do not depend on the other photos of the batch. Captions that are drawn
    twice are given once.
    """
    count = options.num_captions
    generator = torch.Generator().manual_seed(options.seed)

    def choose(logprobs: Tensor, token_ids: Tensor) -> Tensor:
        logprobs = logprobs / options.temperature
        if options.top_k:
            logprobs = keep_top_k(logprobs, token_ids, options.top_k)
        if options.top_p < 1:
            logprobs = keep_top_p(logprobs, token_ids, options.top_p)
        chance = torch.rand(count, generator=generator).repeat(num_photos)
        silent = (logprobs == -torch.inf).all(dim=1, keepdim=True)
        return draw(logprobs.masked_fill(silent, 0.0).softmax(dim=1), chance.to(logprobs.device))

    rows = torch.arange(num_photos, device=device).repeat_interleave(count)
    drawn = _one_by_one(choose, step, state.select(rows), len(rows), options, device, words)
    return [
        best_of(without_repeats(drawn[start : start + count]), count)
        for start in range(0, len(drawn), count)
    ]


Choose = Callable[[Tensor, Tensor], Tensor]
"""Picks a token for each row (N,), from logprobs (N, V) and the token_ids (N, t) so far."""


def _likeliest(logprobs: Tensor, token_ids: Tensor) -> Tensor:
    return logprobs.argmax(dim=1)


def _one_by_one(
    choose: Choose,
    step: Step[S],
    state: S,
    num_rows: int,
    options: DecodingOptions,
    device: torch.device | str,
    words: Words,
) -> list[Hypothesis]:
    """Say word after word in every row, and look back at none."""
    token_ids = torch.empty(num_rows, 0, dtype=torch.long, device=device)
    choices: list[list[Choice]] = [[] for _ in range(num_rows)]
    totals = [0.0] * num_rows
    finished: list[bool | None] = [None] * num_rows  # None while still talking
    for length in range(options.max_length + 1):
        rules = rules_at(length, options, words)
        logprobs, prediction, state = predict(step, state, token_ids, rules)
        chosen = choose(logprobs, token_ids)
        values = logprobs.gather(1, chosen.unsqueeze(1)).squeeze(1).tolist()
        for row in (index for index, end in enumerate(finished) if end is None):
            if values[row] == -torch.inf:  # the rules leave nothing to say
                finished[row] = False
            elif chosen[row] == END_ID:
                totals[row] += values[row]
                finished[row] = True
            elif length == options.max_length:
                finished[row] = False
            else:
                totals[row] += values[row]
                choices[row].append(prediction.choice(row, int(chosen[row]), values[row]))
        if None not in finished:
            break
        token_ids = torch.cat([token_ids, chosen.unsqueeze(1)], dim=1)
    return [
        make_hypothesis(choices[row], totals[row], bool(finished[row]), options)
        for row in range(num_rows)
    ]


def beam_search(
    step: Step[S],
    state: S,
    num_photos: int,
    options: DecodingOptions,
    device: torch.device | str = "cpu",
    words: Words = NO_WORDS,
) -> list[list[Hypothesis]]:
    """Keep the best hypotheses at each step. Arguments and result as `search`.

    Stops for a beam when no live hypothesis can still beat its best finished ones. With diversity
    there are as many beams as captions are wanted, and each avoids what those before it say.

    Source of the latter: Vijayakumar et al. (arXiv:1610.02424), sec. 4, Hamming diversity, with
    groups of beam_size each.
    """
    beams = Beams(num_photos, options, torch.device(device), words)
    state = state.select(beams.first_rows)
    for length in range(options.max_length + 1):
        rules = rules_at(length, options, words)
        logprobs, prediction, state = predict(step, state, beams.token_ids, rules)
        rows = beams.advance(logprobs, prediction, length)
        if rows is None:
            break
        state = state.select(rows)
    return beams.result()
