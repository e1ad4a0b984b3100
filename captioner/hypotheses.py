"""What a search is made of: a step function asked for the next token, and what it has said.

Knows token ids and a step function; knows nothing of how a search chooses. Shape letters are those
of `captioner.model`.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor

from captioner.options import DecodingOptions
from captioner.rules import (
    Rule,
    ban_special_tokens,
    ban_words,
    block_repeated_ngrams,
    hold_back_end,
    say_only,
)
from captioner.vocabulary import SPECIALS, START_ID

NUM_ALTERNATIVES = 5


class State(Protocol):
    """A decoder's state: rows that a search reorders."""

    def select(self, rows: Tensor) -> Self: ...


S = TypeVar("S", bound=State)


class Step(Protocol, Generic[S]):
    """One decoder step, as `LSTMWithAttention.step`."""

    def __call__(self, token_ids: Tensor, state: S) -> tuple[Tensor, Tensor, S]: ...


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


class Prediction(NamedTuple):
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


def predict(
    step: Step[S], state: S, token_ids: Tensor, rules: Sequence[Rule]
) -> tuple[Tensor, Prediction, S]:
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
    return logprobs, Prediction(alpha, rivals, rival_probabilities), state


def make_hypothesis(
    choices: Sequence[Choice], logprob: float, finished: bool, options: DecodingOptions
) -> Hypothesis:
    length = max(len(choices) + finished, 1)
    score = logprob / length**options.length_penalty
    return Hypothesis(tuple(choices), logprob, score, finished)


def best_of(hypotheses: Iterable[Hypothesis], count: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:count]


def without_repeats(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """Those that say what none before them says."""
    found: dict[tuple[int, ...], Hypothesis] = {}
    for hypothesis in hypotheses:
        found.setdefault(tuple(hypothesis.token_ids), hypothesis)
    return list(found.values())
