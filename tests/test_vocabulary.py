"""Text to token ids and back."""

import json
from typing import Any

import pytest

from captioner.vocabulary import (
    END_ID,
    PAD_ID,
    SPECIALS,
    START_ID,
    UNK_ID,
    Vocabulary,
    detokenize,
    tokenize,
)

CAPTIONS = ("A dog runs .", "a Dog sleeps .", "A cat")


def test_special_tokens_have_the_first_four_ids() -> None:
    vocabulary = Vocabulary(["dog"])
    assert vocabulary.words == (*SPECIALS, "dog")
    assert [vocabulary.words[i] for i in (PAD_ID, START_ID, END_ID, UNK_ID)] == list(SPECIALS)
    assert len(vocabulary) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Two dogs run.", ["two", "dogs", "run", "."]),
        ("A man's T-shirt", ["a", "man", "'s", "t-shirt"]),
        ("", []),
        ("<sos> <eos>", ["<", "sos", ">", "<", "eos", ">"]),
    ],
)
def test_text_is_split_into_lower_case_words(text: str, words: list[str]) -> None:
    assert tokenize(text) == words


def test_punctuation_is_dropped_on_demand_but_not_the_apostrophe_of_a_word() -> None:
    assert tokenize('The dog\'s "ball" , 2 !', keep_punctuation=False) == [
        "the", "dog", "'s", "ball", "2",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["a man's dog, and a cat.", "they don't run", "2 t-shirts"])
def test_splitting_and_joining_gives_the_text_back(text: str) -> None:
    assert detokenize(tokenize(text)) == text


def test_words_are_numbered_by_frequency_and_then_by_alphabet() -> None:
    assert Vocabulary.build(CAPTIONS, min_frequency=1).words[len(SPECIALS) :] == (
        "a", ".", "dog", "cat", "runs", "sleeps",
    )  # fmt: skip


def test_words_seen_too_seldom_are_left_out() -> None:
    assert Vocabulary.build(CAPTIONS, min_frequency=2).words[len(SPECIALS) :] == ("a", ".", "dog")
    plain = Vocabulary.build(CAPTIONS, min_frequency=2, keep_punctuation=False)
    assert plain.words[len(SPECIALS) :] == ("a", "dog")


def test_a_minimum_frequency_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="min_frequency must be at least 1, got 0"):
        Vocabulary.build(CAPTIONS, min_frequency=0)


def test_a_caption_is_encoded_from_start_to_end_with_unknown_words_marked(
    vocabulary: Vocabulary,
) -> None:
    dog, runs = vocabulary.words.index("dog"), vocabulary.words.index("runs")
    assert vocabulary.encode("Dog RUNS quickly") == [START_ID, dog, runs, UNK_ID, END_ID]
    assert "dog" in vocabulary
    assert "quickly" not in vocabulary


def test_decoding_stops_at_the_end_and_skips_padding(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode("the dog sleeps")
    assert vocabulary.decode([PAD_ID, *ids, ids[1], PAD_ID]) == ["the", "dog", "sleeps"]
    assert vocabulary.decode([UNK_ID]) == ["<unk>"]


@pytest.mark.parametrize("words", [["dog", "dog"], ["<unk>"]])
def test_a_word_that_stands_twice_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=f"{words[0]!r} twice"):
        Vocabulary(words)


@pytest.mark.parametrize("keep_punctuation", [True, False])
def test_a_vocabulary_survives_json(keep_punctuation: bool) -> None:
    vocabulary = Vocabulary(["dog", "café", "."], keep_punctuation)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again.words == vocabulary.words
    assert again.encode("dog . café") == vocabulary.encode("dog . café")
    assert len(again.encode(".")) == (3 if keep_punctuation else 2)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"words": "dog", "keep_punctuation": True},
        {"words": ["dog", 3], "keep_punctuation": True},
        {"words": ["dog"], "keep_punctuation": "yes"},
        {"words": ["dog", "dog"], "keep_punctuation": True},
    ],
)
def test_other_json_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary.from_json(data)
