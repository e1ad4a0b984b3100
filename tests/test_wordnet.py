"""WordNet's files are read as wndb(5WN) has them."""

from pathlib import Path

import pytest

from tests.tiny_wordnet import write_wordnet
from train.wordnet import WordNet


@pytest.fixture(scope="module")
def wordnet(tmp_path_factory: pytest.TempPathFactory) -> WordNet:
    return WordNet(write_wordnet(tmp_path_factory.mktemp("wordnet")))


def test_a_synset_has_its_lemmas_category_and_hypernyms(wordnet: WordNet) -> None:
    synset = wordnet.find("n02084071")
    assert synset.lemmas == ("dog", "domestic_dog")
    assert (synset.offset, synset.category, synset.hypernyms) == (2084071, "05", (1861778,))


def test_senses_come_in_the_files_order(wordnet: WordNet) -> None:
    assert [synset.category for synset in wordnet.senses("dog")] == ["05", "18"]
    assert wordnet.senses("unheard-of") == []


def test_levels_go_up_to_what_is_above_everything(wordnet: WordNet) -> None:
    levels = wordnet.levels(wordnet.find("n02087000"))
    names = [[synset.lemmas[0] for synset in level] for level in levels]
    assert names == [["hound"], ["dog"], ["mammal"], ["animal"], ["entity"]]
    assert wordnet.kinds_of(wordnet.find("n00015388")) == {15388, 1740}


@pytest.mark.parametrize(
    ("form", "lemmas"),
    [
        ("dogs", ["dog"]),
        ("fishes", ["fish"]),
        ("wolves", ["wolf"]),
        ("men", ["man"]),
        ("fire_trucks", ["fire_truck"]),
        ("dog", ["dog"]),
        ("entities", ["entity"]),
        ("running", []),
    ],
)
def test_plurals_have_their_singular(wordnet: WordNet, form: str, lemmas: list[str]) -> None:
    assert wordnet.lemmas(form) == lemmas


def test_a_word_that_texts_have_mostly_as_an_adjective_or_a_verb_is_no_noun(
    wordnet: WordNet,
) -> None:
    lemmas = ("dog", "street", "white", "fire")
    assert [wordnet.is_mostly_noun(lemma) for lemma in lemmas] == [True, True, False, False]


@pytest.mark.parametrize("synset_id", ["n00001741", "n99999999"])
def test_an_id_without_a_noun_is_refused(wordnet: WordNet, synset_id: str) -> None:
    assert not wordnet.has(synset_id)
    with pytest.raises(ValueError, match=f"WordNet has no noun {synset_id}"):
        wordnet.find(synset_id)


@pytest.mark.parametrize("synset_id", ["v00001740", "n1740", "dog.n.01", ""])
def test_what_is_no_id_is_refused(wordnet: WordNet, synset_id: str) -> None:
    with pytest.raises(ValueError, match="must be as n01440764"):
        wordnet.find(synset_id)


def test_a_folder_without_a_wordnet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no data\.noun in .*wordnet-base"):
        WordNet(tmp_path)
