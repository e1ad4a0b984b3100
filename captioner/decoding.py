"""Decoding: from a step function to captions, by greedy or beam search.

Knows token ids and a step function; knows nothing of images. Shape letters are those of
`captioner.model`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from captioner.vocabulary import END_ID, PAD_ID, SPECIALS, START_ID, UNK_ID, detokenize

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
    """How to search for a caption. Chosen per call, never stored in a model."""

    beam_size: int = 3
    """Hypotheses kept at each word; 1 is greedy search."""
    max_length: int = 30
    """Most words in a caption."""
    min_length: int = 1
    """Fewest words in a caption."""
    length_penalty: float = 0.7
    """Power of the length by which log-probabilities are divided; 0 prefers short captions."""
    no_repeat_ngram: int = 3
    """No run of this many words may stand twice in a caption; 0 allows all."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("beam_size", 1, 100),
            ("max_length", 1, 200),
            ("min_length", 0, self.max_length),
            ("length_penalty", 0, 10),
            ("no_repeat_ngram", 0, 200),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) and name != "length_penalty":
                raise ValueError(f"{name} must be a whole number, got {value!r}")
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, got {value}")


@dataclass(frozen=True)
class Word:
    """One word of a caption, with what the model saw and thought when it said it."""

    text: str
    probability: float
    """The model's probability of this word after the words before it, 0 to 1."""
    alternatives: tuple[tuple[str, float], ...]
    """The most probable other words, with their probabilities, best first."""
    alpha: np.ndarray[Any, np.dtype[np.float32]]
    """Attention, float32 (rows, cols), sums to 1."""


@dataclass(frozen=True)
class Caption:
    """A caption and how it came about. Plain data: holds no tensor and no model."""

    words: tuple[Word, ...]
    score: float
    """Length-normalised log-probability, by which a search ranks; higher is better, at most 0."""
    grid: tuple[int, int]
    """Rows and columns of each word's attention."""

    def __str__(self) -> str:
        return detokenize([word.text for word in self.words])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data, as the command line and the page's endpoint give it.

        Probabilities are rounded to 4 places, attention to 5 and the score to 4.
        """
        return {
            "caption": str(self),
            "score": round(self.score, 4),
            "grid": list(self.grid),
            "words": [
                {
                    "text": word.text,
                    "probability": round(word.probability, 4),
                    "alternatives": [[text, round(p, 4)] for text, p in word.alternatives],
                    "alpha": [[round(float(a), 5) for a in row] for row in word.alpha],
                }
                for word in self.words
            ],
        }


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


Rule = Callable[[Tensor, Tensor], Tensor]
"""Sets forbidden entries of logprobs (N, V) to -inf, given the token_ids (N, t) so far."""


def ban_special_tokens(logprobs: Tensor, token_ids: Tensor) -> Tensor:
    """Never say `<pad>`, `<sos>` or `<unk>`."""
    banned = torch.tensor([PAD_ID, START_ID, UNK_ID], device=logprobs.device)
    return logprobs.index_fill(1, banned, -torch.inf)


def hold_back_end(logprobs: Tensor, token_ids: Tensor, min_length: int) -> Tensor:
    """Do not end before `min_length` words."""
    if token_ids.shape[1] >= min_length:
        return logprobs
    return logprobs.index_fill(1, torch.tensor([END_ID], device=logprobs.device), -torch.inf)


def block_repeated_ngrams(logprobs: Tensor, token_ids: Tensor, n: int) -> Tensor:
    """Do not complete a run of `n` words that the sequence holds already."""
    length = token_ids.shape[1]
    if length < n:
        return logprobs
    runs = token_ids.unfold(1, n, 1)  # (N, length - n + 1, n)
    tail = token_ids[:, length - n + 1 :].unsqueeze(1)  # (N, 1, n - 1)
    repeated = (runs[:, :, : n - 1] == tail).all(dim=2)
    rows, places = repeated.nonzero(as_tuple=True)
    blocked = logprobs.clone()
    blocked[rows, runs[rows, places, n - 1]] = -torch.inf
    return blocked


def rules_of(options: DecodingOptions) -> list[Rule]:
    """The rules that `options` ask for, in the order they apply."""
    rules: list[Rule] = [
        ban_special_tokens,
        partial(hold_back_end, min_length=options.min_length),
    ]
    if options.no_repeat_ngram:
        rules.append(partial(block_repeated_ngrams, n=options.no_repeat_ngram))
    return rules


def search(
    step: Step[S],
    state: S,
    num_photos: int,
    options: DecodingOptions,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Find the best captions of several photos at once.

    Args:
        step: the decoder's step.
        state: the decoder's first state, B rows, one per photo.
        num_photos: B.
        options: beam_size 1 searches greedily.
        device: where the step computes.

    Returns:
        For each photo at least one and at most beam_size hypotheses, best score first. Only when
        none ended within max_length is there an unfinished one, the best of them.
    """
    if options.beam_size == 1:
        return greedy_search(step, state, num_photos, options, device)
    return beam_search(step, state, num_photos, options, device)


def greedy_search(
    step: Step[S],
    state: S,
    num_photos: int,
    options: DecodingOptions,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Take the most probable word at each step. Arguments and result as `search`."""
    rules = rules_of(options)
    token_ids = torch.empty(num_photos, 0, dtype=torch.long, device=device)
    choices: list[list[Choice]] = [[] for _ in range(num_photos)]
    totals = [0.0] * num_photos
    finished: list[bool | None] = [None] * num_photos  # None while still talking
    for length in range(options.max_length + 1):
        logprobs, prediction, state = _predict(step, state, token_ids, rules)
        best, words = logprobs.max(dim=1)
        for photo in (index for index, end in enumerate(finished) if end is None):
            if best[photo] == -torch.inf:  # the rules leave nothing to say
                finished[photo] = False
            elif words[photo] == END_ID:
                totals[photo] += float(best[photo])
                finished[photo] = True
            elif length == options.max_length:
                finished[photo] = False
            else:
                totals[photo] += float(best[photo])
                choices[photo].append(
                    prediction.choice(photo, int(words[photo]), float(best[photo]))
                )
        if None not in finished:
            break
        token_ids = torch.cat([token_ids, words.unsqueeze(1)], dim=1)
    return [
        [_hypothesis(choices[photo], totals[photo], bool(finished[photo]), options)]
        for photo in range(num_photos)
    ]


def beam_search(
    step: Step[S],
    state: S,
    num_photos: int,
    options: DecodingOptions,
    device: torch.device | str = "cpu",
) -> list[list[Hypothesis]]:
    """Keep the beam_size best hypotheses at each step. Arguments and result as `search`.

    Stops for a photo when no live hypothesis can still beat its beam_size best finished ones.
    """
    rules = rules_of(options)
    beam_size = options.beam_size
    first_rows = torch.arange(num_photos, device=device).unsqueeze(1) * beam_size  # (B, 1)
    state = state.select(torch.arange(num_photos, device=device).repeat_interleave(beam_size))
    token_ids = torch.empty(num_photos * beam_size, 0, dtype=torch.long, device=device)
    totals = torch.full((num_photos, beam_size), -torch.inf, device=device)
    totals[:, 0] = 0.0  # the beams of a photo start equal: only one may speak first
    trail: list[_Steps] = []
    finished: list[list[Hypothesis]] = [[] for _ in range(num_photos)]
    for length in range(options.max_length + 1):
        logprobs, prediction, state = _predict(step, state, token_ids, rules)
        candidates = totals.view(-1, 1) + logprobs  # (B*K, V)
        vocab_size = candidates.shape[1]
        new_totals, picks = candidates.view(num_photos, -1).topk(beam_size, dim=1)  # (B, K)
        parents = picks.div(vocab_size, rounding_mode="floor") + first_rows
        tokens = picks % vocab_size
        alive = new_totals > -torch.inf
        ended = alive & (tokens == END_ID)
        for photo, beam in ended.nonzero().tolist():
            choices = _walk_back(trail, int(parents[photo, beam]))
            total = float(new_totals[photo, beam])
            finished[photo].append(_hypothesis(choices, total, True, options))
        for photo in range(num_photos):
            silent = length == options.max_length or not alive[photo].any()
            if silent and not finished[photo] and totals[photo].max() > -torch.inf:
                row = int(totals[photo].argmax())
                choices = _walk_back(trail, photo * beam_size + row)
                finished[photo].append(
                    _hypothesis(choices, float(totals[photo, row]), False, options)
                )
        totals = new_totals.masked_fill(ended, -torch.inf)
        for photo in range(num_photos):
            if _is_settled(finished[photo], float(totals[photo].max()), options):
                totals[photo] = -torch.inf
        if length == options.max_length or bool((totals == -torch.inf).all()):
            break
        rows, tokens = parents.view(-1), tokens.view(-1)
        chosen = logprobs[rows, tokens].tolist()
        trail.append(_Steps(prediction, rows.tolist(), tokens.tolist(), chosen))
        token_ids = torch.cat([token_ids[rows], tokens.unsqueeze(1)], dim=1)
        state = state.select(rows)
    return [_best(hypotheses, beam_size) for hypotheses in finished]


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


def _walk_back(trail: Sequence[_Steps], row: int) -> list[Choice]:
    """The choices of the hypothesis that stands in `row` after the last step of the trail."""
    choices: list[Choice] = []
    for prediction, parents, token_ids, logprobs in reversed(trail):
        choices.append(prediction.choice(parents[row], token_ids[row], logprobs[row]))
        row = parents[row]
    return choices[::-1]


def _hypothesis(
    choices: Sequence[Choice], logprob: float, finished: bool, options: DecodingOptions
) -> Hypothesis:
    length = max(len(choices) + finished, 1)
    score = logprob / length**options.length_penalty
    return Hypothesis(tuple(choices), logprob, score, finished)


def _is_settled(
    finished: Sequence[Hypothesis], best_total: float, options: DecodingOptions
) -> bool:
    """Whether no live hypothesis can still enter the result: dividing by the longest length
    is the best that can happen to a log-probability, which never rises."""
    if len(finished) < options.beam_size:
        return False
    bound = best_total / (options.max_length + 1) ** options.length_penalty
    return _best(finished, options.beam_size)[-1].score >= bound


def _best(hypotheses: Sequence[Hypothesis], count: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:count]
