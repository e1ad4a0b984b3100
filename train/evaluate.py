"""The `evaluate` stage: a checkpoint's captions of a split, scored. Prints a table, writes JSON."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from captioner.checkpoint import load_model
from captioner.decoding import Caption, DecodingOptions
from captioner.model import Features, ImageCaptioningModel
from train.config import EvaluateConfig
from train.data import PhotoFolder, PhotoSource, load_split
from train.features import FeatureCache
from train.metrics import Scorer

BATCH_SIZE = 50
"""Photos decoded at once."""


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score a checkpoint.

    Returns:
        What the JSON file holds: the settings, and scores by beam size.

    Raises:
        FileNotFoundError, ValueError: checkpoint or data are missing or unfit.
    """
    model = load_model(config.checkpoint, config.device)
    photos = load_split(config.captions, config.splits, config.split, config.limit)
    scorer = Scorer({photo.name: photo.captions for photo in photos})
    source = _source(config, model)
    scores: dict[str, dict[str, float]] = {}
    said: list[dict[str, Any]] = []
    ways = [
        DecodingOptions(
            beam_size=beam_size,
            length_penalty=config.length_penalty,
            no_repeat_ngram=config.no_repeat_ngram,
        )
        for beam_size in config.beam_sizes
    ]
    found = caption_photos(model, [photo.name for photo in photos], source, *ways)
    for beam_size, captions in zip(config.beam_sizes, found, strict=True):
        texts = {name: str(caption) for name, caption in captions.items()}
        scores[str(beam_size)] = scorer.score(texts, meteor=True)
        said += [
            {
                "photo": photo.name,
                "beam_size": beam_size,
                "caption": texts[photo.name],
                "references": photo.captions,
            }
            for photo in photos
        ]
    report = {
        "split": config.split,
        "photos": len(photos),
        "length_penalty": config.length_penalty,
        "no_repeat_ngram": config.no_repeat_ngram,
        "scores": scores,
    }
    print(table(report))
    if config.output is not None:
        _write(config.output, json.dumps(report, indent=1) + "\n")
    if config.captions_output is not None:
        _write(config.captions_output, "".join(json.dumps(row) + "\n" for row in said))
    return report


def table(report: dict[str, Any]) -> str:
    """A Markdown table of an evaluation's scores, one row per beam size."""
    names = list(next(iter(report["scores"].values())))
    lines = [
        f"| {report['split']}, {report['photos']} photos | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    for beam_size, scores in report["scores"].items():
        label = "greedy" if beam_size == "1" else f"beam {beam_size}"
        cells = " | ".join(f"{scores[name]:.1f}" for name in names)
        lines.append(f"| {label} | {cells} |")
    return "\n".join(lines)


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
    chunks = range(0, len(names), BATCH_SIZE)
    for start in tqdm(chunks, desc="captioning", unit="batch", leave=False):
        chunk = names[start : start + BATCH_SIZE]
        features = list(_features(model, chunk, source))
        for found, options in zip(captions, ways, strict=True):
            found |= zip(chunk, model.generate_captions(features, options), strict=True)
    return captions


def _features(
    model: ImageCaptioningModel, names: Sequence[str], source: PhotoSource
) -> Iterator[Features]:
    generator = np.random.default_rng(0)  # plain views need no chance
    for name in names:
        view, _ = source.view(name, generator)
        if isinstance(source, FeatureCache):
            yield Features(view.to(model.device), source.grid)
        else:
            yield model.encode_tensor(view)


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
