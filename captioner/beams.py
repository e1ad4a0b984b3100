"""Beams: the hypotheses of several photos, grown token by token. Knows no step function.

Shape letters are those of `captioner.model`; G is the number of beams of a photo.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from captioner.hypotheses import Choice, Hypothesis, Prediction, Words, best_of, make_hypothesis
from captioner.options import DecodingOptions
from captioner.vocabulary import END_ID


class _Steps(NamedTuple):
    """One step of a beam search: how each row came from a row of the step before."""

    prediction: Prediction  # rows of the step before
    parents: list[int]
    token_ids: list[int]
    logprobs: list[float]


class Beams:
    """The hypotheses of B photos, in G beams of K for each photo: N = B * G * K rows."""

    def __init__(
        self, num_photos: int, options: DecodingOptions, device: torch.device, words: Words
    ) -> None:
        self.options, self.words = options, words
        wanted = options.num_captions
        self.groups = wanted if options.diversity else 1
        self.size = options.beam_size if options.diversity else max(options.beam_size, wanted)
        shape = (num_photos, self.groups, self.size)
        every = torch.arange(num_photos, device=device)
        self.first_rows = every.repeat_interleave(self.groups * self.size)  # (N,)
        self.token_ids = torch.empty(len(self.first_rows), 0, dtype=torch.long, device=device)
        self.totals = torch.full(shape, -torch.inf, device=device)
        self.totals[:, :, 0] = 0.0  # hypotheses of a beam start equal: only one may speak first
        self.debts = torch.zeros(shape, device=device)
        """What diversity has taken off each hypothesis, for its place in the beam alone."""
        self.trail: list[_Steps] = []
        self.finished: list[list[list[Hypothesis]]] = [
            [[] for _ in range(self.groups)] for _ in range(num_photos)
        ]

    def advance(self, logprobs: Tensor, prediction: Prediction, length: int) -> Tensor | None:
        """Say one more token everywhere; returns the rows (N,) it is said after, None at the end.

        Args:
            logprobs: (N, V), ruled.
            length: words said before.
        """
        totals, debts, parents, tokens = self._pick(logprobs, length)  # each (B, G, K)
        ended = (totals > -torch.inf) & (tokens == END_ID)
        for photo, group, beam in ended.nonzero().tolist():
            choices = self._walk_back(int(parents[photo, group, beam]))
            self._finish(photo, group, choices, float(totals[photo, group, beam]), True)
        at_limit = length == self.options.max_length
        for photo, group in self._silent(totals, at_limit):
            if not self.finished[photo][group]:
                beam = int(self.totals[photo, group].argmax())
                total = float(self.totals[photo, group, beam])
                row = (photo * self.groups + group) * self.size + beam
                self._finish(photo, group, self._walk_back(row), total, False)
        self.totals, self.debts = totals.masked_fill(ended, -torch.inf), debts
        for photo, beams in enumerate(self.finished):
            for group, hypotheses in enumerate(beams):
                if self._is_settled(hypotheses, float(self.totals[photo, group].max())):
                    self.totals[photo, group] = -torch.inf
        if at_limit or bool((self.totals == -torch.inf).all()):
            return None
        rows, tokens = parents.flatten(), tokens.flatten()
        chosen = logprobs[rows, tokens].tolist()
        self.trail.append(_Steps(prediction, rows.tolist(), tokens.tolist(), chosen))
        self.token_ids = torch.cat([self.token_ids[rows], tokens.unsqueeze(1)], dim=1)
        return rows

    def result(self) -> list[list[Hypothesis]]:
        """For each photo the best hypotheses of its beam, or the best new one of each."""
        if self.groups == 1:
            return [best_of(hypotheses, self.size) for (hypotheses,) in self.finished]
        return [
            best_of(_first_of_each(best_of(beam, len(beam)) for beam in beams), self.groups)
            for beams in self.finished
        ]

    def _pick(self, logprobs: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The next totals, debts, rows they come from and tokens, each (B, G, K)."""
        num_photos = len(self.finished)
        vocab_size = logprobs.shape[1]
        candidates = self.totals.unsqueeze(3) + logprobs.view(*self.totals.shape, vocab_size)
        said = logprobs.new_zeros(num_photos, 1, vocab_size)  # how often, by the groups before
        starts = torch.arange(num_photos, device=logprobs.device) * self.groups * self.size
        picked: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for group in range(self.groups):
            debts = self.debts[:, group].unsqueeze(2) + self.options.diversity * said  # (B, K, V)
            places = (candidates[:, group] - debts).flatten(1).topk(self.size, dim=1).indices
            totals = candidates[:, group].flatten(1).gather(1, places)  # (B, K)
            beams, tokens = places.div(vocab_size, rounding_mode="floor"), places % vocab_size
            parents = beams + starts.unsqueeze(1) + group * self.size
            picked.append((totals, debts.flatten(1).gather(1, places), parents, tokens))
            if length >= len(self.words.given):
                alive = (totals > -torch.inf).to(said.dtype)
                said.squeeze(1).scatter_add_(1, tokens, alive)
        totals, debts, parents, tokens = (
            torch.stack(part, dim=1) for part in zip(*picked, strict=True)
        )
        return totals, debts, parents, tokens

    def _silent(self, totals: Tensor, at_limit: bool) -> list[tuple[int, int]]:
        """The photos and groups that have spoken so far and say nothing more."""
        spoke = (self.totals > -torch.inf).any(dim=2)
        silent = spoke if at_limit else spoke & ~(totals > -torch.inf).any(dim=2)
        return [(photo, group) for photo, group in silent.nonzero().tolist()]

    def _finish(
        self, photo: int, group: int, choices: Sequence[Choice], total: float, finished: bool
    ) -> None:
        hypothesis = make_hypothesis(choices, total, finished, self.options)
        self.finished[photo][group].append(hypothesis)

    def _is_settled(self, finished: Sequence[Hypothesis], best_total: float) -> bool:
        """Whether no live hypothesis can still enter the result: dividing by the longest length
        is the best that can happen to a log-probability, which never rises."""
        if len(finished) < self.size:
            return False
        bound = best_total / (self.options.max_length + 1) ** self.options.length_penalty
        return best_of(finished, self.size)[-1].score >= bound

    def _walk_back(self, row: int) -> list[Choice]:
        """The choices of the hypothesis that stands in `row` after the last step of the trail."""
        choices: list[Choice] = []
        for prediction, parents, token_ids, logprobs in reversed(self.trail):
            choices.append(prediction.choice(parents[row], token_ids[row], logprobs[row]))
            row = parents[row]
        return choices[::-1]


def _first_of_each(beams: Iterable[Sequence[Hypothesis]]) -> list[Hypothesis]:
    """The first hypothesis of each beam that none before it has given."""
    found: dict[tuple[int, ...], Hypothesis] = {}
    for beam in beams:
        new = (h for h in beam if tuple(h.token_ids) not in found)
        if (hypothesis := next(new, None)) is not None:
            found[tuple(hypothesis.token_ids)] = hypothesis
    return list(found.values())
