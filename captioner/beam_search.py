"""Beam search, and the choice among the searches. Knows token ids and a step function.

Shape letters are those of `captioner.model`; G is the number of beams of a photo.
"""

import math
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
from captioner.search_tree import Candidate, SearchTree
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
    _run(beams, step, state)
    return beams.result()


def trace_beam_search(
    step: Step[S],
    state: S,
    options: DecodingOptions,
    constraints: TokenConstraints,
    names: Sequence[str],
) -> SearchTree:
    """Find out what a beam search considers for one photo; greedy search is a beam of one.

    With diversity, the tree is of the beam that the best caption comes from.

    Args:
        step, options, constraints: as `Search`.
        state: of one row.
        names: the text of each token.
    """
    beams = Beams(state.num_rows, state.device, options, constraints, traced=True)
    _run(beams, step, state)
    return beams.tree(names)


def _run(beams: "Beams", step: Step[S], state: S) -> None:
    options = beams.options
    state = state.select(beams.initial_rows)
    for length in range(options.max_length + 1):
        rules = rules_at(length, options, beams.constraints)
        prediction, state = predict(step, state, beams.token_ids, rules)
        rows = beams.advance(prediction.logprobs, prediction.record(), length)
        if rows is None:
            return
        state = state.select(rows)


class _Extension(NamedTuple):
    """One step of a beam search: how each row extends a row of the step before."""

    record: StepRecord  # rows of the step before
    parents: list[int]
    token_ids: list[int]
    logprobs: list[float]


class _Considered(NamedTuple):
    """An extension that a beam considered."""

    total: float
    parent: int  # its place in the beam
    token_id: int
    logprob: float


class Beams:
    """The hypotheses of B photos, in G beams of K for each photo: N = B * G * K rows.

    Photos whose beams are done are dropped, and B is the number of those left.
    """

    def __init__(
        self,
        num_photos: int,
        device: torch.device,
        options: DecodingOptions,
        constraints: TokenConstraints,
        traced: bool = False,
    ) -> None:
        self.options, self.constraints = options, constraints
        wanted = options.num_captions
        self.groups = wanted if options.diversity else 1
        self.size = options.beam_size if options.diversity else max(options.beam_size, wanted)
        self.wanted = 1 if wanted == 1 else self.size
        """Hypotheses of a beam that are returned. If several captions are wanted, all: different
        hypotheses may make the same caption."""
        shape = (num_photos, self.groups, self.size)
        photos = torch.arange(num_photos, device=device)
        self.initial_rows = photos.repeat_interleave(self.groups * self.size)  # (N,)
        self.token_ids = torch.empty(len(self.initial_rows), 0, dtype=torch.long, device=device)
        self.photos = [*range(num_photos)]
        """The photos left."""
        self.totals = torch.full(shape, -torch.inf, device=device)
        self.totals[:, :, 0] = 0.0  # a beam starts as equal hypotheses: only one is extended
        self.diversity_penalty = torch.zeros(shape, device=device)
        """Taken off each hypothesis's total, for its place in the beam alone."""
        self.history: list[_Extension] = []
        self.traced = traced
        self.considered: list[list[list[_Considered]]] = []
        """At each step, by each beam of the one photo, best first; if they are traced."""
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
            The row that each row of the photos left extends; None when all beams are done.
        """
        picked = self._pick(logprobs, length)
        if self.traced:
            totals, _, parents, tokens = picked
            self._trace(totals, parents, tokens, logprobs)
        totals, penalty, parents, tokens = (part[:, :, : self.size] for part in picked)  # (B, G, K)
        ended = (totals > -torch.inf) & (tokens == END_ID)
        for place, group, beam in ended.nonzero().tolist():
            row = int(parents[place, group, beam])
            ending = record.choice(row, END_ID, float(logprobs[row, END_ID]))
            total = float(totals[place, group, beam])
            self._finish(place, group, self._trace_back(row), ending, total)
        at_limit = length == self.options.max_length
        for place, group in self._stopped(totals, at_limit):
            if not self._beam(place, group):
                beam = int(self.totals[place, group].argmax())
                total = float(self.totals[place, group, beam])
                row = (place * self.groups + group) * self.size + beam
                self._finish(place, group, self._trace_back(row), None, total)
        totals = totals.masked_fill(ended, -torch.inf)
        for place, bests in enumerate(totals.amax(dim=2).tolist()):
            for group, best in enumerate(bests):
                if self._is_settled(self._beam(place, group), best):
                    totals[place, group] = -torch.inf
        left = (totals > -torch.inf).any(dim=2).any(dim=1).nonzero().squeeze(1)
        if at_limit or not len(left):
            return None
        if len(left) < len(self.photos):
            self.photos = [self.photos[place] for place in left.tolist()]
            totals, penalty, parents, tokens = (
                part.index_select(0, left) for part in (totals, penalty, parents, tokens)
            )
        self.totals, self.diversity_penalty = totals, penalty
        rows, tokens = parents.flatten(), tokens.flatten()
        chosen = logprobs[rows, tokens].tolist()
        self.history.append(_Extension(record, rows.tolist(), tokens.tolist(), chosen))
        self.token_ids = torch.cat([self.token_ids[rows], tokens.unsqueeze(1)], dim=1)
        return rows

    def result(self) -> list[list[Hypothesis]]:
        """For each photo, the best hypotheses of its beam, or the best new one of each beam."""
        if self.groups == 1:
            return [best_of(hypotheses, self.wanted) for (hypotheses,) in self.finished]
        return [
            best_of(_first_new_of_each(best_of(beam, len(beam)) for beam in beams), self.groups)
            for beams in self.finished
        ]

    def tree(self, names: Sequence[str]) -> SearchTree:
        """What the beam of the best hypothesis considered; as `trace_beam_search`."""
        best = self.result()[0][0]
        said = [*best.token_ids, END_ID] if best.finished else best.token_ids
        trees = (self._grow(group, said, names) for group in range(self.groups))
        return max(trees, key=lambda tree: sum(c.best for step in tree.steps for c in step))

    def _grow(self, group: int, said: Sequence[int], names: Sequence[str]) -> SearchTree:
        """What one beam considered; of a caption, the words that it kept are the best."""
        steps: list[tuple[Candidate, ...]] = []
        last: int | None = -1  # place of the caption's last word among the candidates
        for length, considered in enumerate(self.considered):
            at_limit = length == self.options.max_length
            step: list[Candidate] = []
            for place, (total, parent, token_id, logprob) in enumerate(considered[group]):
                ended, kept = token_id == END_ID, place < self.size
                if total == -math.inf or (at_limit and not ended):
                    continue
                parent = parent if length else -1
                best = kept and parent == last and [token_id] == said[length : length + 1]
                text = "" if ended else names[token_id]
                step.append(Candidate(text, parent, math.exp(logprob), total, kept, ended, best))
            last = next((place for place, candidate in enumerate(step) if candidate.best), None)
            if step:
                steps.append(tuple(step))
        return SearchTree(tuple(steps))

    def _pick(self, logprobs: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The next totals, diversity penalties, parent rows and tokens, best first.

        Each (B, G, K), or (B, G, 2 K) if they are traced: those that are kept, and the next.
        """
        num_photos, vocab_size = len(self.photos), logprobs.shape[1]
        candidates = self.totals.unsqueeze(3) + logprobs.view(*self.totals.shape, vocab_size)
        count = 2 * self.size if self.traced else self.size
        starts = torch.arange(num_photos, device=logprobs.device) * (self.groups * self.size)
        if not self.options.diversity:
            totals, places = candidates.flatten(2).topk(count, dim=2)
            beams = places.div(vocab_size, rounding_mode="floor")
            parents = beams + starts.view(-1, 1, 1)
            return totals, torch.zeros_like(totals), parents, places - beams * vocab_size
        counts = logprobs.new_zeros(num_photos, 1, vocab_size)  # uses by the groups before
        picked: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        for group in range(self.groups):
            before = self.diversity_penalty[:, group].unsqueeze(2)
            penalty = before + self.options.diversity * counts  # (B, K, V)
            places = (candidates[:, group] - penalty).flatten(1).topk(count, dim=1).indices
            totals = candidates[:, group].flatten(1).gather(1, places)
            beams, tokens = places.div(vocab_size, rounding_mode="floor"), places % vocab_size
            parents = beams + starts.unsqueeze(1) + group * self.size
            picked.append((totals, penalty.flatten(1).gather(1, places), parents, tokens))
            if length >= len(self.constraints.prefix):
                kept, alive = tokens[:, : self.size], totals[:, : self.size] > -torch.inf
                counts.squeeze(1).scatter_add_(1, kept, alive.to(counts.dtype))
        totals, penalty, parents, tokens = (
            torch.stack(part, dim=1) for part in zip(*picked, strict=True)
        )
        return totals, penalty, parents, tokens

    def _trace(self, totals: Tensor, parents: Tensor, tokens: Tensor, logprobs: Tensor) -> None:
        """Remember what `_pick` gave for one photo."""
        parts = (totals, parents % self.size, tokens, logprobs[parents, tokens])
        beams = zip(*(part[0].tolist() for part in parts), strict=True)
        self.considered.append([[*map(_Considered, *columns)] for columns in beams])

    def _stopped(self, totals: Tensor, at_limit: bool) -> list[tuple[int, int]]:
        """The places and groups that were live before this step and cannot be extended."""
        live = (self.totals > -torch.inf).any(dim=2)
        stopped = live if at_limit else live & ~(totals > -torch.inf).any(dim=2)
        return [(place, group) for place, group in stopped.nonzero().tolist()]

    def _beam(self, place: int, group: int) -> list[Hypothesis]:
        """What a beam has finished; of the photo at a place among those left."""
        return self.finished[self.photos[place]][group]

    def _finish(
        self,
        place: int,
        group: int,
        choices: Sequence[Choice],
        ending: Choice | None,
        total: float,
    ) -> None:
        hypothesis = Hypothesis.of(choices, ending, total, self.options.length_penalty)
        self._beam(place, group).append(hypothesis)

    def _is_settled(self, finished: Sequence[Hypothesis], best_total: float) -> bool:
        """Whether no live hypothesis can still enter the result: its log-probability never rises,
        and is at best divided by the greatest length."""
        if len(finished) < self.wanted:
            return False
        bound = best_total / (self.options.max_length + 1) ** self.options.length_penalty
        return best_of(finished, self.wanted)[-1].score >= bound

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
