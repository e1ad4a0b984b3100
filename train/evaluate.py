"""The `evaluate` stage: a checkpoint's captions of a split, scored. Prints tables, writes JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from captioner.captions import Caption
from captioner.checkpoint import load_model
from captioner.model import Features, ImageCaptioningModel
from captioner.options import DecodingOptions
from train.bootstrap import Array, measure
from train.boxes import Phrases, find_phrases
from train.config import EvaluateConfig
from train.data import CaptionedPhoto, PhotoFiles, PhotoSource
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
from train.sets import load_sets, load_split

BATCH_SIZE = 50
"""Photos decoded at once."""


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score a checkpoint.

    Returns:
        What the JSON file holds: of one data set what `report_on` gives; of several the same by
        name under `sets`.

    Raises:
        FileNotFoundError, ValueError: checkpoint or data are missing or unfit.
    """
    model = load_model(config.checkpoint, find_device(config.device))
    sets = load_sets(config, config.split, config.limit)
    scorers = {name: _scorer(photos) for name, photos in sets.items()}
    train_captions = [text for photo in load_split(config, "train") for text in photo.captions]
    found = look(config, model, sets)
    reports = {
        name: report_on(config, model, found.of(photos), scorers[name], train_captions)
        for name, photos in sets.items()
    }
    report = {"sets": reports} if len(reports) > 1 else next(iter(reports.values()))
    print(table(report))
    if config.output is not None:
        _write(config.output, json.dumps(report, indent=1) + "\n")
    if config.captions_output is not None:
        _write(config.captions_output, _caption_lines(sets, found))
    return report


class Findings(NamedTuple):
    """What looking at each photo once gave."""

    photos: list[CaptionedPhoto]
    captions: dict[str, dict[str, Caption]]
    """By beam size, by photo name."""
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
    ways = {str(beam_size): _options(config, beam_size) for beam_size in config.beam_sizes}
    found = Findings(photos, {way: {} for way in ways}, _phrases(config, model, photos), {}, {})
    first = found.captions[str(config.beam_sizes[0])]
    generator = torch.Generator().manual_seed(config.seed)
    for names, features in _encode(model, list(by_name), source):
        for way, options in ways.items():
            captions = model.generate_captions(features, options)
            found.captions[way].update(zip(names, captions, strict=True))
        if config.boxes:
            batch = [by_name[name] for name in names]
            sums = compare_references(model, batch, features, found.phrases)
            found.references.update(zip(names, sums, strict=True))
        for name, part in zip(names, features, strict=True):
            if name in to_delete:
                found.drops[name] = caption_drops(model, part, first[name], generator)
    return found


def report_on(
    config: EvaluateConfig,
    model: ImageCaptioningModel,
    found: Findings,
    scorer: Scorer,
    train_captions: Sequence[str],
) -> dict[str, Any]:
    """Report on one data set. Every measure is added here, from what `look` has found.

    Args:
        found: of this data set's photos.
        scorer: of their references.
        train_captions: of all data sets.

    Returns:
        `settings`; `scores` and `diversity` by beam size; with boxes, `attention` at the
        references' words and by beam size; and `deletion`, of captions of the first beam size.
        See `metrics.Scorer`, `metrics.diversity`, `grounding.attention_scores` and
        `grounding.deletion_scores`; scores are as `bootstrap.measure` gives them.
    """
    sampling = config.bootstrap, config.seed
    report: dict[str, Any] = {"settings": _settings(config, found), "scores": {}, "diversity": {}}
    for way, captions in found.captions.items():
        texts = {name: str(caption) for name, caption in captions.items()}
        tallies = scorer.tally(texts, meteor=True)
        report["scores"][way] = {name: measure(tallies[name], *sampling) for name in tallies}
        report["diversity"][way] = diversity(list(texts.values()), train_captions)
    if _has_boxes(found.phrases):
        sums = {REFERENCES: list(found.references.values()), **_comparisons(model, found)}
        report["attention"] = {way: attention_scores(sums[way], *sampling) for way in sums}
    if found.drops:
        drops = list(found.drops.values())
        report["deletion"] = deletion_scores(drops, found.regions, *sampling)
    return report


def _scorer(photos: Sequence[CaptionedPhoto]) -> Scorer:
    return Scorer({photo.name: photo.captions for photo in photos})


def _comparisons(model: ImageCaptioningModel, found: Findings) -> dict[str, list[Array]]:
    """By beam size and photo, sums of `grounding.compare` at the words of the model's captions."""
    boxes = {
        photo.name: named_boxes(
            photo, found.phrases.get(photo.name, ()), model.vocabulary.keep_punctuation
        )
        for photo in found.photos
    }
    return {
        way: [compare_caption(caption, boxes[name]) for name, caption in captions.items()]
        for way, captions in found.captions.items()
    }


def _phrases(
    config: EvaluateConfig, model: ImageCaptioningModel, photos: Sequence[CaptionedPhoto]
) -> dict[str, tuple[Phrases, ...]]:
    phrases = find_phrases(config.boxes, photos, model.vocabulary.keep_punctuation)
    if config.boxes and not _has_boxes(phrases):
        files = ", ".join(map(str, config.boxes))
        raise ValueError(f"{files} has no boxes for captions of the {config.split} split")
    return phrases


def _has_boxes(phrases: Mapping[str, Sequence[Phrases]]) -> bool:
    return any(named for captions in phrases.values() for named in captions)


def _options(config: EvaluateConfig, beam_size: int) -> DecodingOptions:
    return DecodingOptions(
        beam_size=beam_size,
        length_penalty=config.length_penalty,
        no_repeat_ngram=config.no_repeat_ngram,
    )


def _settings(config: EvaluateConfig, found: Findings) -> dict[str, Any]:
    names = ("split", "beam_sizes", "length_penalty", "no_repeat_ngram", "bootstrap", "seed")
    return {"photos": len(found.photos), **{name: getattr(config, name) for name in names}}


def _caption_lines(sets: Mapping[str, Sequence[CaptionedPhoto]], found: Findings) -> str:
    rows = [
        {
            **({"set": name} if len(sets) > 1 else {}),
            "photo": photo.name,
            "beam_size": int(way),
            "caption": str(captions[photo.name]),
            "references": photo.captions,
        }
        for way, captions in found.captions.items()
        for name, photos in sets.items()
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


def _source(
    config: EvaluateConfig, model: ImageCaptioningModel, photos: Sequence[CaptionedPhoto]
) -> PhotoSource:
    if config.features is None:
        return PhotoFiles(photos, model.config.preprocess)
    cache = FeatureCache(config.features, random_views=False)
    cache.require(model.encoder, model.config.preprocess)
    return cache


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
