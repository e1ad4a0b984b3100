"""Decoding: from a decoder's step function to captions, word by word.

Holds the rules on log-probabilities, the hypotheses that every search returns, greedy search and
sampling; `beam_search` is a module of its own. Knows token ids and a step function; knows nothing
of images or of words as text. Shape letters are those of `captioner.model`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor

from captioner.options import DecodingOptions
from captioner.vocabulary import END_ID, PAD_ID, SPECIALS, START_ID, UNK_ID

NUM_ALTERNATIVES = 5
LEAST_LOGPROB = -1e3
"""Of which the exponential is 0, and of which 0 times is 0, unlike that of minus infinity."""


class State(Protocol):
    """A decoder's state, one row per hypothesis."""

    @property
    def num_rows(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def select(self, rows: Tensor) -> Self: ...


S = TypeVar("S", bound=State)


class Step(Protocol, Generic[S]):
    """One decoder step, as `LSTMWithAttention.step`."""

    def __call__(self, token_ids: Tensor, state: S) -> tuple[Tensor, Tensor, S]: ...


class TokenConstraints(NamedTuple):
    """What a caption must begin with and must not contain, as token ids."""

    prefix: tuple[int, ...] = ()
    """The first tokens, whatever the rules; the whole caption, if `<eos>` is the last of them."""
    banned: tuple[int, ...] = ()


UNCONSTRAINED = TokenConstraints()


class Choice(NamedTuple):
    """One token of a hypothesis, with the attention and the alternatives of its step."""

    token_id: int
    logprob: float
    alpha: Tensor  # (P,)
    alternatives: tuple[tuple[int, float], ...]
    entropy: float
    """Of the distribution that the token was chosen from, before the rules, in nats."""
    end_probability: float
    """Of `<eos>` in that distribution."""


class Hypothesis(NamedTuple):
    """A finished or cut-off sequence, without `<sos>` and `<eos>`."""

    choices: tuple[Choice, ...]
    ending: Choice | None
    """The choice of `<eos>` after them; None where the sequence was cut off."""
    logprob: float
    """Sum over the choices and the ending."""
    score: float
    """The logprob, normalised by the length."""

    @property
    def finished(self) -> bool:
        return self.ending is not None

    @property
    def token_ids(self) -> list[int]:
        return [choice.token_id for choice in self.choices]

    @classmethod
    def of(
        cls,
        choices: Sequence[Choice],
        ending: Choice | None,
        logprob: float,
        length_penalty: float,
    ) -> "Hypothesis":
        length = max(len(choices) + (ending is not None), 1)
        return cls(tuple(choices), ending, logprob, logprob / length**length_penalty)


class Search(Protocol):
    """What all searches have in common."""

    def __call__(
        self,
        step: Step[S],
        state: S,
        options: DecodingOptions,
        constraints: TokenConstraints = UNCONSTRAINED,
        /,
    ) -> list[list[Hypothesis]]:
        """Find captions of several photos at once.

        Args:
            step: the decoder's step.
            state: the decoder's initial state, B rows, one per photo.
            options: their prefix and banned words are not read: `constraints` holds them as ids.
            constraints: of every caption.

        Returns:
            For each photo, different hypotheses, best score first: at least one. Beam search
            returns one if one is wanted, else at most beam_size or num_captions, whichever is
            more, and at most num_captions with diversity; sampling at most num_captions. An
            unfinished hypothesis is among those of a beam only if none has ended within max_length,
            and is then the best of them.
        """
        ...


# Rules: each changes logprobs (N, V), as a rule some entries to -inf.

Rule = Callable[[Tensor, Tensor], Tensor]
"""Takes logprobs (N, V) and the token_ids (N, t) so far; returns new logprobs (N, V)."""


def rules_at(length: int, options: DecodingOptions, constraints: TokenConstraints) -> list[Rule]:
    """The rules for the token after the first `length` tokens, in the order they apply."""
    if length < len(constraints.prefix):
        return [partial(force_token, token_id=constraints.prefix[length])]
    rules: list[Rule] = [
        ban_special_tokens,
        partial(enforce_min_length, min_length=options.min_length),
    ]
    if constraints.banned:
        rules.append(partial(ban_tokens, banned=constraints.banned))
    if options.no_repeat_ngram:
        rules.append(partial(block_repeated_ngrams, n=options.no_repeat_ngram))
    return rules


def ban_special_tokens(logprobs: Tensor, token_ids: Tensor) -> Tensor:
    """Allow neither `<pad>` nor `<sos>` nor `<unk>`."""
    return ban_tokens(logprobs, token_ids, (PAD_ID, START_ID, UNK_ID))


def ban_tokens(logprobs: Tensor, token_ids: Tensor, banned: Sequence[int]) -> Tensor:
    """Allow none of these tokens."""
    return logprobs.index_fill(1, torch.tensor(banned, device=logprobs.device), -torch.inf)


def enforce_min_length(logprobs: Tensor, token_ids: Tensor, min_length: int) -> Tensor:
    """Do not end before `min_length` words."""
    if token_ids.shape[1] >= min_length:
        return logprobs
    return ban_tokens(logprobs, token_ids, (END_ID,))


def block_repeated_ngrams(logprobs: Tensor, token_ids: Tensor, n: int) -> Tensor:
    """Do not complete an n-gram that the sequence already contains."""
    length = token_ids.shape[1]
    if length < n:
        return logprobs
    ngrams = token_ids.unfold(1, n, 1)  # (N, length - n + 1, n)
    tail = token_ids[:, length - n + 1 :].unsqueeze(1)  # (N, 1, n - 1)
    repeated = (ngrams[:, :, : n - 1] == tail).all(dim=2)
    rows, places = repeated.nonzero(as_tuple=True)
    blocked = logprobs.clone()
    blocked[rows, ngrams[rows, places, n - 1]] = -torch.inf
    return blocked


def force_token(logprobs: Tensor, token_ids: Tensor, token_id: int) -> Tensor:
    """Allow this token only."""
    forced = torch.full_like(logprobs, -torch.inf)
    forced[:, token_id] = logprobs[:, token_id]
    return forced


def keep_top_k(logprobs: Tensor, token_ids: Tensor, k: int) -> Tensor:
    """Allow the `k` most probable tokens."""
    least = logprobs.topk(min(k, logprobs.shape[1]), dim=1).values[:, -1:]
    return logprobs.masked_fill(logprobs < least, -torch.inf)


def keep_top_p(logprobs: Tensor, token_ids: Tensor, p: float) -> Tensor:
    """Allow the smallest set of tokens, of those still allowed, whose probability is at least `p`.

    Source: Holtzman et al. (arXiv:1904.09751), sec. 3.1, nucleus sampling.
    """
    ordered, places = logprobs.softmax(dim=1).sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(dim=1) - ordered
    dropped = torch.zeros_like(before, dtype=torch.bool).scatter(1, places, before >= p)
    return logprobs.masked_fill(dropped, -torch.inf)


def sample(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Sample one index per row of (N, V), by inverting the cumulative distribution; (N,).

    On a CPU this takes a twentieth of the time of `torch.multinomial`.

    Args:
        probabilities: (N, V), at least 0; they need not sum to 1.
        uniform: (N,), random numbers from 0 to below 1.
    """
    cumulative = probabilities.cumsum(dim=1)
    targets = uniform.unsqueeze(1) * cumulative[:, -1:]
    sampled = torch.searchsorted(cumulative, targets, right=True).squeeze(1)
    # Rounding may make 0.99999997 * total the total: stay at the last index above 0.
    last = probabilities.shape[1] - 1 - (probabilities > 0).long().flip(1).argmax(dim=1)
    return torch.minimum(sampled, last)


class StepRecord(NamedTuple):
    """What a search keeps of a step, one row per hypothesis."""

    alpha: Tensor  # (N, P)
    top_alternatives: list[list[int]]  # NUM_ALTERNATIVES + 1 token ids, most probable first
    top_probabilities: list[list[float]]  # of these, before the rules
    entropy: list[float]  # in nats, before the rules
    end_probability: list[float]  # before the rules

    def choice(self, row: int, token_id: int, logprob: float) -> Choice:
        """A token of one row, with the most probable of the others."""
        pairs = zip(self.top_alternatives[row], self.top_probabilities[row], strict=True)
        others = [(other, probability) for other, probability in pairs if other != token_id]
        return Choice(
            token_id,
            logprob,
            self.alpha[row],
            tuple(others[:NUM_ALTERNATIVES]),
            self.entropy[row],
            self.end_probability[row],
        )


class Prediction(NamedTuple):
    """What a decoder predicts for the next token, one row per hypothesis."""

    logprobs: Tensor  # (N, V), after the rules
    unruled: Tensor  # (N, V), before them
    alpha: Tensor  # (N, P)

    def record(self) -> StepRecord:
        """The attention, the most probable words without special tokens, and the entropy of all."""
        probabilities = self.unruled.exp()
        entropy = -(probabilities * self.unruled.clamp(min=LEAST_LOGPROB)).sum(dim=1)
        words = probabilities[:, len(SPECIALS) :]
        count = min(NUM_ALTERNATIVES + 1, words.shape[1])
        top_probabilities, places = words.topk(count, dim=1)
        return StepRecord(
            self.alpha,
            (places + len(SPECIALS)).tolist(),
            top_probabilities.tolist(),
            entropy.tolist(),
            probabilities[:, END_ID].tolist(),
        )


def predict(
    step: Step[S], state: S, token_ids: Tensor, rules: Sequence[Rule]
) -> tuple[Prediction, S]:
    """Predict the token after token_ids (N, t); also returns the state after the step."""
    started = token_ids.shape[1] > 0
    last = token_ids[:, -1] if started else token_ids.new_full((len(token_ids),), START_ID)
    logits, alpha, state = step(last, state)
    unruled = logits.float().log_softmax(dim=1)
    logprobs = unruled
    for rule in rules:
        logprobs = rule(logprobs, token_ids)
    return Prediction(logprobs, unruled, alpha), state


Choose = Callable[[Tensor, Tensor], Tensor]
"""Chooses a token for each row (N,), from logprobs (N, V) and the token_ids (N, t) so far."""


class GeneratedStep(NamedTuple):
    """One step of `generate`."""

    prediction: Prediction
    chosen: Tensor  # (N,) token ids; `<pad>` in rows that have ended before
    stuck: Tensor  # (N,) bool, where the rules have left no token to choose


def generate(
    step: Step[S],
    state: S,
    choose: Choose,
    rules: Callable[[int], Sequence[Rule]],
    max_steps: int,
) -> Iterator[GeneratedStep]:
    """Choose token after token in every row, until all have ended or `max_steps` are done.

    Greedy search, sampling and self-critical training are this loop.

    Args:
        rules: those for the token after a number of tokens.
    """
    token_ids = torch.empty(state.num_rows, 0, dtype=torch.long, device=state.device)
    ended = torch.zeros(state.num_rows, dtype=torch.bool, device=state.device)
    for length in range(max_steps):
        prediction, state = predict(step, state, token_ids, rules(length))
        chosen = choose(prediction.logprobs, token_ids).masked_fill(ended, PAD_ID)
        stuck = (prediction.logprobs == -torch.inf).all(dim=1)
        yield GeneratedStep(prediction, chosen, stuck)
        ended = ended | stuck | (chosen == END_ID)
        if bool(ended.all()):
            return
        token_ids = torch.cat([token_ids, chosen.unsqueeze(1)], dim=1)


def greedy_search(
    step: Step[S],
    state: S,
    options: DecodingOptions,
    constraints: TokenConstraints = UNCONSTRAINED,
) -> list[list[Hypothesis]]:
    """Choose the most probable token at each step. Arguments and result as `Search`."""

    def choose(logprobs: Tensor, token_ids: Tensor) -> Tensor:
        return logprobs.argmax(dim=1)

    return [[hypothesis] for hypothesis in _collect(step, state, choose, options, constraints)]


def sampling_search(
    step: Step[S],
    state: S,
    options: DecodingOptions,
    constraints: TokenConstraints = UNCONSTRAINED,
) -> list[list[Hypothesis]]:
    """Sample num_captions captions of each photo. Arguments and result as `Search`.

    A photo's captions do not depend on the other photos of the batch. Captions that are sampled
    twice are returned once.
    """
    num_photos, count = state.num_rows, options.num_captions
    generator = torch.Generator().manual_seed(options.seed)

    def choose(logprobs: Tensor, token_ids: Tensor) -> Tensor:
        logprobs = logprobs / options.temperature
        if options.top_k:
            logprobs = keep_top_k(logprobs, token_ids, options.top_k)
        if options.top_p < 1:
            logprobs = keep_top_p(logprobs, token_ids, options.top_p)
        uniform = torch.rand(count, generator=generator).repeat(num_photos)
        stuck = (logprobs == -torch.inf).all(dim=1, keepdim=True)
        probabilities = logprobs.masked_fill(stuck, 0.0).softmax(dim=1)
        return sample(probabilities, uniform.to(logprobs.device))

    rows = torch.arange(num_photos, device=state.device).repeat_interleave(count)
    sampled = _collect(step, state.select(rows), choose, options, constraints)
    return [
        best_of(without_repeats(sampled[start : start + count]), count)
        for start in range(0, len(sampled), count)
    ]


def _collect(
    step: Step[S],
    state: S,
    choose: Choose,
    options: DecodingOptions,
    constraints: TokenConstraints,
) -> list[Hypothesis]:
    """The hypothesis of each row, by `generate`."""
    num_rows = state.num_rows
    choices: list[list[Choice]] = [[] for _ in range(num_rows)]
    endings: list[Choice | None] = [None] * num_rows
    totals = [0.0] * num_rows
    live = range(num_rows)
    rules = partial(rules_at, options=options, constraints=constraints)
    steps = generate(step, state, choose, rules, options.max_length + 1)
    for length, (prediction, chosen, stuck) in enumerate(steps):
        record = prediction.record()
        logprobs = prediction.logprobs.gather(1, chosen.unsqueeze(1)).squeeze(1).tolist()
        token_ids, ended = chosen.tolist(), stuck.tolist()
        live = [row for row in live if not ended[row]]
        for row in live:
            ends = token_ids[row] == END_ID
            if not ends and length == options.max_length:
                continue
            choice = record.choice(row, token_ids[row], logprobs[row])
            totals[row] += choice.logprob
            if ends:
                endings[row] = choice
            else:
                choices[row].append(choice)
        live = [row for row in live if endings[row] is None]
    return [
        Hypothesis.of(choices[row], endings[row], totals[row], options.length_penalty)
        for row in range(num_rows)
    ]


def best_of(hypotheses: Iterable[Hypothesis], count: int) -> list[Hypothesis]:
    """The hypotheses of the highest scores, best first."""
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)[:count]


def without_repeats(hypotheses: Iterable[Hypothesis]) -> list[Hypothesis]:
    """The first of those with the same token ids."""
    found: dict[tuple[int, ...], Hypothesis] = {}
    for hypothesis in hypotheses:
        found.setdefault(tuple(hypothesis.token_ids), hypothesis)
    return list(found.values())
