"""A decoder that follows a script, and whose attention tells what it was given before."""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from captioner.vocabulary import END_ID, SPECIALS

NUM_POSITIONS = 64
"""Positions that a scripted decoder looks at."""

A, B, C, D = range(len(SPECIALS), len(SPECIALS) + 4)
"""The words of scripted decoders."""

Script = Callable[[int, tuple[int, ...]], dict[int, float]]
"""Probabilities of the next token, by photo and by the words so far."""


class ScriptedState(NamedTuple):
    """What a scripted decoder remembers: which photo a row is of, and all it was given so far."""

    photos: Tensor  # (N,)
    history: Tensor  # (N, t)

    @property
    def num_rows(self) -> int:
        return len(self.photos)

    @property
    def device(self) -> torch.device:
        return self.photos.device

    def select(self, rows: Tensor) -> "ScriptedState":
        return ScriptedState(self.photos[rows], self.history[rows])


class ScriptedDecoder:
    """A decoder whose next-word probabilities are a function of the photo and the whole prefix.

    Its alpha is one-hot at a position derived from the same history, so that an alpha which lost
    its row is found out.
    """

    def __init__(self, script: Script, size: int):
        self.script = script
        self.vocab_size = size

    def state(self, num_photos: int) -> ScriptedState:
        return ScriptedState(torch.arange(num_photos), torch.empty(num_photos, 0, dtype=torch.long))

    def __call__(
        self, token_ids: Tensor, state: ScriptedState
    ) -> tuple[Tensor, Tensor, ScriptedState]:
        history = torch.cat([state.history, token_ids.unsqueeze(1)], dim=1)
        logits = torch.full((len(token_ids), self.vocab_size), -torch.inf)
        alpha = torch.zeros(len(token_ids), NUM_POSITIONS)
        for row, (photo, prefix) in enumerate(
            zip(state.photos.tolist(), history[:, 1:].tolist(), strict=True)
        ):
            for token_id, probability in self.script(photo, tuple(prefix)).items():
                logits[row, token_id] = float(np.log(probability))
            alpha[row, position_of(photo, prefix)] = 1
        return logits, alpha, ScriptedState(state.photos, history)


def position_of(photo: int, prefix: list[int] | tuple[int, ...]) -> int:
    """Where a scripted decoder looks after these words: a number without pattern."""
    digest = hashlib.sha256(repr((photo, list(prefix))).encode()).digest()
    return digest[0] % NUM_POSITIONS


def random_script(seed: int, size: int) -> Script:
    """Fixed random probabilities over all of a vocabulary, for each photo and prefix."""

    def script(photo: int, prefix: tuple[int, ...]) -> dict[int, float]:
        digest = hashlib.sha256(repr((seed, photo, prefix)).encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        probabilities = generator.dirichlet(np.full(size, 0.5)) + 1e-6
        return dict(enumerate((probabilities / probabilities.sum()).tolist()))

    return script


def table_script(
    table: dict[tuple[int, ...], dict[int, float]],
) -> Script:
    """A script that is the same for all photos; what the table lacks ends the caption."""

    def script(photo: int, prefix: tuple[int, ...]) -> dict[int, float]:
        return table.get(prefix, {END_ID: 1.0})

    return script
