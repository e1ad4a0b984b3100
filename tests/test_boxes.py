"""Phrases and boxes: whose words they are, and which regions of a view they cover."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captioner.vocabulary import tokenize
from train.boxes import Box, Coverage, Phrase, box_coverage, read_phrases
from train.data import MIRRORED, UPRIGHT, CaptionedPhoto, Placement

WORDS_ALONE = partial(tokenize, keep_punctuation=False)
LEFT_HALF = Box(0.0, 0.0, 0.5, 1.0)
CAPTION = "A dog 's t-shirt , worn by the man-in-black ."
ANNOTATED: dict[str, Any] = {
    "words": ["A", "dog's", "t", "-", "shirt", ",", "worn", "by", "the", "man-in", "-black", "."],
    "phrases": [[0, 4, [[0.0, 0.0, 0.5, 1.0]]], [8, 10, [[0.5, 0.5, 1.0, 1.0], [0, 0, 1, 1]]]],
}


def write(path: Path, captions: list[Any], name: str = "1.jpg") -> Path:
    photo = {"width": 4, "height": 3, "captions": captions}
    path.write_text(json.dumps({name: photo}), encoding="utf-8")
    return path


def named(phrase: Phrase, text: str, keep_punctuation: bool) -> list[str]:
    return tokenize(text, keep_punctuation)[phrase.first : phrase.last + 1]


@pytest.mark.parametrize("keep_punctuation", [False, True])
def test_annotators_words_are_matched_with_ours(keep_punctuation: bool, tmp_path: Path) -> None:
    """They cut at apostrophes and hyphens elsewhere, and count punctuation marks."""
    path = write(tmp_path / "entities.json", [ANNOTATED])
    photos = [CaptionedPhoto("1.jpg", (CAPTION,))]
    ((phrases,),) = read_phrases(
        path, photos, partial(tokenize, keep_punctuation=keep_punctuation)
    ).values()
    assert [named(phrase, CAPTION, keep_punctuation) for phrase in phrases] == [
        ["a", "dog", "'s", "t-shirt"],
        ["the", "man-in-black"],
    ]
    assert phrases[0].boxes == (LEFT_HALF,)
    assert phrases[1].boxes == (Box(0.5, 0.5, 1, 1), Box(0, 0, 1, 1))


def test_captions_are_known_by_their_letters_in_whatever_order(tmp_path: Path) -> None:
    other = {"words": ["Two", "men", "!"], "phrases": [[0, 1, [[0.1, 0.2, 0.3, 0.4]]]]}
    path = write(tmp_path / "entities.json", [other, ANNOTATED])
    texts = (CAPTION, "an unknown caption", "two  MEN .")
    found = read_phrases(path, [CaptionedPhoto("1.jpg", texts)], WORDS_ALONE)
    assert [len(phrases) for phrases in found["1.jpg"]] == [2, 0, 1]
    assert found["1.jpg"][2] == (Phrase(0, 1, (Box(0.1, 0.2, 0.3, 0.4),)),)


def test_a_phrase_of_punctuation_alone_names_nothing(tmp_path: Path) -> None:
    entry = {"words": ["a", "&", "b"], "phrases": [[1, 1, [[0, 0, 1, 1]]], [2, 2, [[0, 0, 1, 1]]]]}
    path = write(tmp_path / "entities.json", [entry])
    found = read_phrases(path, [CaptionedPhoto("1.jpg", ("a & b",))], tokenize)
    assert [(phrase.first, phrase.last) for phrase in found["1.jpg"][0]] == [(2, 2)]


def test_photos_without_annotations_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "entities.json", [ANNOTATED])
    photos = [CaptionedPhoto("2.jpg", (CAPTION,))]
    assert read_phrases(path, photos, WORDS_ALONE) == {}


@pytest.mark.parametrize(
    "captions",
    [
        [{"words": ["a"]}],
        [{"words": ["a"], "phrases": [[0, 1, [[0, 0, 1, 1]]]]}],  # there is no word 1
        [{"words": ["a"], "phrases": [[0, 0]]}],
        [{"words": ["a"], "phrases": [[0, 0, [[0, 0, 1]]]]}],
        [{"words": ["a"], "phrases": [[0, 0, [["x", 0, 1, 1]]]]}],
        ["a"],
    ],
)
def test_a_file_of_another_format_is_refused(captions: list[Any], tmp_path: Path) -> None:
    path = write(tmp_path / "entities.json", captions)
    with pytest.raises(ValueError, match=r"entities.json must hold, by photo name"):
        read_phrases(path, [CaptionedPhoto("1.jpg", ("a",))], WORDS_ALONE)


def test_a_file_that_is_no_json_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "entities.json").write_text("<annotation/>")
    with pytest.raises(ValueError, match="must hold, by photo name"):
        read_phrases(tmp_path / "entities.json", [], WORDS_ALONE)
    with pytest.raises(FileNotFoundError, match="no such file of phrase boxes"):
        read_phrases(tmp_path / "gone.json", [], WORDS_ALONE)


def turned_by_90_degrees() -> Placement:
    """The photo's top comes to lie on the right."""
    return (0.0, -1.0, 1.0), (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("box", "placement", "wanted"),
    [
        (LEFT_HALF, UPRIGHT, [[1, 1, 0, 0], [1, 1, 0, 0]]),
        (LEFT_HALF, MIRRORED, [[0, 0, 1, 1], [0, 0, 1, 1]]),
        (LEFT_HALF, turned_by_90_degrees(), [[1, 1, 1, 1], [0, 0, 0, 0]]),
        (Box(0.0, 0.0, 0.375, 0.25), UPRIGHT, [[0.5, 0.25, 0, 0], [0, 0, 0, 0]]),
        (LEFT_HALF, ((2.0, 0.0, 0.0), (0.0, 2.0, -1.0)), [[1, 1, 1, 1], [1, 1, 1, 1]]),
    ],
    ids=["upright", "mirrored", "turned", "part", "enlarged"],
)
def test_a_box_covers_the_regions_it_lies_on(
    box: Box, placement: Placement, wanted: list[list[float]]
) -> None:
    np.testing.assert_allclose(box_coverage((box,), (2, 4), placement), wanted)


def test_boxes_are_covered_together_and_once() -> None:
    boxes = (Box(0, 0, 0.5, 0.5), Box(0, 0, 0.5, 0.5), Box(0.5, 0.5, 1, 1))
    np.testing.assert_allclose(box_coverage(boxes, (2, 2)), [[1, 0], [0, 1]])


def moved_right(share: float) -> Placement:
    return (1.0, 0.0, share), (0.0, 1.0, 0.0)


def test_a_thing_that_hardly_shows_any_more_is_not_there() -> None:
    box = (Box(0.5, 0.0, 1.0, 1.0),)
    assert box_coverage(box, (2, 2), moved_right(0.34)).any()  # 32 % of it shows
    assert not box_coverage(box, (2, 2), moved_right(0.36)).any()  # 28 %
    assert not box_coverage((Box(0.5, 0.5, 0.5, 0.9),), (2, 2)).any()  # no box at all


def test_a_tiny_box_covers_something_of_one_region() -> None:
    coverage = box_coverage((Box(0.601, 0.101, 0.602, 0.102),), (3, 3))
    assert np.argwhere(coverage > 0).tolist() == [[0, 1]]


def coverage_of(whole_phrases: bool, length: int = 6) -> list[list[float]]:
    phrase = Phrase(1, 3, (Box(0.0, 0.0, 0.25, 1.0),))
    hidden = Phrase(4, 4, (Box(2.0, 0.0, 3.0, 1.0),))
    cover = Coverage({"1.jpg": [(), (phrase, hidden)]}, (1, 2), whole_phrases)
    return cover("1.jpg", 1, length, UPRIGHT).tolist()


def test_the_last_word_of_a_phrase_or_all_of_them_are_about_its_boxes() -> None:
    """Half a region is covered; the best one counts as 1."""
    there, nothing = [1.0, 0.0], [0.0, 0.0]
    assert coverage_of(False) == [nothing] * 3 + [there] + [nothing] * 2
    assert coverage_of(True) == [nothing] + [there] * 3 + [nothing] * 2


def test_the_end_of_a_caption_that_was_cut_is_about_nothing() -> None:
    """It took the place of a phrase's word, and was once supervised in its stead."""
    there, nothing = [1.0, 0.0], [0.0, 0.0]
    assert coverage_of(True, length=4) == [nothing, there, there, nothing]
    assert coverage_of(False, length=4) == [nothing] * 4
    assert coverage_of(False, length=2) == [nothing] * 2


def test_of_an_unknown_photo_nothing_is_known() -> None:
    covered = Coverage({}, (2, 3))("1.jpg", 0, 4, UPRIGHT)
    assert covered.shape == (4, 6)
    assert not covered.any()
