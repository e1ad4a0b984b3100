"""Searches against scripted decoders: the best captions, and each word with its own attention."""

import itertools
import math
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from captioner.beam_search import beam_search, search
from captioner.decoding import NUM_ALTERNATIVES, Hypothesis, TokenConstraints, greedy_search
from captioner.options import DecodingOptions
from captioner.vocabulary import END_ID, PAD_ID, SPECIALS, START_ID, UNK_ID
from tests.scripted_decoder import (
    NUM_POSITIONS,
    A,
    B,
    C,
    D,
    Script,
    ScriptedDecoder,
    ScriptedState,
    position_of,
    random_script,
    table_script,
)

SIZE = len(SPECIALS) + 4


PLAIN = DecodingOptions(length_penalty=1.0, no_repeat_ngram=0)
"""Decoding as the models' scripts are written for: without the rules that only captions need."""


def run(script: Script, num_photos: int = 1, size: int = SIZE, **options: float):
    """Search; all that a beam finds is wanted, unless the options say otherwise."""
    decoder = ScriptedDecoder(script, size)
    if not options.get("diversity") and not options.get("temperature"):
        options.setdefault("num_captions", options.get("beam_size", PLAIN.beam_size))
    chosen = replace(PLAIN, **options)  # pyright: ignore[reportArgumentType]
    return search(decoder, decoder.state(num_photos), chosen)


def allowed(
    script: Script, photo: int, prefix: tuple[int, ...], min_length: int
) -> dict[int, float]:
    banned = {PAD_ID, START_ID, UNK_ID} | ({END_ID} if len(prefix) < min_length else set())
    return {token: p for token, p in script(photo, prefix).items() if token not in banned}


def every_caption(script: Script, photo: int, options: DecodingOptions) -> dict[tuple, float]:
    """All finished captions with their scores, by plain recursion over the script."""
    scores: dict[tuple, float] = {}

    def visit(prefix: tuple[int, ...], logprob: float) -> None:
        for token, probability in allowed(script, photo, prefix, options.min_length).items():
            total = logprob + math.log(probability)
            if token == END_ID:
                scores[prefix] = total / (len(prefix) + 1) ** options.length_penalty
            elif len(prefix) < options.max_length:
                visit((*prefix, token), total)

    visit((), 0.0)
    return scores


def entropy_of(probabilities: dict[int, float]) -> float:
    return -sum(p * math.log(p) for p in probabilities.values())


def assert_consistent(script: Script, photo: int, hypothesis: Hypothesis) -> None:
    """Each word and the end have the numbers and alternatives of their own prefix; they sum up."""
    total, prefix = 0.0, ()
    for choice in hypothesis.choices:
        probabilities = script(photo, prefix)
        assert choice.token_id not in range(len(SPECIALS))
        assert math.isclose(math.exp(choice.logprob), probabilities[choice.token_id], rel_tol=1e-4)
        assert choice.alpha.shape == (NUM_POSITIONS,)
        assert int(choice.alpha.argmax()) == position_of(photo, prefix)
        others = {t: p for t, p in probabilities.items() if t >= len(SPECIALS)}
        others.pop(choice.token_id)
        best = sorted(others.items(), key=lambda pair: -pair[1])[:NUM_ALTERNATIVES]
        assert [token for token, _ in choice.alternatives][: len(best)] == [t for t, _ in best]
        given = [probability for _, probability in choice.alternatives][: len(best)]
        assert given == pytest.approx([p for _, p in best], rel=1e-4)
        assert choice.entropy == pytest.approx(entropy_of(probabilities), rel=1e-4)
        assert choice.end_probability == pytest.approx(probabilities.get(END_ID, 0), rel=1e-4)
        total += choice.logprob
        prefix = (*prefix, choice.token_id)
    if hypothesis.ending is not None:
        probabilities = script(photo, prefix)
        assert hypothesis.ending.token_id == END_ID
        assert math.exp(hypothesis.ending.logprob) == pytest.approx(probabilities[END_ID], rel=1e-4)
        assert hypothesis.ending.entropy == pytest.approx(entropy_of(probabilities), rel=1e-4)
        words = {t: p for t, p in probabilities.items() if t >= len(SPECIALS)}
        best = sorted(words.values(), reverse=True)[:NUM_ALTERNATIVES]
        assert [p for _, p in hypothesis.ending.alternatives] == pytest.approx(best, rel=1e-4)
        total += math.log(probabilities[END_ID])
    assert hypothesis.logprob == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("no_repeat_ngram", [0, 2])
def test_a_beam_of_one_is_greedy_search(seed: int, no_repeat_ngram: int) -> None:
    decoder = ScriptedDecoder(random_script(seed, SIZE), SIZE)
    options = replace(
        PLAIN, beam_size=1, max_length=6, min_length=seed % 4, no_repeat_ngram=no_repeat_ngram
    )
    greedy = greedy_search(decoder, decoder.state(3), options)
    beam = beam_search(decoder, decoder.state(3), options)
    for photo, (one, other) in enumerate(zip(greedy, beam, strict=True)):
        assert one[0].token_ids == other[0].token_ids
        assert one[0].finished == other[0].finished
        assert one[0].score == pytest.approx(other[0].score, rel=1e-5)
        assert_consistent(decoder.script, photo, one[0])
        for left, right in zip(one[0].choices, other[0].choices, strict=True):
            assert left.logprob == right.logprob
            assert left.alternatives == right.alternatives
            assert torch.equal(left.alpha, right.alpha)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("length_penalty", [0, 0.7, 1, 2])
@pytest.mark.parametrize(("num_words", "max_length"), [(4, 2), (2, 5)])
@pytest.mark.parametrize("min_length", [0, 2])
@pytest.mark.slow
def test_a_wide_beam_finds_what_exhaustive_search_finds(
    seed: int, length_penalty: float, num_words: int, max_length: int, min_length: int
) -> None:
    """A beam of 100 holds all continuations: 16 * 5 = 80 of four words, 32 * 3 = 96 of two."""
    size = len(SPECIALS) + num_words
    script = random_script(seed, size)
    options = replace(
        PLAIN,
        beam_size=100,
        num_captions=100,
        max_length=max_length,
        min_length=min_length,
        length_penalty=length_penalty,
    )
    decoder = ScriptedDecoder(script, size)
    found = beam_search(decoder, decoder.state(2), options)
    for photo, hypotheses in enumerate(found):
        wanted = every_caption(script, photo, options)
        best = sorted(wanted, key=lambda ids: -wanted[ids])
        assert [tuple(h.token_ids) for h in hypotheses] == best
        assert [h.score for h in hypotheses] == pytest.approx(
            [wanted[tuple(h.token_ids)] for h in hypotheses], rel=1e-4
        )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_stopping_early_changes_no_result(
    seed: int, length_penalty: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = random_script(seed, SIZE)
    chosen = {"beam_size": 2, "max_length": 7, "length_penalty": length_penalty}
    early = run(script, 3, **chosen)
    monkeypatch.setattr("captioner.beam_search.Beams._is_settled", lambda *_: False)
    patient = run(script, 3, **chosen)
    assert [[h.token_ids for h in hypotheses] for hypotheses in early] == [
        [h.token_ids for h in hypotheses] for hypotheses in patient
    ]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_one_caption_alone_is_the_best_of_several(seed: int, length_penalty: float) -> None:
    script = random_script(seed, SIZE)
    chosen = {"beam_size": 4, "max_length": 7, "length_penalty": length_penalty}
    alone, several = run(script, 3, num_captions=1, **chosen), run(script, 3, **chosen)
    for one, best in zip(alone, several, strict=True):
        assert [h.token_ids for h in one] == [best[0].token_ids]
        assert one[0].score == best[0].score


def test_photos_that_are_done_are_not_decoded_further() -> None:
    rows: list[int] = []

    class Watched(ScriptedDecoder):
        def __call__(self, token_ids: Tensor, state: ScriptedState):
            rows.append(len(token_ids))
            return super().__call__(token_ids, state)

    def script(photo: int, prefix: tuple[int, ...]) -> dict[int, float]:
        """The second photo's caption is longer."""
        ends = len(prefix) >= (1, 5)[photo]
        return {END_ID: 0.98, A: 0.01, B: 0.01} if ends else {A: 0.7, B: 0.3}

    decoder = Watched(script, SIZE)
    found = search(decoder, decoder.state(2), replace(PLAIN, beam_size=2, max_length=9))
    assert [len(hypotheses[0].choices) for hypotheses in found] == [1, 5]
    assert rows[0] == 4
    assert rows[-1] == 2


def test_a_search_stops_when_nothing_better_can_come() -> None:
    steps = []

    def script(photo: int, prefix: tuple[int, ...]) -> dict[int, float]:
        steps.append(len(prefix))
        return {END_ID: 0.9, A: 0.1} if prefix else {A: 0.5, B: 0.5}

    run(script, beam_size=2, max_length=50, length_penalty=0)
    assert max(steps) < 5


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("beam_size", [1, 2, 5])
def test_each_word_keeps_its_own_attention_and_alternatives_when_beams_change_places(
    seed: int, beam_size: int
) -> None:
    script = random_script(seed, SIZE + 6)
    for photo, hypotheses in enumerate(
        run(script, 3, SIZE + 6, beam_size=beam_size, max_length=6, min_length=3)
    ):
        for hypothesis in hypotheses:
            assert_consistent(script, photo, hypothesis)


def test_a_beam_leaves_the_path_that_starts_best_with_the_attention_of_the_other() -> None:
    table = {
        (): {A: 0.6, B: 0.4},
        (A,): {C: 0.3, D: 0.3, END_ID: 0.4},
        (B,): {C: 0.9, END_ID: 0.1},
    }
    greedy = run(table_script(table), beam_size=1)[0][0]
    beam = run(table_script(table), beam_size=2, length_penalty=0)[0][0]
    assert greedy.token_ids == [A]
    assert beam.token_ids == [B, C]
    assert [int(choice.alpha.argmax()) for choice in beam.choices] == [
        position_of(0, ()),
        position_of(0, (B,)),
    ]


@pytest.mark.parametrize("beam_size", [1, 3, 5])
def test_a_batch_of_photos_gives_what_each_gives_alone(beam_size: int) -> None:
    script = random_script(7, SIZE)
    together = run(script, 5, beam_size=beam_size, max_length=6)
    for photo in range(5):

        def alone(_: int, prefix: tuple[int, ...], photo: int = photo) -> dict[int, float]:
            return script(photo, prefix)

        (hypotheses,) = run(alone, beam_size=beam_size, max_length=6)
        assert [h.token_ids for h in hypotheses] == [h.token_ids for h in together[photo]]
        assert [h.score for h in hypotheses] == [h.score for h in together[photo]]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_one_photo_may_end_long_before_another(beam_size: int) -> None:
    def script(photo: int, prefix: tuple[int, ...]) -> dict[int, float]:
        if len(prefix) == (1, 6)[photo]:
            return {END_ID: 1.0}
        return {A: 0.6, B: 0.4}

    short, long = run(script, 2, beam_size=beam_size)
    assert short[0].token_ids == [A]
    assert long[0].token_ids == [A] * 6
    assert short[0].finished
    assert long[0].finished


@pytest.mark.parametrize("beam_size", [1, 4])
def test_an_unfinished_beam_is_still_returned(beam_size: int) -> None:
    def script(photo: int, prefix: tuple[int, ...]) -> dict[int, float]:
        return {A: 0.7, B: 0.3} if len(prefix) % 2 else {C: 0.8, D: 0.2}

    (hypotheses,) = run(script, beam_size=beam_size, max_length=5)
    assert len(hypotheses) == 1
    assert hypotheses[0].token_ids == [C, A, C, A, C]
    assert not hypotheses[0].finished
    assert_consistent(script, 0, hypotheses[0])


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_finished_caption_is_preferred_to_a_likelier_unfinished_one(beam_size: int) -> None:
    def script(photo: int, prefix: tuple[int, ...]) -> dict[int, float]:
        if photo == 0:
            return {A: 1.0}
        return {A: 0.98, END_ID: 0.02} if prefix else {A: 1.0}

    never, seldom = run(script, 2, beam_size=beam_size, max_length=4)
    assert not never[0].finished
    assert seldom[0].finished == (beam_size > 1)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_model_with_nothing_to_say_gives_an_empty_caption(beam_size: int) -> None:
    (hypotheses,) = run(lambda photo, prefix: {UNK_ID: 1.0}, beam_size=beam_size)
    assert hypotheses == [Hypothesis((), None, 0.0, 0.0)]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_what_was_said_stays_when_the_rules_then_leave_nothing_to_say(beam_size: int) -> None:
    table = {(): {A: 1.0}, (A,): {B: 1.0}, (A, B): {PAD_ID: 0.5, START_ID: 0.5}}
    (hypotheses,) = run(table_script(table), beam_size=beam_size)
    assert hypotheses[0].token_ids == [A, B]
    assert not hypotheses[0].finished


@pytest.mark.parametrize("beam_size", [1, 3])
def test_an_empty_caption_is_allowed_only_with_min_length_0(beam_size: int) -> None:
    script = table_script({(): {END_ID: 0.9, A: 0.1}})
    assert run(script, beam_size=beam_size, min_length=0)[0][0].token_ids == []
    assert run(script, beam_size=beam_size, min_length=1)[0][0].token_ids == [A]


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("limits", [(1, 1), (3, 3), (2, 5)])
def test_captions_keep_to_their_limits(beam_size: int, limits: tuple[int, int]) -> None:
    low, high = limits
    for hypotheses in run(
        random_script(3, SIZE), 4, beam_size=beam_size, min_length=low, max_length=high
    ):
        assert all(low <= len(hypothesis.choices) <= high for hypothesis in hypotheses)


@pytest.mark.parametrize("beam_size", [1, 3])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_run_of_words_stands_twice(beam_size: int, n: int) -> None:
    def script(photo: int, prefix: tuple[int, ...]) -> dict[int, float]:
        return {A: 0.6, B: 0.3, C: 0.1}

    def repeats(token_ids: list[int]) -> bool:
        runs = (
            list(itertools.pairwise(token_ids))
            if n == 2
            else list(zip(*(token_ids[start:] for start in range(n)), strict=False))
        )
        return len(set(runs)) < len(runs)

    (free,) = run(script, beam_size=beam_size, max_length=8)
    (held,) = run(script, beam_size=beam_size, max_length=8, no_repeat_ngram=n)
    assert repeats(free[0].token_ids)
    assert not repeats(held[0].token_ids)
    assert len(held[0].token_ids) >= 3


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_vocabulary_of_fewer_words_than_alternatives_gives_those_it_has(beam_size: int) -> None:
    hypothesis = run(random_script(0, SIZE), beam_size=beam_size)[0][0]
    assert {len(choice.alternatives) for choice in hypothesis.choices} == {3}


def test_results_come_best_first_and_at_most_beam_size_of_them() -> None:
    for hypotheses in run(random_script(5, SIZE), 4, beam_size=4):
        scores = [hypothesis.score for hypothesis in hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len(hypotheses) == 4
        assert len({tuple(hypothesis.token_ids) for hypothesis in hypotheses}) == 4


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("beam_size", 0, "beam_size must be from 1 to 100, got 0"),
        ("beam_size", 101, "beam_size must be from 1 to 100, got 101"),
        ("beam_size", 2.5, "beam_size must be a whole number, got 2.5"),
        ("beam_size", "3", "beam_size must be a whole number, got '3'"),
        ("max_length", 0, "max_length must be from 1 to 200, got 0"),
        ("min_length", 31, "min_length must be from 0 to 30, got 31"),
        ("length_penalty", -1.0, "length_penalty must be from 0 to 10, got -1.0"),
        ("length_penalty", math.nan, "length_penalty must be from 0 to 10, got nan"),
        ("no_repeat_ngram", -1, "no_repeat_ngram must be from 0 to 200, got -1"),
        ("num_captions", 0, "num_captions must be from 1 to 100, got 0"),
        ("diversity", -0.1, "diversity must be from 0 to 100, got -0.1"),
        ("temperature", -1, "temperature must be from 0 to 100, got -1"),
        ("top_k", 5, "top_k and top_p are for sampling: set temperature above 0"),
        ("top_p", 0.0, "top_p must be above 0 and at most 1, got 0.0"),
        ("top_p", 0.9, "top_k and top_p are for sampling: set temperature above 0"),
        ("seed", 1.5, "seed must be a whole number, got 1.5"),
        ("banned_words", "man", "banned_words must be a list of words, got 'man'"),
        ("prefix", ["a"], "prefix must be text, got ['a']"),
    ],
)
def test_an_option_out_of_range_is_refused_by_name(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(message) + "$"):
        replace(DecodingOptions(), **{name: value})


@pytest.mark.parametrize("options", [{"beam_size": 1}, {"beam_size": 3}, {"temperature": 3.0}])
def test_entropy_and_the_end_are_the_models_own_whatever_the_rules_and_the_temperature(
    options: dict[str, float],
) -> None:
    script = random_script(4, SIZE)
    decoder = ScriptedDecoder(script, SIZE)
    chosen = replace(PLAIN, min_length=3, max_length=4, no_repeat_ngram=1, **options)
    ((hypothesis, *_),) = search(
        decoder, decoder.state(1), chosen, TokenConstraints((A,), banned=(D,))
    )
    assert len(hypothesis.choices) >= 3
    for length, choice in enumerate(hypothesis.choices):
        probabilities = script(0, tuple(hypothesis.token_ids[:length]))
        assert choice.entropy == pytest.approx(entropy_of(probabilities), rel=1e-4)
        assert choice.end_probability == pytest.approx(probabilities[END_ID], rel=1e-4)


@pytest.mark.parametrize("seed", range(10))
def test_drawing_with_next_to_no_temperature_is_greedy_search(seed: int) -> None:
    script = random_script(seed, SIZE)
    greedy = run(script, 3, beam_size=1, max_length=6)
    drawn = run(script, 3, temperature=1e-4, max_length=6, seed=seed)
    assert [[h.token_ids for h in found] for found in drawn] == [
        [h.token_ids for h in found] for found in greedy
    ]
    assert [found[0].score for found in drawn] == [found[0].score for found in greedy]


@pytest.mark.slow
def test_words_are_sampled_as_likely_as_the_model_thinks() -> None:
    script = table_script({(): {A: 0.5, B: 0.3, C: 0.15, UNK_ID: 0.05}})
    shares = _first_words(script, temperature=1.0)
    assert shares == pytest.approx({A: 0.5 / 0.95, B: 0.3 / 0.95, C: 0.15 / 0.95}, abs=0.04)


@pytest.mark.slow
def test_temperature_sharpens_and_flattens_what_is_drawn() -> None:
    script = table_script({(): {A: 0.8, B: 0.2}})
    assert _first_words(script, temperature=0.5)[A] == pytest.approx(16 / 17, abs=0.03)
    assert _first_words(script, temperature=2.0)[A] == pytest.approx(2 / 3, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("limits", [{"top_k": 2}, {"top_p": 0.7}])
def test_unlikely_words_are_not_sampled_when_they_are_cut_off(limits: dict[str, float]) -> None:
    script = table_script({(): {A: 0.5, B: 0.3, C: 0.15, D: 0.05}})
    assert _first_words(script, temperature=1.0, **limits) == pytest.approx(
        {A: 0.625, B: 0.375}, abs=0.04
    )


def _first_words(script: Script, **options: float) -> dict[int, float]:
    """Shares of the words that captions begin with, over 1,500 draws."""
    counts: Counter[int] = Counter()
    for seed in range(1500):
        counts[run(script, seed=seed, **options)[0][0].token_ids[0]] += 1
    return {token: count / 1500 for token, count in counts.items()}


@pytest.mark.parametrize("options", [{"temperature": 1.0}, {"diversity": 0.5}])
def test_several_captions_of_a_batch_are_those_of_each_photo_alone(
    options: dict[str, float],
) -> None:
    script = random_script(3, SIZE)
    chosen = {"num_captions": 4, "beam_size": 2, "max_length": 6, **options}
    together = run(script, 5, **chosen)
    for photo in range(5):
        (alone,) = run(lambda _, prefix, photo=photo: script(photo, prefix), **chosen)
        assert [h.token_ids for h in alone] == [h.token_ids for h in together[photo]]
        for hypothesis in together[photo]:
            assert_consistent(script, photo, hypothesis)


def test_the_same_seed_draws_the_same_captions_and_another_does_not() -> None:
    script = random_script(1, SIZE + 6)

    def drawn(seed: int) -> list[list[int]]:
        found = run(script, 1, SIZE + 6, temperature=1.0, num_captions=5, min_length=3, seed=seed)
        return [hypothesis.token_ids for hypothesis in found[0]]

    assert drawn(4) == drawn(4)
    assert drawn(4) != drawn(5)


@pytest.mark.parametrize(
    "options", [{}, {"diversity": 1.0}, {"temperature": 1.0}, {"diversity": 0.01, "beam_size": 4}]
)
@pytest.mark.parametrize("seed", range(5))
def test_captions_of_one_photo_differ_and_come_best_first(
    seed: int, options: dict[str, float]
) -> None:
    script = random_script(seed, SIZE)
    (found,) = run(script, num_captions=4, max_length=5, **options)
    assert 2 <= len(found) <= 4
    assert len({tuple(h.token_ids) for h in found}) == len(found)
    scores = [hypothesis.score for hypothesis in found]
    assert scores == sorted(scores, reverse=True)


def test_a_beam_is_as_wide_as_captions_are_wanted() -> None:
    script = random_script(2, SIZE)
    (wanted,) = run(script, beam_size=5, max_length=5)
    (found,) = run(script, beam_size=1, num_captions=5, max_length=5)
    assert [h.token_ids for h in found] == [h.token_ids for h in wanted]


def test_diversity_makes_a_later_caption_avoid_the_words_of_an_earlier_one() -> None:
    """The beam says the same but for its end; with diversity captions differ from the start."""
    table = {
        (): {A: 0.7, B: 0.3},
        (A,): {C: 0.55, D: 0.45},
        (B,): {C: 0.9, D: 0.1},
    }
    alike = run(table_script(table), num_captions=2, beam_size=2)[0]
    assert [h.token_ids for h in alike] == [[A, C], [A, D]]
    varied = run(table_script(table), num_captions=2, beam_size=1, diversity=1.0)[0]
    assert [h.token_ids for h in varied] == [[A, C], [B, C]]
    slightly = run(table_script(table), num_captions=2, beam_size=1, diversity=0.5)[0]
    assert [h.token_ids for h in slightly] == [[A, C], [A, D]]


def test_diversity_changes_how_captions_are_found_but_not_what_they_score() -> None:
    script = random_script(6, SIZE)
    for hypothesis in run(script, num_captions=3, diversity=2.0, max_length=5)[0]:
        assert_consistent(script, 0, hypothesis)
        length = len(hypothesis.choices) + 1
        assert hypothesis.score == pytest.approx(hypothesis.logprob / length)


@pytest.mark.parametrize(
    "options", [{"beam_size": 1}, {"beam_size": 3}, {"temperature": 1.0}, {"diversity": 1.0}]
)
def test_every_caption_begins_with_the_given_words_whatever_the_rules(
    options: dict[str, float],
) -> None:
    script = random_script(8, SIZE)
    decoder = ScriptedDecoder(script, SIZE)
    chosen = replace(PLAIN, num_captions=2, max_length=6, no_repeat_ngram=1, **options)
    constraints = TokenConstraints(prefix=(A, A, D), banned=(D, B))
    for photo, found in enumerate(search(decoder, decoder.state(3), chosen, constraints)):
        for hypothesis in found:
            assert hypothesis.token_ids[:3] == [A, A, D]
            assert set(hypothesis.token_ids[3:]) <= {C}
            assert_consistent(script, photo, hypothesis)


def test_a_caption_that_is_given_whole_is_only_scored() -> None:
    script = random_script(9, SIZE)
    decoder = ScriptedDecoder(script, SIZE)
    constraints = TokenConstraints(prefix=(C, A, A, END_ID))
    ((scored,),) = search(
        decoder, decoder.state(1), replace(PLAIN, beam_size=1, max_length=3), constraints
    )
    assert scored.token_ids == [C, A, A]
    assert scored.finished
    assert_consistent(script, 0, scored)
