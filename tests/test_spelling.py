"""Misspelled words of the train captions: which are corrected, into what, and where."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from captioner import Vocabulary
from captioner.vocabulary import UNK_ID
from tests.colour_walls import common
from train.batches import Flickr30kDataset, build_dataset
from train.config import FitConfig, PrepareConfig
from train.data import MIRRORED, CaptionedPhoto, View
from train.features import build_vocabulary
from train.fit import build_model
from train.refine import Reward
from train.sets import load_split
from train.spelling import correct, find_misspellings

COMMON = ["A man on the right .", "the man is standing", "the man is walking", "a brown dog"] * 5
RARE = [
    "a man standding",  # one letter too many
    "a brwon dog",  # two letters swapped
    "a brown doog walkinng",
    "the mna",  # too short
    "a st4nding man",  # not letters alone
    "a mane",  # in the dictionary
    "a marn",  # "man" is more frequent than "barn"
    "a barn",
    "a wakling walrus",  # one in no dictionary, one in it
    "a xylopohne",  # "xylophone" is in no caption
]
VOCABULARY = Vocabulary.build([*COMMON, *RARE], min_frequency=5, keep_punctuation=False)


def test_a_rare_word_that_no_dictionary_has_becomes_the_frequent_one_it_is_nearly() -> None:
    assert find_misspellings([*COMMON, *RARE], VOCABULARY) == {
        "standding": "standing",
        "brwon": "brown",
        "doog": "dog",
        "walkinng": "walking",
        "wakling": "walking",
        "marn": "man",
    }


def test_of_several_words_that_could_be_meant_it_is_the_most_frequent() -> None:
    captions = ["a hat"] * 3 + ["a cat"] * 4 + ["a bat"] * 4 + ["a haat", "a caat", "a vat"]
    vocabulary = Vocabulary(["a", "hat", "cat", "bat", "vat"], False)
    assert find_misspellings(captions, vocabulary) == {"haat": "hat", "caat": "cat"}
    captions = ["sand here"] * 3 + ["hand here"] * 5 + ["a xand"]
    vocabulary = Vocabulary(["sand", "hand", "here", "a"], False)
    assert find_misspellings(captions, vocabulary) == {"xand": "hand"}


@pytest.mark.slow
def test_corrections_change_no_words_of_the_vocabulary() -> None:
    captions = [*COMMON, *RARE]
    corrected = [correct(text, find_misspellings(captions, VOCABULARY)) for text in captions]
    again = Vocabulary.build(corrected, min_frequency=5, keep_punctuation=False)
    assert set(again.words) == set(VOCABULARY.words)
    assert find_misspellings(corrected, again) == {}


def test_whole_words_are_corrected_in_any_case_and_the_rest_stays() -> None:
    text = 'Brwon, "brwon" dog.Brwon cat; brwons brwon-ish un-brwon brwon1 _brwon'
    wanted = 'brown, "brown" dog.brown cat; brwons brwon-ish un-brwon brwon1 _brwon'
    assert correct(text, {"brwon": "brown"}) == wanted
    assert correct(text, {}) == text


class Mirrored:
    """A source whose views are all mirrored."""

    left = None

    def view(self, name: str, generator: np.random.Generator) -> View:
        return View(torch.zeros(1), MIRRORED)


def test_a_misspelled_side_is_swapped_in_a_mirrored_photo() -> None:
    vocabulary = Vocabulary(["dog", "left", "right"], False)
    photos = [CaptionedPhoto("a.jpg", ("dog rigth",)), CaptionedPhoto("b.jpg", ("dog",))]
    fixed = {"rigth": "right"}
    dataset = Flickr30kDataset(photos, vocabulary, Mirrored(), misspellings=fixed)
    assert vocabulary.decode(dataset[0].captions[0].tolist()) == ["dog", "left"]
    reward = Reward(vocabulary, photos, fixed)
    said = torch.tensor([vocabulary.encode("dog left"), vocabulary.encode("dog right")])
    upright, mirrored = (reward(said, [("a.jpg", flag)])[0].tolist() for flag in (False, True))
    assert upright[1] > upright[0]
    assert mirrored == upright[::-1]


@pytest.mark.parametrize("on", [True, False])
def test_train_captions_are_corrected_if_wanted_and_val_captions_never(
    fit_config: FitConfig, data: Path, tmp_path: Path, on: bool
) -> None:
    """In what is taught alone: boxes are found by the captions' letters."""
    text = (data / "results.csv").read_text(encoding="utf-8")
    for name in ("0.jpg", "9.jpg"):  # of train, and of val
        text = text.replace(f"{name}| 0| a red wall", f"{name}| 0| a red walll")
        text = text.replace(f"{name}| 0| a green wall", f"{name}| 0| a green walll")
    (tmp_path / "results.csv").write_text(text, encoding="utf-8")
    config = replace(
        fit_config,
        captions=(tmp_path / "results.csv",),
        boxes=(data / "boxes.json",),
        correct_spelling=on,
        min_frequency=2,
    )
    settings = common(data) | {"captions": config.captions, "min_frequency": 2}
    model = build_model(
        config, build_vocabulary(PrepareConfig(**settings, features=tmp_path / "f"))
    )
    train_set, val_set = (
        build_dataset(config, load_split(config, split), model, split == "train", True)
        for split in ("train", "val")
    )
    assert (UNK_ID in train_set[0].captions[0]) == (not on)
    assert UNK_ID in val_set[1].captions[0]
    assert train_set.photos[0].captions[0] == "a red walll ."
