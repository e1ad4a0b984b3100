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

from captioner.captions import Caption, CaptionError, Occlusion, Word

ALPHA = np.array([[0.123456, 0.2], [0.3, 0.376544]], np.float32)
DOG = Word("dog", 0.123456, (("cat", 0.05),), ALPHA)
CAPTION = Caption((DOG, replace(DOG, text="'s", known=False)), -0.123456, (2, 2), -4.5, True)
SCHEMA = json.loads((files("captioner") / "caption.schema.json").read_text(encoding="utf-8"))


def test_a_caption_becomes_json_that_reads_as_said() -> None:
    assert CAPTION.to_json() == {
        "caption": "dog's",
        "score": -0.1235,
        "logprob": -4.5,
        "perplexity": 4.4817,
        "finished": True,
        "grid": [2, 2],
        "words": [
            {
                "text": text,
                "known": known,
                "probability": 0.1235,
                "alternatives": [["cat", 0.05]],
                "alpha": [[0.12346, 0.2], [0.3, 0.37654]],
            }
            for text, known in (("dog", True), ("'s", False))
        ],
    }


def test_a_caption_comes_back_from_json_but_for_what_was_rounded() -> None:
    sent = json.dumps(CAPTION.to_json())
    back = Caption.from_json(json.loads(sent))
    assert back.to_json() == CAPTION.to_json()
    assert Caption.from_json(back.to_json()) == back
    assert back.words[0].alpha.dtype == np.float32
    assert back.words[1].known is False


def test_a_caption_comes_back_whole_from_a_pickle() -> None:
    assert pickle.loads(pickle.dumps(CAPTION)) == CAPTION


def test_captions_are_equal_if_all_of_them_is() -> None:
    other = replace(DOG, alpha=ALPHA[::-1])
    assert Caption((DOG,), -1.0, (2, 2), -1.0) == Caption((replace(DOG),), -1.0, (2, 2), -1.0)
    assert Caption((DOG,), -1.0, (2, 2), -1.0) != Caption((other,), -1.0, (2, 2), -1.0)
    assert replace(DOG, probability=0.5) != DOG
    assert len({DOG, replace(DOG), replace(DOG, text="cat")}) == 2


def test_the_json_is_what_the_schema_says_and_nothing_else_is() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA)
    validator.validate(CAPTION.to_json())
    for key in CAPTION.to_json():
        broken = CAPTION.to_json()
        del broken[key]
        assert not validator.is_valid(broken), key
    for key in CAPTION.to_json()["words"][0]:
        broken = CAPTION.to_json()
        del broken["words"][0][key]
        assert not validator.is_valid(broken), key
    assert not validator.is_valid({**CAPTION.to_json(), "score": 0.5})


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
    ],
)
def test_what_is_no_caption_is_refused(
    spoil: Callable[[Any], Any], code: str, message: str
) -> None:
    data = CAPTION.to_json()
    spoil(data)
    with pytest.raises(CaptionError, match=message) as caught:
        Caption.from_json(data)
    assert caught.value.code == code


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
