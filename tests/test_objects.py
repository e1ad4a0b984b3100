"""Objects are found in captions, and those that no reference mentions are counted."""

import numpy as np
import pytest

from tests.tiny_wordnet import write_wordnet
from train.objects import ObjectFinder, invented_counts, invented_scores
from train.wordnet import WordNet


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> ObjectFinder:
    return ObjectFinder(WordNet(write_wordnet(tmp_path_factory.mktemp("wordnet"))))


@pytest.mark.parametrize(
    ("caption", "objects"),
    [
        ("A dog and two dogs chase a dog .", ["dog", "dogs"]),
        ("a white truck", ["truck"]),
        ("a man at a table", ["man", "table"]),
        ("a picture of a street", []),
        ("an animal with paws", []),
        ("a fire hydrant on fire", ["fire_hydrant"]),
        ("a small white dog", ["dog"]),
        ("apples under blossoms", ["apples"]),
        ("", []),
    ],
)
def test_objects_are_nouns_for_things_but_not_places_parts_or_vague_words(
    finder: ObjectFinder, caption: str, objects: list[str]
) -> None:
    assert [thing.text for thing in finder.objects(caption)] == objects


@pytest.mark.parametrize(
    ("caption", "reference"),
    [
        ("a dog", "Dogs ."),
        ("a dog", "a domestic dog"),
        ("a dog", "a bloodhound"),
        ("a bloodhound", "a dog"),
        ("a bike", "a bicycle"),
        ("a motorcycle", "a bike"),
        ("a truck", "a fire engine"),
        ("a vehicle", "a fire engine"),
        ("a man", "a skateboarder"),
        ("a man", "People in the street"),
        ("a man", "he jumps"),
        ("a dog", "a dog show"),
    ],
)
def test_a_reference_mentions_the_word_a_synonym_or_a_kind_either_way(
    finder: ObjectFinder, caption: str, reference: str
) -> None:
    (thing,) = finder.objects(caption)
    assert finder.mentions(["nothing", reference]).cover(thing)


@pytest.mark.parametrize(
    ("caption", "reference"),
    [
        ("a dog", "a wolf"),
        ("a dog", "a man"),  # though a dog may be a person to WordNet
        ("a man", "a dog"),
        ("a dog", "an animal"),
        ("a dog", "a hot dog"),
        ("a frump", "a dog"),
        ("a truck", "a container"),
        ("a motorcycle", "a bicycle"),
        ("a fire hydrant", "a fire"),
        ("a table", "a shirt"),
    ],
)
def test_other_things_and_vague_words_do_not_mention_it(
    finder: ObjectFinder, caption: str, reference: str
) -> None:
    (thing,) = finder.objects(caption)
    assert not finder.mentions([reference]).cover(thing)


def test_inventions_are_counted_by_photo(finder: ObjectFinder) -> None:
    mentions = {
        "a": finder.mentions(["a man on a bike", "a street"]),
        "b": finder.mentions(["a wolf"]),
    }
    captions = {"b": "a dog at a table", "a": "a man in a shirt on a street"}
    counts = invented_counts(finder, mentions, captions)
    assert counts.tolist() == [[2, 2], [2, 1]]


def test_inventions_are_per_caption_per_photo_and_per_object() -> None:
    found = invented_scores(np.array([[2.0, 2], [2, 0], [0, 0], [1, 1]]), 0, 0)
    assert found["objects"] == 5
    names = ("per_caption", "captions", "objects_share")
    assert [found[name]["value"] for name in names] == pytest.approx([3 / 4, 2 / 4, 3 / 5])
