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


NOUNS = [["dog", "dogs", "a"], ["hot dog", "hot dogs", "a"], ["ice", "ice", "some"]]
"""Of three classes."""
NAMES = ["dog", "dogs", "hot dog", "hot dogs", "ice"]


def test_a_phrase_that_is_frequent_enough_is_one_word() -> None:
    texts = ["A hot dog.", "two hot dogs", "a hot dog stand", "a hot dog stand", "a hot day"]
    phrases = ["hot dog", "hot dogs", "hot dog stand", "ice cream"]
    vocabulary = Vocabulary.build(texts, 2, keep_punctuation=False, phrases=phrases)
    assert vocabulary.words[len(SPECIALS) :] == ("a", "hot", "hot dog stand")
    # One hot dog and two hot dogs alone are rare; their words are counted one by one.
    assert vocabulary.tokenize("A hot dog stand") == ["a", "hot dog stand"]
    assert vocabulary.tokenize("A hot dog") == ["a", "hot", "dog"]
    every = Vocabulary.build(texts, 1, keep_punctuation=False, phrases=phrases)
    assert {"hot dog", "hot dogs", "hot dog stand"} < set(every.words)
    assert "ice cream" not in every
    assert "dog" not in every
    assert Vocabulary.build(texts, 2).words == Vocabulary.build(texts, 2, phrases=[]).words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a hot dog stand", ["a", "hot dog stand"]),
        ("a hot dog stands", ["a", "hot dog", "stands"]),
        ("HOT DOG hot dog", ["hot dog", "hot dog"]),
        ("a hot hot dog", ["a", "hot", "hot dog"]),
        ("hot", ["hot"]),
        ("a stand dog", ["a", "stand", "dog"]),
        ("dog stand by day", ["dog stand by day"]),
        ("dog stand by hot dog", ["dog", "stand", "by", "hot dog"]),
    ],
)
def test_text_is_split_into_the_longest_phrases(text: str, words: list[str]) -> None:
    vocabulary = Vocabulary(["hot dog", "a", "hot dog stand", "dog stand by day"])
    assert vocabulary.tokenize(text) == words


def test_a_phrase_has_one_id_and_is_decoded_and_joined_as_it_was_written() -> None:
    vocabulary = Vocabulary(NAMES)
    ids = vocabulary.encode("Hot dogs, dog")
    assert ids == [START_ID, vocabulary.id_of("hot dogs"), UNK_ID, vocabulary.id_of("dog"), END_ID]
    assert vocabulary.decode([ids[1], ids[3], END_ID]) == ["hot dogs", "dog"]
    assert detokenize(["a", "hot dog"]) == "a hot dog"


@pytest.mark.parametrize(
    "word", ["hot  dog", " dog", "dog ", "hot\tdog", "hot\u2028dog", "a b c d e"]
)
def test_a_phrase_has_single_spaces_and_few_parts(word: str) -> None:
    """A vocabulary of a hundred thousand long phrases took 400 MB."""
    with pytest.raises(ValueError, match="at most 4 parts with single spaces between them"):
        Vocabulary([word])
    assert Vocabulary(["a b c d"]).words[-1] == "a b c d"


def test_nouns_of_classes_survive_json() -> None:
    vocabulary = Vocabulary(NAMES, class_nouns=NOUNS)
    data = json.loads(json.dumps(vocabulary.to_json()))
    assert data["class_nouns"] == NOUNS
    again = Vocabulary.from_json(data)
    assert again.class_nouns == vocabulary.class_nouns
    assert [tuple(noun) for noun in again.class_nouns] == [tuple(noun) for noun in NOUNS]
    assert again.class_nouns[1].plural == "hot dogs"
    assert [again.article_of(word) for word in ("hot dog", "ice", "dogs", "yak")] == [
        "a", "some", None, None,
    ]  # fmt: skip


def test_a_vocabulary_without_classes_has_the_json_it_always_had() -> None:
    data = {"words": ["dog"], "keep_punctuation": False}
    vocabulary = Vocabulary.from_json(data)
    assert vocabulary.class_nouns == ()
    assert vocabulary.to_json() == data


HOSTILE_NOUNS = [
    5, "dog", {}, {"0": NOUNS[0]}, [5], ["dog"], [None], [{"singular": "dog"}],
    [[]], [["dog", "dogs"]], [[*NOUNS[0], "a"]], [["dog", "dogs", 5]], [["dog", None, "a"]],
    [["dog", ["dogs"], "a"]], [["dog", "yaks", "a"]], [["yak", "dogs", "a"]], [["dog", "dogs", ""]],
    [["dog", "dogs", "the"]], [["dog", "dogs", "A"]], [["<unk>", "dogs", "a"]],
    [*NOUNS, ["dog", "<pad>", "a"]],
]  # fmt: skip


@pytest.mark.parametrize("nouns", HOSTILE_NOUNS)
def test_nouns_that_are_none_are_refused(nouns: Any) -> None:
    data = {"words": NAMES, "keep_punctuation": True, "class_nouns": nouns}
    with pytest.raises(ValueError, match="class"):
        Vocabulary.from_json(data)


def test_too_many_classes_are_refused() -> None:
    """Those after the first 100,000 were left out without a word."""
    with pytest.raises(ValueError, match="nouns for at most 100000 classes, got 100001"):
        Vocabulary(NAMES, class_nouns=NOUNS[:1] * 100_001)
