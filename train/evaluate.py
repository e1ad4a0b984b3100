"""The `evaluate` stage: a checkpoint's captions of a split, scored. Prints tables, writes JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from captioner.captions import Caption
from captioner.checkpoint import load_model
from captioner.model import Features, ImageCaptioningModel
from captioner.options import DecodingOptions
from train.bootstrap import Array, measure
from train.boxes import Phrases, read_phrases
from train.config import EvaluateConfig
from train.data import CaptionedPhoto, PhotoFolder, PhotoSource, load_split
from train.features import FeatureCache
from train.grounding import (
    attention_scores,
    caption_drops,
    compare_caption,
    compare_references,
    deletion_scores,
    named_boxes,
)
from train.metrics import Scorer, diversity
from train.report import REFERENCES, table
from train.runs import find_device

BATCH_SIZE = 50
"""Photos decoded at once."""


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score a checkpoint.

    Returns:
        What the JSON file holds: `settings`; `scores` and `diversity` by beam size; with boxes,
        `attention` at the references' words and by beam size; and `deletion`, of captions of the
        first beam size. See `metrics.Scorer`, `metrics.diversity`, `grounding.attention_scores`
        and `grounding.deletion_scores`; scores are as `bootstrap.measure` gives them.

    Raises:
        FileNotFoundError, ValueError: checkpoint or data are missing or unfit.
    """
    model = load_model(config.checkpoint, find_device(config.device))
    photos = load_split(config.captions, config.splits, config.split, config.limit)
    train_photos = load_split(config.captions, config.splits, "train")
    train_captions = [text for photo in train_photos for text in photo.captions]
    scorer = Scorer({photo.name: photo.captions for photo in photos})
    phrases = _phrases(config, model, photos)
    found = _look(config, model, photos, phrases)
    sampling = config.bootstrap, config.seed
    report: dict[str, Any] = {"settings": _settings(config, photos), "scores": {}, "diversity": {}}
    for way, captions in found.captions.items():
        texts = {name: str(caption) for name, caption in captions.items()}
        tallies = scorer.tally(texts, meteor=True)
        report["scores"][way] = {name: measure(tallies[name], *sampling) for name in tallies}
        report["diversity"][way] = diversity(list(texts.values()), train_captions)
    if phrases is not None:
        sums = {REFERENCES: found.references, **_comparisons(model, photos, phrases, found)}
        report["attention"] = {way: attention_scores(sums[way], *sampling) for way in sums}
    if found.drops:
        report["deletion"] = deletion_scores(found.drops, found.regions, *sampling)
    print(table(report))
    if config.output is not None:
        _write(config.output, json.dumps(report, indent=1) + "\n")
    if config.captions_output is not None:
        _write(config.captions_output, _caption_lines(photos, found))
    return report


class Findings(NamedTuple):
    """What looking at each photo once gave."""

    captions: dict[str, dict[str, Caption]]
    """By beam size, by photo name."""
    references: list[Array]
    """By photo, of the attention at its references' words, see `grounding.compare_references`."""
    drops: list[Array]
    """By photo of the deletion test, see `grounding.caption_drops`."""

    @property
    def regions(self) -> int:
        """How many a photo has."""
        captions = next(iter(self.captions.values()))
        rows, cols = next(iter(captions.values())).grid
        return rows * cols


def _look(
    config: EvaluateConfig,
    model: ImageCaptioningModel,
    photos: Sequence[CaptionedPhoto],
    phrases: Mapping[str, Sequence[Phrases]] | None,
) -> Findings:
    source = _source(config, model)
    ways = {str(beam_size): _options(config, beam_size) for beam_size in config.beam_sizes}
    found = Findings({way: {} for way in ways}, [], [])
    first = found.captions[str(config.beam_sizes[0])]
    by_name = {photo.name: photo for photo in photos}
    generator = torch.Generator().manual_seed(config.seed)
    for names, features in _encode(model, list(by_name), source):
        for way, options in ways.items():
            captions = model.generate_captions(features, options)
            found.captions[way].update(zip(names, captions, strict=True))
        if phrases is not None:
            batch = [by_name[name] for name in names]
            found.references.extend(compare_references(model, batch, features, phrases))
        wanted = max(config.deletion_photos - len(found.drops), 0)
        for name, part in zip(names[:wanted], features, strict=False):
            found.drops.append(caption_drops(model, part, first[name], generator))
    return found


def _comparisons(
    model: ImageCaptioningModel,
    photos: Sequence[CaptionedPhoto],
    phrases: Mapping[str, Sequence[Phrases]],
    found: Findings,
) -> dict[str, list[Array]]:
    """By beam size and photo, sums of `grounding.compare` at the words of the model's captions."""
    boxes = {
        photo.name: named_boxes(
            photo, phrases.get(photo.name, ()), model.vocabulary.keep_punctuation
        )
        for photo in photos
    }
    return {
        way: [compare_caption(caption, boxes[name]) for name, caption in captions.items()]
        for way, captions in found.captions.items()
    }


def _phrases(
    config: EvaluateConfig, model: ImageCaptioningModel, photos: Sequence[CaptionedPhoto]
) -> dict[str, tuple[Phrases, ...]] | None:
    if config.boxes is None:
        return None
    phrases = read_phrases(config.boxes, photos, model.vocabulary.keep_punctuation)
    if not any(named for captions in phrases.values() for named in captions):
        raise ValueError(f"{config.boxes} has no boxes for captions of the {config.split} split")
    return phrases


def _options(config: EvaluateConfig, beam_size: int) -> DecodingOptions:
    return DecodingOptions(
        beam_size=beam_size,
        length_penalty=config.length_penalty,
        no_repeat_ngram=config.no_repeat_ngram,
    )


def _settings(config: EvaluateConfig, photos: Sequence[CaptionedPhoto]) -> dict[str, Any]:
    names = ("split", "beam_sizes", "length_penalty", "no_repeat_ngram", "bootstrap", "seed")
    return {"photos": len(photos), **{name: getattr(config, name) for name in names}}


def _caption_lines(photos: Sequence[CaptionedPhoto], found: Findings) -> str:
    rows = [
        {
            "photo": photo.name,
            "beam_size": int(way),
            "caption": str(captions[photo.name]),
            "references": photo.captions,
        }
        for way, captions in found.captions.items()
        for photo in photos
    ]
    return "".join(json.dumps(row) + "\n" for row in rows)


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
    return model.encode_tensors(views, source.left)


def _source(config: EvaluateConfig, model: ImageCaptioningModel) -> PhotoSource:
    if config.features is None:
        assert config.photos is not None  # checked by EvaluateConfig
        return PhotoFolder(config.photos, model.config.preprocess)
    cache = FeatureCache(config.features, random_views=False)
    cache.require(model.encoder, model.config.preprocess)
    return cache


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
