"""Decoding: from a step function to captions, by greedy search, beam search or chance.

Knows token ids and a step function; knows nothing of images. Shape letters are those of
`captioner.model`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor

from captioner.rules import (
    Rule,
    ban_special_tokens,
    ban_words,
    block_repeated_ngrams,
    draw,
    hold_back_end,
    keep_top_k,
    keep_top_p,
    say_only,
)
from captioner.vocabulary import END_ID, SPECIALS, START_ID

NUM_ALTERNATIVES = 5


class State(Protocol):
    """A decoder's state: rows that a search reorders."""

    def select(self, rows: Tensor) -> Self: ...


S = TypeVar("S", bound=State)


class Step(Protocol, Generic[S]):
    """One decoder step, as `LSTMWithAttention.step`."""

    def __call__(self, token_ids: Tensor, state: S) -> tuple[Tensor, Tensor, S]: ...


@dataclass(frozen=True)
class DecodingOptions:
    """How to find captions. Chosen per call, never stored in a model."""

    beam_size: int = 3
    """Hypotheses kept at each word; 1 is greedy search."""
    num_captions: int = 1
    """Different captions wanted of a photo. A beam is never smaller than this."""
    diversity: float = 0.0
    """How much less likely, in nats, an earlier caption makes a word at the same place; 0 gives
    the best captions of one beam, more gives each caption a beam of its own."""
    temperature: float = 0.0
    """Above 0, words are drawn by chance in place of a beam search: 1 as likely as the model
    thinks, below 1 more of what is likely, above 1 more of what is not."""
    top_k: int = 0
    """Draw only from so many of the likeliest words; 0 from all."""
    top_p: float = 1.0
    """Draw only from the fewest likeliest words that together are so probable."""
    seed: int = 0
    """Of what is drawn: the same seed draws the same captions."""
    max_length: int = 30
    """Most words in a caption."""
    min_length: int = 1
    """Fewest words in a caption."""
    length_penalty: float = 0.7
    """Power of the length by which log-probabilities are divided; 0 prefers short captions."""
    no_repeat_ngram: int = 3
    """No run of this many words may stand twice in a caption; 0 allows all."""
    banned_words: tuple[str, ...] = ()
    """Words never to say. They may still be among a word's alternatives."""
    prefix: str = ""
    """Words that the caption begins with."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("beam_size", 1, 100),
            ("num_captions", 1, 100),
            ("diversity", 0.0, 100),
            ("temperature", 0.0, 100),
            ("top_k", 0, 1_000_000),
            ("seed", 0, 2**63 - 1),
            ("max_length", 1, 200),
            ("min_length", 0, self.max_length),
            ("length_penalty", 0.0, 10),
            ("no_repeat_ngram", 0, 200),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) and not isinstance(low, float):
                raise ValueError(f"{name} must be a whole number, got {value!r}")
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if not self.temperature and (self.top_k or self.top_p < 1):
            raise ValueError("top_k and top_p are for drawing words: set temperature above 0")
        if not isinstance(self.prefix, str):
            raise ValueError(f"prefix must be text, got {self.prefix!r}")
        if isinstance(self.banned_words, str):
            raise ValueError(f"banned_words must be a list of words, got {self.banned_words!r}")
        object.__setattr__(self, "banned_words", tuple(self.banned_words))


class Choice(NamedTuple):
    """One token of a hypothesis, with its step's attention and rivals."""

    token_id: int
    logprob: float
    alpha: Tensor  # (P,)
    alternatives: tuple[tuple[int, float], ...]


class Hypothesis(NamedTuple):
    """A finished or cut-off sequence, without `<sos>` and `<eos>`."""

    choices: tuple[Choice, ...]
    logprob: float
    """Sum over the choices and, when finished, `<eos>`."""
    score: float
    finished: bool

    @property
    def token_ids(self) -> list[int]:
        return [choice.token_id for choice in self.choices]


class Words(NamedTuple):
    """The words of `DecodingOptions` as the token ids that a search knows."""

    given: tuple[int, ...] = ()
    """What every caption begins with, whatever the rules; the whole of it, if `<eos>` is last."""
    banned: tuple[int, ...] = ()


NO_WORDS = Words()


def rules_at(length: int, options: DecodingOptions, words: Words) -> list[Rule]:
    """The rules for the token after so many, in the order they apply."""
    if length < len(words.given):
        return [partial(say_only, token_id=words.given[length])]
    rules: list[Rule] = [
        ban_special_tokens,
        partial(hold_back_end, min_length=options.min_length),
    ]
    if words.banned:
        rules.append(partial(ban_words, banned=words.banned))
    if options.no_repeat_ngram:
        rules.append(partial(block_repeated_ngrams, n=options.no_repeat_ngram))
    return rules


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
        _best(_different(drawn[start : start + count]), count)
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
        logprobs, prediction, state = _predict(step, state, token_ids, rules)
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
        _hypothesis(choices[row], totals[row], bool(finished[row]), options)
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
    beams = _Beams(num_photos, options, torch.device(device), words)
    state = state.select(beams.first_rows)
    for length in range(options.max_length + 1):
        rules = rules_at(length, options, words)
        logprobs, prediction, state = _predict(step, state, beams.token_ids, rules)
        rows = beams.advance(logprobs, prediction, length)
        if rows is None:
            break
        state = state.select(rows)
    return beams.result()


class _Prediction(NamedTuple):
    """What the model says of the next word, one row per hypothesis."""

    alpha: Tensor  # (N, P)
    rivals: Tensor  # (N, NUM_ALTERNATIVES + 1) token ids, most probable first
    rival_probabilities: Tensor  # (N, NUM_ALTERNATIVES + 1)

    def choice(self, row: int, token_id: int, logprob: float) -> Choice:
        pairs = zip(self.rivals[row].tolist(), self.rival_probabilities[row].tolist(), strict=True)
        others = [(other, probability) for other, probability in pairs if other != token_id]
        return Choice(
            token_id,
            logprob,
            self.alpha[row],
            tuple(others[:NUM_ALTERNATIVES]),
        )


class _Steps(NamedTuple):
    """One step of a beam search: how each row came from a row of the step before."""

    prediction: _Prediction  # rows of the step before
    parents: list[int]
    token_ids: list[int]
    logprobs: list[float]


class _Beams:
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

    def advance(self, logprobs: Tensor, prediction: _Prediction, length: int) -> Tensor | None:
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
            return [_best(hypotheses, self.size) for (hypotheses,) in self.finished]
        return [
            _best(_first_of_each(_best(beam, len(beam)) for beam in beams), self.groups)
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
        hypothesis = _hypothesis(choices, total, finished, self.options)
        self.finished[photo][group].append(hypothesis)

    def _is_settled(self, finished: Sequence[Hypothesis], best_total: float) -> bool:
        """Whether no live hypothesis can still enter the result: dividing by the longest length
        is the best that can happen to a log-probability, which never rises."""
        if len(finished) < self.size:
            return False
        bound = best_total / (self.options.max_length + 1) ** self.options.length_penalty
        return _best(finished, self.size)[-1].score >= bound

    def _walk_back(self, row: int) -> list[Choice]:
        """The choices of the hypothesis that stands in `row` after the last step of the trail."""
        choices: list[Choice] = []
        for prediction, parents, token_ids, logprobs in reversed(self.trail):
            choices.append(prediction.choice(parents[row], token_ids[row], logprobs[row]))
            row = parents[row]
        return choices[::-1]


def _predict(
    step: Step[S], state: S, token_ids: Tensor, rules: Sequence[Rule]
) -> tuple[Tensor, _Prediction, S]:
    """The ruled logprobs (N, V) of the next word, what else is worth keeping, and the state."""
    started = token_ids.shape[1] > 0
    last = token_ids[:, -1] if started else token_ids.new_full((token_ids.shape[0],), START_ID)
    logits, alpha, state = step(last, state)
    raw = logits.float().log_softmax(dim=1)
    specials = torch.arange(len(SPECIALS), device=raw.device)
    probabilities = raw.exp().index_fill(1, specials, 0.0)
    count = min(NUM_ALTERNATIVES + 1, raw.shape[1] - len(SPECIALS))
    rival_probabilities, rivals = probabilities.topk(count, dim=1)
    logprobs = raw
    for rule in rules:
        logprobs = rule(logprobs, token_ids)
    return logprobs, _Prediction(alpha, rivals, rival_probabilities), state


def _hypothesis(
    choices: Sequence[Choice], logprob: float, finished: bool, options: DecodingOptions
) -> Hypothesis:
    length = max(len(choices) + finished, 1)
    score = logprob / length**options.length_penalty
    return Hypothesis(tuple(choices), logprob, score, finished)


def _best(hypotheses: Iterable[Hypothesis], count: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:count]


def _different(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """Those that say what none before them says."""
    found: dict[tuple[int, ...], Hypothesis] = {}
    for hypothesis in hypotheses:
        found.setdefault(tuple(hypothesis.token_ids), hypothesis)
    return list(found.values())


def _first_of_each(beams: Iterable[Sequence[Hypothesis]]) -> list[Hypothesis]:
    """The first hypothesis of each beam that none before it has given."""
    found: dict[tuple[int, ...], Hypothesis] = {}
    for beam in beams:
        new = (h for h in beam if tuple(h.token_ids) not in found)
        if (hypothesis := next(new, None)) is not None:
            found[tuple(hypothesis.token_ids)] = hypothesis
    return list(found.values())
