"""The `evaluate` stage: a checkpoint's captions of a split, scored. Prints tables, writes JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from captioner.captions import Caption
from captioner.checkpoint import load_model
from captioner.model import ImageCaptioningModel
from train.bootstrap import Array, measure
from train.calibration import calibration_scores
from train.config import EvaluateConfig
from train.data import CaptionedPhoto, PhotoFiles
from train.familiarity import familiarity_scores
from train.findings import Findings, caption_photos, decoding_ways, has_boxes, look
from train.grounding import attention_scores, compare_caption, deletion_scores, named_boxes
from train.metrics import Scorer, diversity
from train.named import NamedPhoto, named_scores, read_labels
from train.objects import ObjectFinder, invented_counts, invented_scores
from train.report import REFERENCES, table
from train.runs import find_device
from train.sets import load_sets, load_split
from train.wordnet import WordNet

ALL_SETS = "all sets"
"""What the photos of several data sets together are called in a report."""


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Score a checkpoint.

    Returns:
        What the JSON file holds: of one data set what `report_on` gives; of several the same by
        name under `sets`; and with named photos what `report_on_named` gives beside it.

    Raises:
        FileNotFoundError, ValueError: checkpoint or data are missing or unfit.
    """
    model = _load(config)
    wordnet = None if config.wordnet is None else WordNet(config.wordnet)
    finder = None if wordnet is None else ObjectFinder(wordnet)
    named = None if wordnet is None else _named_set(config, wordnet)
    sets = load_sets(config, config.split, config.limit)
    scorers = {name: _scorer(photos) for name, photos in sets.items()}
    train_captions = [text for photo in load_split(config, "train") for text in photo.captions]
    found = look(config, model, sets)
    by_set = {name: found.of(photos) for name, photos in sets.items()}
    reports = {
        name: report_on(config, model, part, scorers[name], train_captions, finder)
        for name, part in by_set.items()
    }
    report = {"sets": reports} if len(reports) > 1 else next(iter(reports.values()))
    if named is not None:
        report |= report_on_named(config, model, named, by_set)
    print(table(report))
    if config.output is not None:
        _write(config.output, json.dumps(report, indent=1) + "\n")
    if config.captions_output is not None:
        _write(config.captions_output, _caption_lines(sets, found))
    return report


def _load(config: EvaluateConfig) -> ImageCaptioningModel:
    model = load_model(config.checkpoint, find_device(config.device))
    if config.closed_gate:
        if model.decoder.pointing is None:
            raise ValueError(f"{config.checkpoint} has no pointing gate to close")
        model.decoder.pointing.close()
    return model


class NamedSet(NamedTuple):
    """Photos of things of known classes."""

    labels: list[NamedPhoto]
    photos: dict[str, CaptionedPhoto]
    """By name; without captions."""
    wordnet: WordNet
    """Which has the classes."""


def _named_set(config: EvaluateConfig, wordnet: WordNet) -> NamedSet | None:
    """The named photos, checked before any photo is captioned; None if there are none."""
    if config.named_photos is None or config.named_labels is None:
        return None
    labels = read_labels(config.named_labels)
    for label in labels:
        wordnet.find(label.synset)
        if not (config.named_photos / label.photo).is_file():
            raise FileNotFoundError(f"no such named photo: {config.named_photos / label.photo}")
    photos = {
        label.photo: CaptionedPhoto(label.photo, (), config.named_photos / label.photo)
        for label in labels
    }
    return NamedSet(labels, photos, wordnet)


def report_on(
    config: EvaluateConfig,
    model: ImageCaptioningModel,
    found: Findings,
    scorer: Scorer,
    train_captions: Sequence[str],
    finder: ObjectFinder | None,
) -> dict[str, Any]:
    """Report on one data set. Every measure is added here, from what `look` has found.

    Args:
        found: of this data set's photos.
        scorer: of their references.
        train_captions: of all data sets.
        finder: of objects in captions; None leaves them out.

    Returns:
        `settings`; `scores` and `diversity` by beam size; `calibration` at the references' words;
        with a finder, `invented` objects by beam size; with boxes, `attention` at the references'
        words and by beam size; and `deletion`, of captions of the first beam size. See
        `metrics.Scorer`, `metrics.diversity`, `calibration.calibration_scores`,
        `objects.invented_scores`, `grounding.attention_scores` and `grounding.deletion_scores`;
        scores are as `bootstrap.measure` gives them.
    """
    sampling = config.bootstrap, config.seed
    report: dict[str, Any] = {"settings": _settings(config, found), "scores": {}, "diversity": {}}
    for way, captions in found.captions.items():
        texts = _texts(captions)
        tallies = scorer.tally(texts, meteor=True)
        report["scores"][way] = {name: measure(tallies[name], *sampling) for name in tallies}
        report["diversity"][way] = diversity(list(texts.values()), train_captions)
    counts = list(found.calibration.values())
    report["calibration"] = calibration_scores(counts, *sampling)
    if finder is not None:
        inventions = _inventions(finder, found)
        report["invented"] = {
            way: invented_scores(inventions[way], *sampling) for way in inventions
        }
    if has_boxes(found.phrases):
        sums = {REFERENCES: list(found.references.values()), **_comparisons(model, found)}
        report["attention"] = {way: attention_scores(sums[way], *sampling) for way in sums}
    if found.drops:
        drops = list(found.drops.values())
        report["deletion"] = deletion_scores(drops, found.regions, *sampling)
    return report


def report_on_named(
    config: EvaluateConfig,
    model: ImageCaptioningModel,
    named: NamedSet,
    found: Mapping[str, Findings],
) -> dict[str, Any]:
    """Report on captions of the named photos, which no data set has.

    Args:
        found: by the name of the data set.

    Returns:
        `named` by beam size, see `named.named_scores`; and, of a model whose captions have it,
        `familiarity` of the photos of each data set, and of all of them where there are several,
        against the named ones, see `familiarity.familiarity_scores`.
    """
    sampling = config.bootstrap, config.seed
    ways = decoding_ways(config)
    source = PhotoFiles(named.photos.values(), model.config.preprocess)
    said = dict(
        zip(ways, caption_photos(model, list(named.photos), source, *ways.values()), strict=True)
    )
    scores = {
        way: named_scores(named.labels, _texts(captions), named.wordnet, *sampling)
        for way, captions in said.items()
    }
    first = str(config.beam_sizes[0])
    unknown = _familiarities(said[first])
    known = {name: _familiarities(part.captions[first]) for name, part in found.items()}
    if len(known) > 1:
        known[ALL_SETS] = [value for values in known.values() for value in values]
    if not unknown:
        return {"named": scores}
    familiarity = {
        name: familiarity_scores(values, unknown, *sampling) for name, values in known.items()
    }
    return {"named": scores, "familiarity": familiarity}


def _familiarities(captions: Mapping[str, Caption]) -> list[float]:
    """Of the captions that have one."""
    found = (caption.familiarity for caption in captions.values())
    return [familiarity for familiarity in found if familiarity is not None]


def _texts(captions: Mapping[str, Caption]) -> dict[str, str]:
    return {name: str(caption) for name, caption in captions.items()}


def _inventions(finder: ObjectFinder, found: Findings) -> dict[str, Array]:
    """By beam size, the `objects.invented_counts` of the model's captions."""
    mentions = {photo.name: finder.mentions(photo.captions) for photo in found.photos}
    return {
        way: invented_counts(finder, mentions, _texts(captions))
        for way, captions in found.captions.items()
    }


def _scorer(photos: Sequence[CaptionedPhoto]) -> Scorer:
    return Scorer({photo.name: photo.captions for photo in photos})


def _comparisons(model: ImageCaptioningModel, found: Findings) -> dict[str, list[Array]]:
    """By beam size and photo, sums of `grounding.compare` at the words of the model's captions."""
    boxes = {
        photo.name: named_boxes(photo, found.phrases.get(photo.name, ()), model.vocabulary.tokenize)
        for photo in found.photos
    }
    return {
        way: [compare_caption(caption, boxes[name]) for name, caption in captions.items()]
        for way, captions in found.captions.items()
    }


def _settings(config: EvaluateConfig, found: Findings) -> dict[str, Any]:
    names = (
        *("split", "beam_sizes", "length_penalty", "no_repeat_ngram", "closed_gate"),
        *("bootstrap", "seed"),
    )
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


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
