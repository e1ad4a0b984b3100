"""Attention and boxes, and attention and what words depend on, where the answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from captioner import ImageCaptioningModel
from captioner.captions import Caption, Word
from captioner.model import Features
from captioner.vocabulary import START_ID, tokenize
from train.boxes import Box, Phrase
from train.data import CaptionedPhoto
from train.grounding import (
    attention_scores,
    caption_drops,
    centres_inside,
    compare,
    compare_caption,
    compare_references,
    deletion_drops,
    deletion_scores,
    hidden_counts,
    named_boxes,
)

LEFT, RIGHT = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)


def hot(row: int, col: int, size: int = 4) -> np.ndarray:
    alpha = np.zeros((size, size), dtype=np.float32)
    alpha[row, col] = 1
    return alpha


def test_attention_all_in_the_box_or_all_beside_it() -> None:
    np.testing.assert_allclose(compare(hot(1, 0), (LEFT,)), [1, 0.5, 1, 0.5, 1])
    np.testing.assert_allclose(compare(hot(1, 3), (LEFT,)), [0, 0.5, 0, 0.5, 1])


def test_a_box_over_half_a_region_holds_half_of_its_attention() -> None:
    box = Box(0, 0, 0.25, 0.125)  # the upper half of the first of 4 x 4 regions
    mass, uniform, *_ = compare(hot(0, 0), (box,))
    assert mass == pytest.approx(0.5)
    assert uniform == pytest.approx(1 / 32)


def test_attention_counts_once_where_boxes_overlap() -> None:
    both = (LEFT, Box(0.25, 0, 0.75, 1))
    np.testing.assert_allclose(compare(hot(0, 1), both), [1, 0.75, 1, 0.75, 1])


def test_pointing_at_the_edge_of_a_box_hits_and_beside_it_misses() -> None:
    edge = 0.125  # the centre of the first region
    *_, hit, _, _ = compare(hot(0, 0), (Box(edge, edge, 1, 1),))
    mass, _, miss, _, _ = compare(hot(0, 0), (Box(edge + 0.01, 0, 1, 1),))
    assert (hit, miss) == (1, 0)
    assert mass > 0.3  # the box covers some of the region, but not its centre


def test_centres_are_found_in_grids_that_are_not_square() -> None:
    inside = centres_inside((Box(0.7, 0, 1, 0.5),), (2, 4))
    np.testing.assert_array_equal(inside, [[False, False, False, True], [False] * 4])


def test_scores_are_means_over_words_not_over_photos() -> None:
    one, three = compare(hot(0, 0), (LEFT,)), 3 * compare(hot(0, 3), (LEFT,))
    scores = attention_scores([one, three, np.zeros(5)], samples=200, seed=0)
    assert scores["words"] == 4
    assert scores["mass"]["value"] == scores["pointing"]["value"] == 0.25
    assert scores["uniform_mass"]["value"] == scores["uniform_pointing"]["value"] == 0.5
    assert scores["mass"]["low"] == 0
    assert scores["mass"]["high"] == 1


def test_references_are_judged_at_the_last_word_of_each_phrase(
    model: ImageCaptioningModel,
) -> None:
    photos = [
        CaptionedPhoto("a", ("the dog runs on the grass", "the cat sleeps")),
        CaptionedPhoto("b", ("the cat",)),
        CaptionedPhoto("c", ("a zebra on the sofa",)),  # with words the model does not know
    ]
    phrases = {
        "a": ((Phrase(0, 1, (LEFT,)), Phrase(4, 5, (RIGHT,))), ()),
        "c": ((Phrase(3, 4, (LEFT,)),),),
    }
    grid = (3, 3)
    features = [Features(torch.randn(9, model.encoder.feature_size), grid) for _ in photos]
    found = compare_references(model, photos, features, phrases)

    def alpha_at(index: int, text: str, place: int) -> np.ndarray:
        ids = torch.tensor(model.vocabulary.encode(text))
        state = model.decoder.initial_state(features[index].regions.unsqueeze(0))
        for token_id in ids[:place]:
            _, _, state = model.decoder.step(token_id.unsqueeze(0), state)
        _, alpha, _ = model.decoder.step(ids[place : place + 1], state)
        return alpha[0].detach().numpy().reshape(grid)

    first = photos[0].captions[0]
    wanted = [
        compare(alpha_at(0, first, 1), (LEFT,)) + compare(alpha_at(0, first, 5), (RIGHT,)),
        np.zeros(5),
        compare(alpha_at(2, photos[2].captions[0], 4), (LEFT,)),
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def caption_of(words: dict[str, np.ndarray]) -> Caption:
    said = tuple(Word(text, 0.5, (), alpha) for text, alpha in words.items())
    return Caption(said, -1.0, (4, 4), -2.0)


def test_generated_words_are_matched_to_phrases_of_any_reference_in_any_number() -> None:
    top = Box(0, 0, 1, 0.5)
    photo = CaptionedPhoto("a", ("two dogs run .", "a dog by a tree .", "grass"))
    phrases = ((Phrase(0, 1, (LEFT,)),), (Phrase(0, 1, (LEFT, top)), Phrase(3, 4, (RIGHT,))), ())
    boxes = named_boxes(photo, phrases, tokenize)
    assert boxes == {"dog": (LEFT, top), "tree": (RIGHT,)}
    caption = caption_of({"a": hot(0, 0), "dog": hot(0, 3), "run": hot(0, 0), "trees": hot(0, 0)})
    wanted = compare(hot(0, 3), (LEFT, top)) + compare(hot(0, 0), (RIGHT,))
    np.testing.assert_array_equal(compare_caption(caption, boxes), wanted)


def test_regions_are_hidden_up_to_all_of_them() -> None:
    assert hidden_counts(49) == [1, 2, 4, 8, 16, 24, 49]
    assert hidden_counts(4) == [1, 2, 4]
    assert hidden_counts(1) == [1]


def one_region_decoder(features: Tensor, token_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Says word t (of ids 4 and 5) with 0.9 as long as region t is as it was, else with 0.1."""
    shown = features[:, : token_ids.shape[1], 0] > 0.9  # (M, T)
    probability = torch.where(shown, 0.9, 0.1)
    rest = ((1 - probability) / 5).unsqueeze(2).repeat(1, 1, 6)
    words = torch.arange(token_ids.shape[1]) + 4
    places = words.expand(len(features), -1).unsqueeze(2)
    return rest.scatter(2, places, probability.unsqueeze(2)).log(), torch.empty(0)


def drops_of(alphas: list[list[float]]) -> np.ndarray:
    regions = torch.zeros(4, 1)
    regions[:2] = 1
    ids = torch.tensor([4, 5])[: len(alphas)]
    generator = torch.Generator().manual_seed(0)
    return deletion_drops(one_region_decoder, regions, ids, torch.tensor(alphas), generator)


def test_hiding_the_region_that_a_word_depends_on_costs_it_the_full_drop() -> None:
    attention, chance, reverse = drops_of([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]])
    np.testing.assert_allclose(attention, np.full((2, 3), 0.8), atol=1e-6)
    np.testing.assert_allclose(reverse, [[0, 0, 0.8]] * 2, atol=1e-6)
    assert (chance[:, 2] > 0.8 - 1e-6).all()
    assert 0 < chance[:, :2].mean() < 0.8


def test_true_attention_beats_random_order_and_false_attention_does_not() -> None:
    true = deletion_scores([drops_of([[0.7, 0.1, 0.1, 0.1]])] * 3, 4, 0, 0)
    false = deletion_scores([drops_of([[0.1, 0.3, 0.3, 0.3]])] * 3, 4, 0, 0)
    assert true["ratio"]["value"] > 1 > false["ratio"]["value"]
    assert true["attention"]["value"] > true["random"]["value"] > true["reverse"]["value"]


def test_the_area_is_of_the_curve_over_the_share_of_hidden_regions() -> None:
    curves = np.array([[[0.8, 0.8, 0.8]], [[0.4, 0.6, 0.8]], [[0.0, 0.0, 0.8]]])  # of 4 regions
    scores = deletion_scores([curves, np.zeros((3, 3, 3))], 4, samples=50, seed=0)
    areas = [0.1 + 0.2 + 0.4, 0.05 + 0.125 + 0.35, 0.2]  # of trapezoids
    for order, area in zip(("attention", "random", "reverse"), areas, strict=True):
        assert scores[order]["value"] == pytest.approx(area / 4)  # one word of four drops
    assert scores["ratio"]["value"] == pytest.approx(areas[0] / areas[1])
    assert (scores["photos"], scores["words"]) == (2, 4)
    assert scores["hidden"] == [1, 2, 4]
    np.testing.assert_allclose(scores["curves"]["random"], [0.1, 0.15, 0.2])
    assert scores["random"]["low"] < areas[1] / 4 < scores["random"]["high"]


def test_a_hidden_region_is_hidden_from_the_whole_caption(model: ImageCaptioningModel) -> None:
    """The words before stay; the first state and every step see the mean region in its place."""
    regions = torch.randn(9, model.encoder.feature_size)
    said = ("the", "cat", "sleeps", "on", "grass")
    alphas = torch.rand(len(said), 9).softmax(dim=1).reshape(-1, 3, 3).numpy()
    caption = caption_of(dict(zip(said, alphas, strict=True)))
    found = caption_drops(model, Features(regions, (3, 3)), caption, torch.Generator())

    def probabilities(features: Tensor) -> list[float]:
        ids = [model.vocabulary.words.index(word.text) for word in caption.words]
        state = model.decoder.initial_state(features.unsqueeze(0))
        kept: list[float] = []
        for last, word in zip([START_ID, *ids], ids, strict=False):
            logits, _, state = model.decoder.step(torch.tensor([last]), state)
            kept.append(logits[0].softmax(0)[word].item())
        return kept

    whole = probabilities(regions)
    for place, word in enumerate(caption.words):
        for column, order in ((0, -word.alpha.ravel()), (2, word.alpha.ravel())):
            for step, count in enumerate(hidden_counts(9)):
                hidden = regions.clone()
                hidden[torch.from_numpy(order.argsort()[:count])] = regions.mean(dim=0)
                wanted = whole[place] - probabilities(hidden)[place]
                assert found[column, place, step] == pytest.approx(wanted, abs=1e-5)
