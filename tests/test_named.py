"""A caption names a thing by its class or by a kind that it is of, and sees dogs or not."""

from pathlib import Path

import pytest

from tests.tiny_wordnet import write_wordnet
from train.named import NamedPhoto, Namer, named_scores, read_labels
from train.wordnet import WordNet

TENCH, BLOODHOUND, FIRE_ENGINE, WILD_DOG, WOLF = (
    *("n01440764", "n02088466", "n03345487"),
    *("n02115335", "n02123000"),
)
HERMIT_CRAB, HOT_DOG, SHIPPING_CONTAINER = "n02021000", "n07697537", "n03405000"


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    return WordNet(write_wordnet(tmp_path_factory.mktemp("wordnet")))


@pytest.fixture(scope="module")
def namer(wordnet: WordNet) -> Namer:
    return Namer(wordnet)


@pytest.mark.parametrize(
    ("caption", "synset"),
    [
        ("A tench .", TENCH),
        ("a tinca tinca in the water", TENCH),
        ("two dogs in the grass", BLOODHOUND),
        ("a fire truck on the street", FIRE_ENGINE),
        ("two firetrucks", FIRE_ENGINE),
        ("red fire engines", FIRE_ENGINE),
        ("a big truck", FIRE_ENGINE),
        ("a vehicle", FIRE_ENGINE),
        ("a pack of wolves", WOLF),
        ("a crab", HERMIT_CRAB),
        ("hot dogs", HOT_DOG),
    ],
)
def test_a_thing_is_named_by_its_class_or_a_kind_that_it_is_of(
    namer: Namer, caption: str, synset: str
) -> None:
    assert namer.says_its_name(caption, synset)


@pytest.mark.parametrize(
    ("caption", "synset"),
    [
        ("a dog", TENCH),
        ("a fish", TENCH),  # six levels above it
        ("an animal", BLOODHOUND),
        ("a mammal", BLOODHOUND),
        ("a container", FIRE_ENGINE),
        ("an artifact", FIRE_ENGINE),
        ("a fire near an engine", FIRE_ENGINE),
        ("a bloodhound", WOLF),  # a dog is not what a wolf is a kind of
        ("a dog", HOT_DOG),
        ("a container", SHIPPING_CONTAINER),
        ("", TENCH),
    ],
)
def test_what_is_vague_far_above_or_something_else_does_not_name_it(
    namer: Namer, caption: str, synset: str
) -> None:
    assert not namer.says_its_name(caption, synset)


@pytest.mark.parametrize("caption", ["two dogs run", "a bloodhound", "two little dogs", "a doggy"])
def test_a_word_for_any_kind_of_dog_says_dog(namer: Namer, caption: str) -> None:
    assert namer.says_dog(caption)


@pytest.mark.parametrize("caption", ["a wolf", "a frump", "a dogma", "a mammal", "hot dogs"])
def test_other_words_say_no_dog(namer: Namer, caption: str) -> None:
    assert not namer.says_dog(caption)


def test_shares_are_of_all_photos_and_of_those_without_a_dog(wordnet: WordNet) -> None:
    photos = [
        NamedPhoto("a", BLOODHOUND),
        NamedPhoto("b", BLOODHOUND),
        NamedPhoto("c", TENCH),
        NamedPhoto("d", FIRE_ENGINE),
        NamedPhoto("e", WILD_DOG),
    ]
    captions = {"a": "a dog", "b": "a man", "c": "a dog", "d": "a truck", "e": "a wolf"}
    found = named_scores(photos, captions, wordnet, 0, 0)
    assert (found["photos"], found["beyond_dogs"]) == (5, 3)
    shares = ("named", "named_beyond_dogs", "false_dogs")
    assert [found[name]["value"] for name in shares] == pytest.approx([2 / 5, 1 / 3, 1 / 3])


def test_where_every_photo_has_a_dog_nothing_is_said_of_others(wordnet: WordNet) -> None:
    found = named_scores([NamedPhoto("a", BLOODHOUND)], {"a": "a dog"}, wordnet, 10, 0)
    assert found["named"]["value"] == 1
    assert found["false_dogs"] == {"value": None, "low": None, "high": None}


def test_labels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('photo,class,synset,label\na.webp,0,n01440764,tench\nb.webp,1,n02,"a, b"\n')
    assert read_labels(path) == [NamedPhoto("a.webp", "n01440764"), NamedPhoto("b.webp", "n02")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("photo,synset\na.webp,n01440764\n", "must begin with"),
        ("", "must begin with"),
        ("photo,class,synset,label\na.webp,0,,tench\n", "line 2 lacks"),
        ("photo,class,synset,label\na.webp,0\n", "line 2 lacks"),
    ],
)
def test_labels_without_what_is_needed_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_labels(path)


def test_labels_that_are_missing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file of labels"):
        read_labels(tmp_path / "labels.csv")
