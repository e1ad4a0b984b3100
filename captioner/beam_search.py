"""Beam search, and the choice among the searches. Knows token ids and a step function.

Shape letters are those of `captioner.model`; G is the number of beams of a photo.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from captioner.decoding import (
    UNCONSTRAINED,
    Choice,
    Hypothesis,
    S,
    Step,
    StepRecord,
    TokenConstraints,
    best_of,
    greedy_search,
    predict,
    rules_at,
    sampling_search,
)
from captioner.options import DecodingOptions
from captioner.vocabulary import END_ID


def search(
    step: Step[S],
    state: S,
    options: DecodingOptions,
    constraints: TokenConstraints = UNCONSTRAINED,
) -> list[list[Hypothesis]]:
    """Find captions by the search that the options describe. Arguments and result as `Search`."""
    if options.temperature:
        return sampling_search(step, state, options, constraints)
    if options.beam_size == options.num_captions == 1:
        return greedy_search(step, state, options, constraints)
    return beam_search(step, state, options, constraints)


def beam_search(
    step: Step[S],
    state: S,
    options: DecodingOptions,
    constraints: TokenConstraints = UNCONSTRAINED,
) -> list[list[Hypothesis]]:
    """Keep the best hypotheses at each step. Arguments and result as `Search`.

    A beam stops when no live hypothesis can still beat its best finished ones. With diversity,
    each wanted caption has a beam of its own, and each beam avoids the words of those before it.

    Source of the latter: Vijayakumar et al. (arXiv:1610.02424), sec. 4, Hamming diversity, with
    groups of beam_size each.
    """
    beams = Beams(state.num_rows, state.device, options, constraints)
    state = state.select(beams.initial_rows)
    for length in range(options.max_length + 1):
        rules = rules_at(length, options, constraints)
        prediction, state = predict(step, state, beams.token_ids, rules)
        rows = beams.advance(prediction.logprobs, prediction.record(), length)
        if rows is None:
            break
        state = state.select(rows)
    return beams.result()


class _Extension(NamedTuple):
    """One step of a beam search: how each row extends a row of the step before."""

    record: StepRecord  # rows of the step before
    parents: list[int]
    token_ids: list[int]
    logprobs: list[float]


class Beams:
    """The hypotheses of B photos, in G beams of K for each photo: N = B * G * K rows."""

    def __init__(
        self,
        num_photos: int,
        device: torch.device,
        options: DecodingOptions,
        constraints: TokenConstraints,
    ) -> None:
        self.options = options
        self.prefix_length = len(constraints.prefix)
        wanted = options.num_captions
        self.groups = wanted if options.diversity else 1
        self.size = options.beam_size if options.diversity else max(options.beam_size, wanted)
        shape = (num_photos, self.groups, self.size)
        photos = torch.arange(num_photos, device=device)
        self.initial_rows = photos.repeat_interleave(self.groups * self.size)  # (N,)
        self.token_ids = torch.empty(len(self.initial_rows), 0, dtype=torch.long, device=device)
        self.totals = torch.full(shape, -torch.inf, device=device)
        self.totals[:, :, 0] = 0.0  # a beam starts as equal hypotheses: only one is extended
        self.diversity_penalty = torch.zeros(shape, device=device)
        """Taken off each hypothesis's total, for its place in the beam alone."""
        self.history: list[_Extension] = []
        self.finished: list[list[list[Hypothesis]]] = [
            [[] for _ in range(self.groups)] for _ in range(num_photos)
        ]

    def advance(self, logprobs: Tensor, record: StepRecord, length: int) -> Tensor | None:
        """Extend every hypothesis by a token.

        Args:
            logprobs: (N, V), after the rules.
            record: of the step that gave them.
            length: tokens before this one.

        Returns:
            The row (N,) that each row extends; None when all beams are done.
        """
        totals, penalty, parents, tokens = self._pick(logprobs, length)  # each (B, G, K)
        ended = (totals > -torch.inf) & (tokens == END_ID)
        for photo, group, beam in ended.nonzero().tolist():
            choices = self._trace_back(int(parents[photo, group, beam]))
            self._finish(photo, group, choices, float(totals[photo, group, beam]), True)
        at_limit = length == self.options.max_length
        for photo, group in self._stopped(totals, at_limit):
            if not self.finished[photo][group]:
                beam = int(self.totals[photo, group].argmax())
                total = float(self.totals[photo, group, beam])
                row = (photo * self.groups + group) * self.size + beam
                self._finish(photo, group, self._trace_back(row), total, False)
        self.totals, self.diversity_penalty = totals.masked_fill(ended, -torch.inf), penalty
        for photo, beams in enumerate(self.finished):
            for group, hypotheses in enumerate(beams):
                if self._is_settled(hypotheses, float(self.totals[photo, group].max())):
                    self.totals[photo, group] = -torch.inf
        if at_limit or bool((self.totals == -torch.inf).all()):
            return None
        rows, tokens = parents.flatten(), tokens.flatten()
        chosen = logprobs[rows, tokens].tolist()
        self.history.append(_Extension(record, rows.tolist(), tokens.tolist(), chosen))
        self.token_ids = torch.cat([self.token_ids[rows], tokens.unsqueeze(1)], dim=1)
        return rows

    def result(self) -> list[list[Hypothesis]]:
        """For each photo, the best hypotheses of its beam, or the best new one of each beam."""
        if self.groups == 1:
            return [best_of(hypotheses, self.size) for (hypotheses,) in self.finished]
        return [
            best_of(_first_new_of_each(best_of(beam, len(beam)) for beam in beams), self.groups)
            for beams in self.finished
        ]

    def _pick(self, logprobs: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The next totals, diversity penalties, parent rows and tokens, each (B, G, K)."""
        num_photos = len(self.finished)
        vocab_size = logprobs.shape[1]
        candidates = self.totals.unsqueeze(3) + logprobs.view(*self.totals.shape, vocab_size)
        counts = logprobs.new_zeros(num_photos, 1, vocab_size)  # uses by the groups before
        starts = torch.arange(num_photos, device=logprobs.device) * self.groups * self.size
        picked: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for group in range(self.groups):
            before = self.diversity_penalty[:, group].unsqueeze(2)
            penalty = before + self.options.diversity * counts  # (B, K, V)
            places = (candidates[:, group] - penalty).flatten(1).topk(self.size, dim=1).indices
            totals = candidates[:, group].flatten(1).gather(1, places)  # (B, K)
            beams, tokens = places.div(vocab_size, rounding_mode="floor"), places % vocab_size
            parents = beams + starts.unsqueeze(1) + group * self.size
            picked.append((totals, penalty.flatten(1).gather(1, places), parents, tokens))
            if length >= self.prefix_length:
                alive = (totals > -torch.inf).to(counts.dtype)
                counts.squeeze(1).scatter_add_(1, tokens, alive)
        totals, penalty, parents, tokens = (
            torch.stack(part, dim=1) for part in zip(*picked, strict=True)
        )
        return totals, penalty, parents, tokens

    def _stopped(self, totals: Tensor, at_limit: bool) -> list[tuple[int, int]]:
        """The photos and groups that were live before this step and cannot be extended."""
        live = (self.totals > -torch.inf).any(dim=2)
        stopped = live if at_limit else live & ~(totals > -torch.inf).any(dim=2)
        return [(photo, group) for photo, group in stopped.nonzero().tolist()]

    def _finish(
        self, photo: int, group: int, choices: Sequence[Choice], total: float, finished: bool
    ) -> None:
        hypothesis = Hypothesis.of(choices, total, finished, self.options.length_penalty)
        self.finished[photo][group].append(hypothesis)

    def _is_settled(self, finished: Sequence[Hypothesis], best_total: float) -> bool:
        """Whether no live hypothesis can still enter the result: its log-probability never rises,
        and is at best divided by the greatest length."""
        if len(finished) < self.size:
            return False
        bound = best_total / (self.options.max_length + 1) ** self.options.length_penalty
        return best_of(finished, self.size)[-1].score >= bound

    def _trace_back(self, row: int) -> list[Choice]:
        """The choices of the hypothesis in `row` after the last step."""
        choices: list[Choice] = []
        for record, parents, token_ids, logprobs in reversed(self.history):
            choices.append(record.choice(parents[row], token_ids[row], logprobs[row]))
            row = parents[row]
        return choices[::-1]


def _first_new_of_each(beams: Iterable[Sequence[Hypothesis]]) -> list[Hypothesis]:
    """The first hypothesis of each beam that no beam before it has contributed."""
    found: dict[tuple[int, ...], Hypothesis] = {}
    for beam in beams:
        new = (h for h in beam if tuple(h.token_ids) not in found)
        if (hypothesis := next(new, None)) is not None:
            found[tuple(hypothesis.token_ids)] = hypothesis
    return list(found.values())
