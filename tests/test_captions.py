"""Captions as plain data."""

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from captioner.captions import Caption, CaptionError, Ending, Occlusion, Word

ALPHA = np.array([[0.123456, 0.2], [0.3, 0.376544]], np.float32)
DOG = Word("dog", 0.123456, (("cat", 0.05),), ALPHA)
CAPTION = Caption((DOG, replace(DOG, text="'s", known=False)), -0.123456, (2, 2), -4.5, True)
POT = Word("coffee pot", 0.5, (("hot dog", 0.25),), ALPHA, True, 0.987654, 0.012345, 2.00004, 0.125)
END = Ending(0.765432, 0.500001, (("and", 0.1), ("on", 0.05)))
SEEN = Caption((POT, replace(POT, text="'s")), -0.5, (2, 2), -1.5, True, 0.666666, END)
"""Of a model that recognizes things, keeps training photos, and has words of several parts."""
LATER_KEYS = {"familiarity", "ending"}
LATER_WORD_KEYS = {"recognized", "blind", "entropy", "ending"}
"""What captions of the first version lack."""
SCHEMA = json.loads((files("captioner") / "caption.schema.json").read_text(encoding="utf-8"))


def test_a_caption_becomes_json_that_reads_as_said() -> None:
    assert CAPTION.to_json() == {
        "caption": "dog's",
        "score": -0.1235,
        "logprob": -4.5,
        "perplexity": 4.4817,
        "familiarity": None,
        "finished": True,
        "grid": [2, 2],
        "ending": None,
        "words": [
            {
                "text": text,
                "known": known,
                "probability": 0.1235,
                "recognized": 0.0,
                "blind": None,
                "entropy": None,
                "ending": None,
                "alternatives": [["cat", 0.05]],
                "alpha": [[0.12346, 0.2], [0.3, 0.37654]],
            }
            for text, known in (("dog", True), ("'s", False))
        ],
    }


def test_what_a_model_gives_beside_probabilities_is_in_the_json() -> None:
    data = SEEN.to_json()
    assert data["familiarity"] == 0.6667
    assert [(word["recognized"], word["blind"]) for word in data["words"]] == [(0.9877, 0.0123)] * 2
    assert [(word["entropy"], word["ending"]) for word in data["words"]] == [(2, 0.125)] * 2
    assert data["ending"] == {
        "probability": 0.7654,
        "entropy": 0.5,
        "alternatives": [["and", 0.1], ["on", 0.05]],
    }
    ends = replace(SEEN, familiarity=0, words=(replace(POT, recognized=1, blind=0),))
    back = Caption.from_json(ends.to_json())
    assert (back.familiarity, back.words[0].recognized, back.words[0].blind) == (0, 1, 0)


@pytest.mark.parametrize("caption", [CAPTION, SEEN], ids=str)
def test_a_caption_comes_back_from_json_but_for_what_was_rounded(caption: Caption) -> None:
    sent = json.dumps(caption.to_json())
    back = Caption.from_json(json.loads(sent))
    assert back.to_json() == caption.to_json()
    assert Caption.from_json(back.to_json()) == back
    assert back.words[0].alpha.dtype == np.float32
    assert [word.known for word in back.words] == [word.known for word in caption.words]


def test_a_caption_that_an_earlier_version_saved_is_read_and_fits_the_schema() -> None:
    data = SEEN.to_json()
    for part, keys in ((data, LATER_KEYS), *((word, LATER_WORD_KEYS) for word in data["words"])):
        for key in keys:
            del part[key]
    Draft202012Validator(SCHEMA).validate(data)
    back = Caption.from_json(data)
    assert (back.familiarity, back.ending) == (None, None)
    for word in back.words:
        assert (word.recognized, word.blind, word.entropy, word.ending) == (0, None, None, None)


@pytest.mark.parametrize("caption", [CAPTION, SEEN], ids=str)
def test_a_caption_comes_back_whole_from_a_pickle(caption: Caption) -> None:
    assert pickle.loads(pickle.dumps(caption)) == caption


def test_a_word_of_several_parts_is_one_word() -> None:
    assert str(SEEN) == "coffee pot's"
    unknown = replace(SEEN, words=(POT, replace(POT, text="moka pot", known=False)))
    assert unknown.unknown_words == ("moka pot",)
    assert [word.text for word in Caption.from_json(SEEN.to_json()).words] == ["coffee pot", "'s"]
    assert [item.word.text for item in SEEN.attention_at(0, 0)] == ["coffee pot", "'s"]


def test_captions_are_equal_if_all_of_them_is() -> None:
    other = replace(DOG, alpha=ALPHA[::-1])
    assert Caption((DOG,), -1.0, (2, 2), -1.0) == Caption((replace(DOG),), -1.0, (2, 2), -1.0)
    assert Caption((DOG,), -1.0, (2, 2), -1.0) != Caption((other,), -1.0, (2, 2), -1.0)
    for changes in (
        {"probability": 0.5},
        {"recognized": 0.5},
        {"blind": 0.0},
        {"entropy": 0.0},
        {"ending": 0.0},
    ):
        assert replace(DOG, **changes) != DOG
    assert replace(CAPTION, familiarity=0.0) != CAPTION
    assert replace(CAPTION, ending=END) != CAPTION
    assert len({DOG, replace(DOG), replace(DOG, text="cat"), replace(DOG, blind=0.0)}) == 3
    assert len({SEEN, replace(SEEN), replace(SEEN, familiarity=None)}) == 2


def test_the_json_is_what_the_schema_says_and_nothing_else_is() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    validator.validate(CAPTION.to_json())
    validator.validate(SEEN.to_json())
    assert CAPTION.to_json().keys() == SCHEMA["properties"].keys()
    word = SCHEMA["properties"]["words"]["items"]
    assert CAPTION.to_json()["words"][0].keys() == word["properties"].keys()
    for key in CAPTION.to_json().keys() - LATER_KEYS:
        broken = CAPTION.to_json()
        del broken[key]
        assert not validator.is_valid(broken), key
    for key in CAPTION.to_json()["words"][0].keys() - LATER_WORD_KEYS:
        broken = CAPTION.to_json()
        del broken["words"][0][key]
        assert not validator.is_valid(broken), key
    ending = SEEN.to_json()["ending"]
    for key, value in (
        ("score", 0.5),
        ("familiarity", 1.5),
        ("familiarity", "high"),
        ("ending", {}),
        ("ending", {**ending, "probability": None}),
        ("ending", {**ending, "entropy": -1}),
        ("ending", {**ending, "alternatives": [["and", 2]]}),
    ):
        assert not validator.is_valid({**CAPTION.to_json(), key: value}), key
    for key, value in (
        ("recognized", -0.1),
        ("recognized", None),
        ("blind", 1.1),
        ("entropy", -0.1),
        ("ending", 1.1),
        ("alternatives", [["cat"]]),
    ):
        broken = CAPTION.to_json()
        broken["words"][0][key] = value
        assert not validator.is_valid(broken), key


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (lambda data: data.pop("words"), "missing", "a caption needs 'words'"),
        (lambda data: data["words"][0].pop("alpha"), "missing", "a caption needs 'alpha'"),
        (
            lambda data: data.update(score="high"),
            "malformed",
            "not a caption's data: could not convert",
        ),
        (lambda data: data.update(grid=[2]), "malformed", "not a caption's data"),
        (lambda data: data.update(words=3), "malformed", "not a caption's data"),
        (
            lambda data: data.update(grid=[2, 3]),
            "alpha_shape",
            r"'dog' is of shape \(2, 2\), the .* \(2, 3\)",
        ),
        (
            lambda data: data.update(familiarity=1.5),
            "share",
            "familiarity must be from 0 to 1, got 1.5",
        ),
        (
            lambda data: data["words"][1].update(recognized=-0.1),
            "share",
            "recognized must be from 0 to 1, got -0.1",
        ),
        (
            lambda data: data["words"][0].update(blind=math.nan),
            "share",
            "blind must be from 0 to 1, got nan",
        ),
        (
            lambda data: data["words"][0].update(recognized=None),
            "malformed",
            "not a caption's data: float",
        ),
        (
            lambda data: data["words"][0].update(probability=math.inf),
            "share",
            "probability must be from 0 to 1, got inf",
        ),
        (
            lambda data: data["words"][1].update(alternatives=[["cat", -1]]),
            "share",
            "probability must be from 0 to 1, got -1.0",
        ),
        (
            lambda data: data["words"][0].update(entropy=-0.1),
            "entropy",
            "entropy must be at least 0 and finite, got -0.1",
        ),
        (
            lambda data: data["words"][0].update(ending=1.5),
            "share",
            "ending must be from 0 to 1, got 1.5",
        ),
        (
            lambda data: data["ending"].update(entropy=math.nan),
            "entropy",
            "entropy must be at least 0 and finite, got nan",
        ),
        (
            lambda data: data["ending"].update(probability=1.5),
            "share",
            "probability must be from 0 to 1, got 1.5",
        ),
        (lambda data: data["ending"].pop("entropy"), "missing", "a caption needs 'entropy'"),
        (lambda data: data.update(ending=0.5), "malformed", "not a caption's data"),
        (
            lambda data: data.update(familiarity=[0.5]),
            "malformed",
            "not a caption's data: float",
        ),
    ],
)
def test_what_is_no_caption_is_refused(
    spoil: Callable[[Any], Any], code: str, message: str
) -> None:
    data = replace(CAPTION, ending=END).to_json()
    spoil(data)
    with pytest.raises(CaptionError, match=message) as caught:
        Caption.from_json(data)
    assert caught.value.code == code


def test_data_read_back_is_written_the_same() -> None:
    for step in range(200):
        data = Caption((), -1.0, (2, 2), -(1 + step / 999_983), True).to_json()
        assert Caption.from_json(data).to_json() == data


def test_perplexity_is_one_over_the_mean_probability_of_words_and_end() -> None:
    logprob = math.log(0.5) + math.log(0.25) + math.log(0.125)
    ended = Caption((DOG, DOG), -1.0, (2, 2), logprob)
    assert ended.perplexity == pytest.approx(4)
    cut_off = Caption((DOG, DOG), -1.0, (2, 2), math.log(0.5) + math.log(0.25), False)
    assert cut_off.perplexity == pytest.approx(math.sqrt(8))
    assert Caption((), 0.0, (2, 2), 0.0, False).perplexity == 1


def test_unknown_words_are_listed() -> None:
    assert CAPTION.unknown_words == ("'s",)


@pytest.mark.parametrize(
    ("x", "y", "best"), [(0, 0, 1), (0.49, 0.49, 1), (0.5, 0, 0), (1, 1, 0), (0.2, 0.9, 1)]
)
def test_words_are_ranked_by_their_attention_to_a_place(x: float, y: float, best: int) -> None:
    left = replace(DOG, alpha=np.array([[0.5, 0.0], [0.5, 0.0]], np.float32))
    right = replace(DOG, alpha=np.array([[0.1, 0.4], [0.1, 0.4]], np.float32))
    ranked = Caption((right, left), -1.0, (2, 2), -1.0).attention_at(x, y)
    assert [item.position for item in ranked] == [best, 1 - best]
    assert ranked[0].attention == pytest.approx(0.5 if best else 0.4)
    assert ranked[0].word in (left, right)


@pytest.mark.parametrize(("x", "y"), [(-0.1, 0), (0, 1.1), (math.nan, 0)])
def test_a_place_off_the_photo_is_refused(x: float, y: float) -> None:
    with pytest.raises(ValueError, match=r"must be from 0 to 1 \(a share of the photo\), got"):
        CAPTION.attention_at(x, y)


def test_agreement_is_the_correlation_of_attention_and_drops() -> None:
    even = np.full((2, 2), 0.25, np.float32)
    caption = Caption((DOG, DOG, replace(DOG, alpha=even)), -1.0, (2, 2), -1.0)
    occlusion = Occlusion(caption, (ALPHA * 3 - 0.5, -ALPHA, ALPHA))
    assert occlusion.agreements == pytest.approx((1, -1, 0))
    assert occlusion.agreement == pytest.approx(0)
    assert occlusion.to_json()["agreements"] == [1.0, -1.0, 0.0]
    assert occlusion.to_json()["drops"][1] == [[-0.12346, -0.2], [-0.3, -0.37654]]
