"""What a model makes of photos: each is encoded once, then captioned and measured.

Knows models, photos and configurations; knows nothing of how scores are worked out or reported.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from captioner.captions import Caption
from captioner.model import Features, ImageCaptioningModel
from captioner.options import DecodingOptions
from captioner.vocabulary import PAD_ID, UNK_ID
from train.bootstrap import Array
from train.boxes import Phrases, find_phrases
from train.calibration import count_bins
from train.config import EvaluateConfig
from train.data import CaptionedPhoto, PhotoFiles, PhotoSource
from train.features import FeatureCache
from train.grounding import caption_drops, compare_references
from train.objective import caption_inputs

BATCH_SIZE = 50
"""Photos decoded at once."""
PREDICTED_TOGETHER = 10
"""Photos of whose references all words' distributions are held at once."""


class Findings(NamedTuple):
    """What looking at each photo once gave."""

    photos: list[CaptionedPhoto]
    captions: dict[str, dict[str, Caption]]
    """By beam size, by photo name."""
    calibration: dict[str, Array]
    """By photo name, of the words of its references, see `count_references`."""
    phrases: dict[str, tuple[Phrases, ...]]
    """By photo name, of photos with boxes."""
    references: dict[str, Array]
    """By photo name, of the attention at its references' words, where there are boxes at all; see
    `grounding.compare_references`."""
    drops: dict[str, Array]
    """By photo name, of photos in the deletion test, see `grounding.caption_drops`."""

    @property
    def regions(self) -> int:
        """How many a photo has."""
        captions = next(iter(self.captions.values()))
        rows, cols = next(iter(captions.values())).grid
        return rows * cols

    def of(self, photos: Sequence[CaptionedPhoto]) -> "Findings":
        """Those of some of the photos."""
        return Findings(
            list(photos),
            {way: _only(captions, photos) for way, captions in self.captions.items()},
            _only(self.calibration, photos),
            _only(self.phrases, photos),
            _only(self.references, photos),
            _only(self.drops, photos),
        )


T = TypeVar("T")


def _only(found: Mapping[str, T], photos: Sequence[CaptionedPhoto]) -> dict[str, T]:
    return {photo.name: found[photo.name] for photo in photos if photo.name in found}


def look(
    config: EvaluateConfig,
    model: ImageCaptioningModel,
    sets: Mapping[str, Sequence[CaptionedPhoto]],
) -> Findings:
    """Caption the photos of all data sets, and compute all else that needs their features.

    Args:
        sets: photos by the name of their data set.
    """
    photos = [photo for part in sets.values() for photo in part]
    by_name = {photo.name: photo for photo in photos}
    to_delete = {photo.name for part in sets.values() for photo in part[: config.deletion_photos]}
    source = _source(config, model, photos)
    ways = decoding_ways(config)
    found = Findings(photos, {way: {} for way in ways}, {}, _phrases(config, model, photos), {}, {})
    first = found.captions[str(config.beam_sizes[0])]
    generator = torch.Generator().manual_seed(config.seed)
    for names, features in _encode(model, list(by_name), source):
        for way, options in ways.items():
            captions = model.generate_captions(features, options)
            found.captions[way].update(zip(names, captions, strict=True))
        batch = [by_name[name] for name in names]
        counts = count_references(model, batch, features)
        found.calibration.update(zip(names, counts, strict=True))
        if config.boxes:
            sums = compare_references(model, batch, features, found.phrases)
            found.references.update(zip(names, sums, strict=True))
        for name, part in zip(names, features, strict=True):
            if name in to_delete:
                found.drops[name] = caption_drops(model, part, first[name], generator)
    return found


def decoding_ways(config: EvaluateConfig) -> dict[str, DecodingOptions]:
    """How to decode, by beam size as text."""
    return {
        str(beam_size): DecodingOptions(
            beam_size=beam_size,
            length_penalty=config.length_penalty,
            no_repeat_ngram=config.no_repeat_ngram,
        )
        for beam_size in config.beam_sizes
    }


@torch.inference_mode()
def count_references(
    model: ImageCaptioningModel, photos: Sequence[CaptionedPhoto], features: Sequence[Features]
) -> list[Array]:
    """Count the words of references by the probability of the most probable word in their place.

    The model is given the words before (teacher forcing). `<eos>` counts as a word, as in training;
    words that the model does not know are left out.

    Args:
        features: of the photos.

    Returns:
        For each photo, what `calibration.count_bins` gives.
    """
    found: list[Array] = []
    for start in range(0, len(photos), PREDICTED_TOGETHER):
        part = slice(start, start + PREDICTED_TOGETHER)
        found += _count_words(model, photos[part], features[part])
    return found


def _count_words(
    model: ImageCaptioningModel, photos: Sequence[CaptionedPhoto], features: Sequence[Features]
) -> list[Array]:
    rows = [(index, text) for index, photo in enumerate(photos) for text in photo.captions]
    token_ids = pad_sequence(
        [torch.tensor(model.vocabulary.encode(text)) for _, text in rows],
        batch_first=True,
        padding_value=PAD_ID,
    ).to(model.device)  # (N, T + 1)
    photo_of_row = torch.tensor([index for index, _ in rows], device=model.device)
    regions = torch.stack([part.regions for part in features])
    output = model.decoder.predict(regions, caption_inputs(token_ids), photo_of_row)
    targets = token_ids[output.rows, output.steps + 1]  # (W,)
    best = output.logits.float().log_softmax(dim=1).max(dim=1)
    confidence, correct = best.values.exp().cpu().numpy(), (best.indices == targets).cpu().numpy()
    photo_of_word = photo_of_row[output.rows].masked_fill(targets == UNK_ID, -1).cpu().numpy()
    own = [photo_of_word == index for index in range(len(photos))]
    return [count_bins(confidence[words], correct[words]) for words in own]


def _phrases(
    config: EvaluateConfig, model: ImageCaptioningModel, photos: Sequence[CaptionedPhoto]
) -> dict[str, tuple[Phrases, ...]]:
    phrases = find_phrases(config.boxes, photos, model.vocabulary.tokenize)
    if config.boxes and not has_boxes(phrases):
        files = ", ".join(map(str, config.boxes))
        raise ValueError(f"{files} has no boxes for captions of the {config.split} split")
    return phrases


def has_boxes(phrases: Mapping[str, Sequence[Phrases]]) -> bool:
    """Whether any photo has."""
    return any(named for captions in phrases.values() for named in captions)


def caption_photos(
    model: ImageCaptioningModel,
    names: Sequence[str],
    source: PhotoSource,
    *ways: DecodingOptions,
) -> list[dict[str, Caption]]:
    """Caption photos, from cached features or from photos, each encoded once.

    Args:
        source: gives each photo's plain view.
        *ways: how to decode.

    Returns:
        For each way, the captions by photo name.
    """
    captions: list[dict[str, Caption]] = [{} for _ in ways]
    for chunk, features in _encode(model, names, source):
        for found, options in zip(captions, ways, strict=True):
            found |= zip(chunk, model.generate_captions(features, options), strict=True)
    return captions


def _encode(
    model: ImageCaptioningModel, names: Sequence[str], source: PhotoSource
) -> Iterator[tuple[Sequence[str], list[Features]]]:
    """Photos in batches, each encoded once."""
    chunks = range(0, len(names), BATCH_SIZE)
    for start in tqdm(chunks, desc="captioning", unit="batch", leave=False):
        chunk = names[start : start + BATCH_SIZE]
        yield chunk, _features(model, chunk, source)


@torch.inference_mode()
def _features(
    model: ImageCaptioningModel, names: Sequence[str], source: PhotoSource
) -> list[Features]:
    generator = np.random.default_rng(0)  # plain views need no chance
    views = [source.view(name, generator).photo for name in names]
    return model.encode_tensors(views, source.stages_left)


def _source(
    config: EvaluateConfig, model: ImageCaptioningModel, photos: Sequence[CaptionedPhoto]
) -> PhotoSource:
    if config.features is None:
        return PhotoFiles(photos, model.config.preprocess)
    cache = FeatureCache(config.features, random_views=False)
    cache.require(model.encoder, model.config.preprocess)
    return cache
