"""Searches against scripted decoders: the best captions, and each word with its own attention."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from captioner.decoding import (
    NUM_ALTERNATIVES,
    Caption,
    DecodingOptions,
    Hypothesis,
    Word,
    beam_search,
    block_repeated_ngrams,
    greedy_search,
    search,
)
from captioner.vocabulary import END_ID, PAD_ID, SPECIALS, START_ID, UNK_ID
from tests.scripted_decoder import (
    NUM_POSITIONS,
    A,
    B,
    C,
    D,
    Script,
    ScriptedDecoder,
    position_of,
    random_script,
    table_script,
)

SIZE = len(SPECIALS) + 4


PLAIN = DecodingOptions(length_penalty=1.0, no_repeat_ngram=0)
"""Decoding as the models' scripts are written for: without the rules that only captions need."""


def run(script: Script, num_photos: int = 1, size: int = SIZE, **options: float):
    decoder = ScriptedDecoder(script, size)
    chosen = replace(PLAIN, **options)  # pyright: ignore[reportArgumentType]
    return search(decoder, decoder.state(num_photos), num_photos, chosen)


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


def assert_consistent(script: Script, photo: int, hypothesis: Hypothesis) -> None:
    """Each word has the probability, alpha and rivals of its own prefix; the sum is the total."""
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
        total += choice.logprob
        prefix = (*prefix, choice.token_id)
    if hypothesis.finished:
        total += math.log(script(photo, prefix)[END_ID])
    assert hypothesis.logprob == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("no_repeat_ngram", [0, 2])
def test_a_beam_of_one_is_greedy_search(seed: int, no_repeat_ngram: int) -> None:
    decoder = ScriptedDecoder(random_script(seed, SIZE), SIZE)
    options = replace(
        PLAIN, beam_size=1, max_length=6, min_length=seed % 4, no_repeat_ngram=no_repeat_ngram
    )
    greedy = greedy_search(decoder, decoder.state(3), 3, options)
    beam = beam_search(decoder, decoder.state(3), 3, options)
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
def test_a_wide_beam_finds_what_exhaustive_search_finds(
    seed: int, length_penalty: float, num_words: int, max_length: int, min_length: int
) -> None:
    """A beam of 100 holds all continuations: 16 * 5 = 80 of four words, 32 * 3 = 96 of two."""
    size = len(SPECIALS) + num_words
    script = random_script(seed, size)
    options = replace(
        PLAIN,
        beam_size=100,
        max_length=max_length,
        min_length=min_length,
        length_penalty=length_penalty,
    )
    decoder = ScriptedDecoder(script, size)
    found = beam_search(decoder, decoder.state(2), 2, options)
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
    monkeypatch.setattr("captioner.decoding._is_settled", lambda *_: False)
    patient = run(script, 3, **chosen)
    assert [[h.token_ids for h in hypotheses] for hypotheses in early] == [
        [h.token_ids for h in hypotheses] for hypotheses in patient
    ]


def test_a_search_stops_when_nothing_better_can_come() -> None:
    steps = []

    def script(photo: int, prefix: tuple[int, ...]) -> dict[int, float]:
        steps.append(len(prefix))
        return {END_ID: 0.9, A: 0.1} if prefix else {A: 0.5, B: 0.5}

    run(script, beam_size=2, max_length=50, length_penalty=0)
    assert max(steps) < 5


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("beam_size", [1, 2, 5])
def test_each_word_keeps_its_own_attention_and_rivals_when_beams_change_places(
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
    assert hypotheses == [Hypothesis((), 0.0, 0.0, False)]


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


def test_the_rule_on_runs_blocks_just_the_word_that_would_complete_one() -> None:
    token_ids = torch.tensor([[A, B, A], [A, A, B]])
    blocked = block_repeated_ngrams(torch.zeros(2, SIZE), token_ids, n=2).isinf()
    assert blocked.nonzero().tolist() == [[0, B]]


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
    ],
)
def test_an_option_out_of_range_is_refused_by_name(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match="^" + message.replace(".", r"\.") + "$"):
        replace(DecodingOptions(), **{name: value})  # pyright: ignore[reportArgumentType]


def test_a_caption_becomes_json_that_reads_as_said() -> None:
    alpha = np.array([[0.123456, 0.2], [0.3, 0.376544]], np.float32)
    word = Word("dog", 0.123456, (("cat", 0.05),), alpha)
    caption = Caption((word, replace(word, text="'s")), -0.123456, (2, 2))
    assert caption.to_json() == {
        "caption": "dog's",
        "score": -0.1235,
        "grid": [2, 2],
        "words": [
            {
                "text": text,
                "probability": 0.1235,
                "alternatives": [["cat", 0.05]],
                "alpha": [[0.12346, 0.2], [0.3, 0.37654]],
            }
            for text in ("dog", "'s")
        ],
    }
