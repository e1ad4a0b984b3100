"""Whether attention lies on what a word names, and whether the word depends on where it lies.

Knows maps, boxes, captions and a decoder; knows nothing of how captions are scored.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from nltk.stem import PorterStemmer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from captioner.captions import Caption
from captioner.model import Features, ImageCaptioningModel
from captioner.occlusion import Decoder, hide_regions, word_probabilities
from captioner.vocabulary import PAD_ID
from train.bootstrap import Array, measure, ratio
from train.boxes import Box, Phrases, Tokenize, box_coverage
from train.data import CaptionedPhoto

ATTENTION_SCORES = ("mass", "uniform_mass", "pointing", "uniform_pointing")
ORDERS = ("attention", "random", "reverse")
HIDDEN = (1, 2, 4, 8, 16)
"""Numbers of regions hidden by the deletion test, besides half of them and all."""
RANDOM_ORDERS = 5
"""Random orders of the deletion test per photo."""

Boxes = tuple[Box, ...]


def compare(alpha: np.ndarray[Any, Any], boxes: Boxes) -> Array:
    """Compare the attention of one word with the boxes of what it names.

    Args:
        alpha: (rows, cols), sums to 1.
        boxes: taken together, as one area.

    Returns:
        Four numbers, 0 to 1, and a one to count by, (5,): the attention within the boxes; the same
        of a uniform map, which is the boxes' share of the photo; whether the centre of the most
        attended region lies in a box; the share of regions whose centre does, which is what a
        region chosen blindly scores.

    Source: Liu et al. (arXiv:1605.09553), attention correctness, with regions counted by the share
        of them that is covered; Zhang et al. (arXiv:1608.00507), the pointing game, without a
        margin around the boxes.
    """
    rows, cols = alpha.shape
    coverage = box_coverage(boxes, (rows, cols))
    centres = centres_inside(boxes, (rows, cols))
    mass = (alpha * coverage).sum()
    pointing = centres.flat[alpha.argmax()]
    return np.array([mass, coverage.mean(), pointing, centres.mean(), 1], dtype=np.float64)


@lru_cache(maxsize=2**16)  # captions of one photo name the same things
def centres_inside(boxes: Boxes, grid: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which regions of a grid (rows, cols) have their centre in a box or on its edge."""
    rows, cols = grid
    y = ((np.arange(rows) + 0.5) / rows)[:, None]
    x = ((np.arange(cols) + 0.5) / cols)[None, :]
    inside = np.zeros(grid, dtype=bool)
    for left, top, right, bottom in boxes:
        inside |= (left <= x) & (x <= right) & (top <= y) & (y <= bottom)
    return inside


@torch.inference_mode()
def compare_references(
    model: ImageCaptioningModel,
    photos: Sequence[CaptionedPhoto],
    features: Sequence[Features],
    phrases: Mapping[str, Sequence[Phrases]],
) -> list[Array]:
    """Compare the attention at the last word of each phrase of the references with its boxes.

    The model is given the words before (teacher forcing).

    Args:
        features: of the photos.
        phrases: by photo name, of each of its captions, see `boxes.read_phrases`.

    Returns:
        Sums of `compare` by photo, (5,).
    """
    rows = [(index, text) for index, photo in enumerate(photos) for text in photo.captions]
    token_ids = [torch.tensor(model.vocabulary.encode(text)[:-1]) for _, text in rows]
    output = model.decoder.predict(
        torch.stack([part.regions for part in features]),
        pad_sequence(token_ids, batch_first=True, padding_value=PAD_ID).to(model.device),
        torch.tensor([index for index, _ in rows], device=model.device),
    )
    places = zip(output.rows.tolist(), output.steps.tolist(), strict=True)
    alphas = dict(zip(places, output.alphas.float().cpu().numpy(), strict=True))
    sums: list[Array] = []
    row = 0
    for photo, part in zip(photos, features, strict=True):
        found = np.zeros(len(ATTENTION_SCORES) + 1)
        for number, named in enumerate(phrases.get(photo.name, ())):
            for phrase in named:
                alpha = alphas[row + number, phrase.last].reshape(part.grid)
                found += compare(alpha, phrase.boxes)
        sums.append(found)
        row += len(photo.captions)
    return sums


def named_boxes(
    photo: CaptionedPhoto, phrases: Sequence[Phrases], tokenize: Tokenize
) -> dict[str, Boxes]:
    """The boxes of all phrases of a photo's captions that end with the same word.

    Args:
        phrases: of each of the photo's captions.
        tokenize: how the captions whose words the phrases count are split.

    Returns:
        By the word's stem, which is the same for singular and plural of most nouns.
    """
    found: dict[str, dict[Box, None]] = {}
    for text, named in zip(photo.captions, phrases, strict=False):
        words = tokenize(text)
        for phrase in named:
            found.setdefault(_stem(words[phrase.last]), {}).update(dict.fromkeys(phrase.boxes))
    return {stem: tuple(boxes) for stem, boxes in found.items()}


def compare_caption(caption: Caption, boxes: Mapping[str, Boxes]) -> Array:
    """Compare the attention of a caption's words with the boxes of what they name.

    Args:
        boxes: of the photo, see `named_boxes`; words that are not there are left out.

    Returns:
        The sum of `compare` (5,).
    """
    found = np.zeros(len(ATTENTION_SCORES) + 1)
    for word in caption.words:
        if (stem := _stem(word.text)) in boxes:
            found += compare(word.alpha, boxes[stem])
    return found


@lru_cache(maxsize=2**16)
def _stem(word: str) -> str:
    return PorterStemmer().stem(word)


def attention_scores(sums: Sequence[Array], samples: int, seed: int) -> dict[str, Any]:
    """Means over words, from sums of `compare` by photo.

    Args:
        samples, seed: of the intervals over photos, see `bootstrap.measure`.

    Returns:
        How many `words` were compared, and the measurements `mass`, `uniform_mass`, `pointing` and
        `uniform_pointing`, in the order of `compare`.
    """
    columns = np.stack(sums).T
    scores: dict[str, Any] = {"words": round(columns[-1].sum())}
    for name, column in zip(ATTENTION_SCORES, columns, strict=False):
        scores[name] = measure(ratio(column, columns[-1]), samples, seed)
    return scores


def hidden_counts(regions: int) -> list[int]:
    """How many of a photo's regions the deletion test hides, step by step."""
    wanted = {*HIDDEN, regions // 2, regions}
    return sorted(count for count in wanted if 1 <= count <= regions)


@torch.inference_mode()
def deletion_drops(
    decoder: Decoder,
    regions: Tensor,
    token_ids: Tensor,
    alphas: Tensor,
    generator: torch.Generator,
) -> Array:
    """How much less probable each word of a caption becomes when regions are hidden.

    A region is hidden from the whole caption, as if the photo had never shown it: from the first
    state, from the attention at the words before (which stay as they are), and from the word's own.
    To hide it from the word's own step alone would ask little, since a region without attention
    has no other way into that step. See `captioner.occlusion.hide_regions`.

    Args:
        decoder: an evaluating one.
        regions: features (P, D) of the photo.
        token_ids: (T,) of the caption's words, without special tokens.
        alphas: (T, P), by which the regions are ordered for each word.
        generator: of the random orders, which the words of the caption share; on the CPU.

    Returns:
        Drops of probability, -1 to 1, float64 (3, T, K): the most attended regions hidden first,
        in random order (mean of several), and the least attended first; at each of the K numbers of
        `hidden_counts`.

    Source: Petsiuk et al. (arXiv:1806.07421), the deletion metric, on regions in place of pixels.
    """
    alphas = alphas.to(regions.device)
    most_first = alphas.argsort(dim=1, descending=True, stable=True)  # (T, P)
    chance = torch.rand(RANDOM_ORDERS, len(regions), generator=generator)
    last = torch.full((RANDOM_ORDERS,), len(token_ids) - 1, device=regions.device)
    own = torch.arange(len(token_ids), device=regions.device)
    shown = word_probabilities(decoder, regions.unsqueeze(0), token_ids, last[:1])[0]  # (T,)

    def kept(orders: Tensor, last: Tensor) -> Tensor:  # (R, P), (R,) -> (R, K, T)
        counts = hidden_counts(len(regions))
        features = _hide(regions, orders, counts)
        repeated = last.repeat_interleave(len(counts))
        return word_probabilities(decoder, features, token_ids, repeated).unflatten(
            0, (-1, len(counts))
        )

    probabilities = torch.stack(
        [
            kept(most_first, own)[own, :, own],
            kept(chance.argsort(dim=1).to(regions.device), last).mean(dim=0).T,
            kept(most_first.flip(1), own)[own, :, own],
        ]
    )  # (3, T, K)
    return (shown.unsqueeze(1) - probabilities).double().cpu().numpy()


def _hide(regions: Tensor, orders: Tensor, counts: Sequence[int]) -> Tensor:
    """Features (R * K, P, D) with the first of each order (R, P) hidden, so many as each count."""
    ranks = orders.argsort(dim=1)  # (R, P), each region's place in the order
    limits = torch.tensor(counts, device=regions.device)
    hidden = (ranks.unsqueeze(1) < limits.unsqueeze(1)).flatten(0, 1)  # (R * K, P)
    return hide_regions(regions, hidden)


def caption_drops(
    model: ImageCaptioningModel, features: Features, caption: Caption, generator: torch.Generator
) -> Array:
    """The `deletion_drops` (3, T, K) of a caption that the model gave."""
    token_ids = torch.tensor(model.token_ids(caption), device=model.device)
    alphas = torch.from_numpy(np.stack([word.alpha.ravel() for word in caption.words]))
    return deletion_drops(model.decoder, features.regions, token_ids, alphas, generator)


def deletion_scores(
    drops: Sequence[Array], regions: int, samples: int, seed: int
) -> dict[str, Any]:
    """Mean drops over words, from the drops (3, T, K) of each photo's caption.

    Args:
        regions: P.
        samples, seed: of the intervals over photos, see `bootstrap.measure`.

    Returns:
        Numbers of `photos` and `words`; the measurements `attention`, `random` and `reverse`, each
        the area over the deletion curve: the drop of probability, averaged while the share of
        hidden regions goes from none to all; `ratio`, attention over random; and `curves`, the drop
        at each number of `hidden` regions.
    """
    counts = hidden_counts(regions)
    widths = np.diff([0, *counts]) / regions
    trapezoid = (widths + np.append(widths[1:], 0)) / 2  # (K,); nothing drops where none is hidden
    sums = np.stack([drop.sum(axis=1) for drop in drops], axis=1)  # (3, photos, K)
    words = np.array([drop.shape[1] for drop in drops])
    areas = dict(zip(ORDERS, sums @ trapezoid, strict=True))
    curves = sums.sum(axis=1) / words.sum()
    return {
        "photos": len(drops),
        "words": int(words.sum()),
        **{order: measure(ratio(areas[order], words), samples, seed) for order in ORDERS},
        "ratio": measure(ratio(areas["attention"], areas["random"]), samples, seed),
        "hidden": counts,
        "curves": dict(zip(ORDERS, curves.tolist(), strict=True)),
    }
