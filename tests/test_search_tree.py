"""The tree of a beam search: what it considered at each step, and which of that is the caption."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from captioner import DecodingOptions, ImageCaptioningModel, SearchTree
from captioner.beam_search import search, trace_beam_search
from captioner.decoding import UNCONSTRAINED, TokenConstraints
from captioner.options import DecodingError
from captioner.search_tree import Candidate
from captioner.vocabulary import END_ID, SPECIALS, UNK_ID
from tests.scripted_decoder import A, B, C, D, Script, ScriptedDecoder, random_script, table_script

NAMES = (*SPECIALS, "A", "B", "C", "D")
PLAIN = DecodingOptions(length_penalty=1.0, no_repeat_ngram=0)


def trace(
    script: Script, constraints: TokenConstraints = UNCONSTRAINED, **options: Any
) -> SearchTree:
    decoder = ScriptedDecoder(script, len(NAMES))
    chosen = replace(PLAIN, **options)
    return trace_beam_search(decoder, decoder.state(1), chosen, constraints, NAMES)


def find(script: Script, constraints: TokenConstraints = UNCONSTRAINED, **options: Any):
    decoder = ScriptedDecoder(script, len(NAMES))
    return search(decoder, decoder.state(1), replace(PLAIN, **options), constraints)[0]


def path_to(tree: SearchTree, step: int, place: int) -> list[Candidate]:
    """The candidate with all before it."""
    path: list[Candidate] = []
    for candidates in tree.steps[step::-1]:
        path.append(candidates[place])
        place = candidates[place].parent
    assert place == -1
    return path[::-1]


def best_of(tree: SearchTree) -> list[str]:
    """The texts of the candidates marked as best, which must be one path."""
    places = [[i for i, c in enumerate(step) if c.best] for step in tree.steps]
    found = [place[0] for place in places if place]
    assert places == [[place] for place in found] + [[]] * (len(places) - len(found))
    path = path_to(tree, len(found) - 1, found[-1])
    assert all(candidate.best and candidate.kept for candidate in path)
    return [candidate.text for candidate in path]


def short(step: Sequence[Candidate]) -> list[tuple[str, int, float, bool, bool]]:
    return [(c.text, c.parent, round(math.exp(c.logprob), 4), c.kept, c.best) for c in step]


def test_a_tree_has_all_that_was_kept_and_the_next_that_was_not() -> None:
    table = {
        (): {A: 0.6, B: 0.4},
        (A,): {C: 0.35, D: 0.25, END_ID: 0.4},
        (B,): {C: 0.9, END_ID: 0.1},
    }
    tree = trace(table_script(table), beam_size=2, length_penalty=0)
    assert [short(step) for step in tree.steps] == [
        [("A", -1, 0.6, True, False), ("B", -1, 0.4, True, True)],
        [
            ("C", 1, 0.36, True, True),
            ("", 0, 0.24, True, False),
            ("C", 0, 0.21, False, False),
            ("D", 0, 0.15, False, False),
        ],
        [("", 0, 0.36, True, True)],
    ]
    assert [c.ended for c in tree.steps[1]] == [False, True, False, False]
    assert [c.probability for c in tree.steps[1]] == pytest.approx([0.9, 0.4, 0.35, 0.25])


def test_with_diversity_a_tree_is_of_the_beam_that_found_the_best_caption() -> None:
    """Here the second: it avoids A, with which the first begins."""
    table = {(): {A: 0.6, B: 0.4}, (A,): {C: 0.55, D: 0.45}, (B,): {C: 0.9, D: 0.1}}
    tree = trace(table_script(table), beam_size=1, num_captions=2, diversity=1.0)
    assert [short(step) for step in tree.steps] == [
        [("B", -1, 0.4, True, True), ("A", -1, 0.6, False, False)],
        [("C", 0, 0.36, True, True), ("D", 0, 0.04, False, False)],
        [("", 0, 0.36, True, True)],
    ]


OPTIONS: list[dict[str, Any]] = [
    {"beam_size": 1},
    {"beam_size": 3},
    {"beam_size": 2, "num_captions": 4, "min_length": 3},
    {"beam_size": 3, "no_repeat_ngram": 1},
    {"beam_size": 2, "num_captions": 3, "diversity": 1.0},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", range(8))
def test_the_best_of_a_tree_is_the_caption_that_the_search_finds(
    seed: int, options: dict[str, Any]
) -> None:
    script = random_script(seed, len(NAMES))
    options = {"max_length": 6, **options}
    found = find(script, **options)
    tree = trace(script, **options)
    said = [NAMES[token_id] for token_id in found[0].token_ids] + [""] * found[0].finished
    assert best_of(tree) == said
    if not options.get("diversity"):
        paths = {
            tuple(c.text for c in path_to(tree, number, place))
            for number, step in enumerate(tree.steps)
            for place, candidate in enumerate(step)
            if candidate.kept
        }
        for other in found:
            names = tuple(NAMES[token_id] for token_id in other.token_ids)
            assert (*names, "") in paths if other.finished else names in paths


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", range(8))
def test_each_candidate_has_the_probability_of_its_own_path(
    seed: int, options: dict[str, Any]
) -> None:
    script = random_script(seed, len(NAMES))
    tree = trace(script, **{"max_length": 6, **options})
    beam_size = options["beam_size"]
    if not options.get("diversity"):
        beam_size = max(beam_size, options.get("num_captions", 1))
    for number, step in enumerate(tree.steps):
        kept = [candidate.logprob for candidate in step if candidate.kept]
        dropped = [candidate.logprob for candidate in step if not candidate.kept]
        assert len(kept) <= beam_size
        assert len(dropped) <= beam_size
        if not options.get("diversity"):
            assert [c.logprob for c in step] == sorted(kept + dropped, reverse=True)
        for place, candidate in enumerate(step):
            *before, last = path_to(tree, number, place)
            assert all(c.kept and not c.ended for c in before)
            prefix = tuple(NAMES.index(c.text) for c in before)
            token_id = END_ID if last.ended else NAMES.index(last.text)
            assert candidate.probability == pytest.approx(script(0, prefix)[token_id], rel=1e-4)
            total = sum(math.log(c.probability) for c in (*before, last))
            assert candidate.logprob == pytest.approx(total, rel=1e-4)
    assert any(not candidate.kept for step in tree.steps for candidate in step)


def test_a_tree_begins_with_the_given_words() -> None:
    script = random_script(3, len(NAMES))
    constraints = TokenConstraints((C, A))
    options = {"beam_size": 2, "min_length": 4, "max_length": 6}
    tree = trace(script, constraints, **options)
    assert [[c.text for c in step] for step in tree.steps[:2]] == [["C"], ["A"]]
    (first, *_) = find(script, constraints, **options)
    assert best_of(tree)[: len(first.token_ids)] == [NAMES[i] for i in first.token_ids]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_caption_that_never_ends_is_the_best_as_far_as_it_goes(beam_size: int) -> None:
    tree = trace(lambda photo, prefix: {A: 0.7, B: 0.3}, beam_size=beam_size, max_length=4)
    assert best_of(tree) == ["A"] * 4
    assert len(tree.steps) == 4


@pytest.mark.parametrize("beam_size", [1, 2])
def test_after_the_greatest_length_a_tree_has_ends_alone(beam_size: int) -> None:
    tree = trace(
        lambda photo, prefix: {A: 0.98, END_ID: 0.02} if prefix else {A: 1.0},
        beam_size=beam_size,
        max_length=3,
    )
    assert [[c.text for c in step] for step in tree.steps[:2]] == [["A"], ["A", ""]]
    assert [[c.text for c in step] for step in tree.steps[3:]] == [[""]]
    assert tree.steps[3][0].kept == (beam_size > 1)


def test_a_search_that_finds_nothing_to_say_has_an_empty_tree() -> None:
    assert trace(lambda photo, prefix: {UNK_ID: 1.0}, beam_size=2) == SearchTree(())


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_models_tree_leads_to_its_caption(
    model: ImageCaptioningModel, photos: list[Image.Image], beam_size: int
) -> None:
    for photo in photos[:2]:
        chosen = {"beam_size": beam_size, "num_captions": 2, "prefix": "the", "max_length": 5}
        caption = model.generate_caption(photo, **chosen)
        tree = model.search_tree(model.encode(photo), **chosen)
        said = [word.text for word in caption.words] + [""] * caption.finished
        assert best_of(tree) == said
        data = tree.to_json()
        assert [c["text"] for step in data["steps"] for c in step if c["best"]] == said
        best = [c for step in tree.steps for c in step if c.best]
        shares = [word.probability for word in caption.words]
        assert [c.probability for c in best][: len(shares)] == pytest.approx(shares, abs=1e-5)
        assert best[-1].logprob == pytest.approx(caption.logprob, abs=1e-4)


def test_a_tree_as_json_has_short_numbers() -> None:
    candidate = Candidate("dog", -1, 0.123456, -2.09187, True, False, True)
    assert SearchTree(((candidate,),)).to_json() == {
        "steps": [
            [
                {
                    "text": "dog",
                    "parent": -1,
                    "probability": 0.1235,
                    "logprob": -2.0919,
                    "kept": True,
                    "ended": False,
                    "best": True,
                }
            ]
        ]
    }


def test_sampling_has_no_tree(model: ImageCaptioningModel, photos: list[Image.Image]) -> None:
    with pytest.raises(DecodingError, match="temperature 0") as caught:
        model.search_tree(photos[0], temperature=1.0)
    assert caught.value.code == "no_search_tree"


def test_captions_are_found_without_a_tree(
    model: ImageCaptioningModel, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trace(*_: object) -> None:
        raise AssertionError("traced")

    monkeypatch.setattr("captioner.beam_search.Beams._trace", trace)
    model.generate_caption(photos[0], beam_size=3)
    with pytest.raises(AssertionError, match="traced"):
        model.search_tree(photos[0], beam_size=3)
