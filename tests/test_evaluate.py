"""The `evaluate` stage, on an untrained model."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import (
    ImageCaptioningModel,
    ModelConfig,
    PreprocessConfig,
    Vocabulary,
    load_model,
    save_model,
)
from captioner.vocabulary import SPECIALS, tokenize
from tests.tiny_models import build_model
from tests.tiny_wordnet import write_wordnet
from train.__main__ import main
from train.config import EvaluateConfig
from train.evaluate import evaluate
from train.familiarity import auroc
from train.named import named_scores, read_labels
from train.report import table
from train.wordnet import WordNet


@pytest.fixture(scope="module")
def settings(data: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluateConfig:
    torch.manual_seed(0)
    vocabulary = Vocabulary(["a", "one", "red", "green", "blue", "white", "wall"], False)
    preprocess = PreprocessConfig(image_size=96)  # of 3 x 3 regions
    model = build_model(ModelConfig("test_resnet", preprocess=preprocess), vocabulary)
    folder = tmp_path_factory.mktemp("evaluate")
    save_model(model, folder / "checkpoint")
    return EvaluateConfig(
        checkpoint=folder / "checkpoint",
        captions=(data / "results.csv",),
        splits=(data,),
        photos=(data / "photos",),
        beam_sizes=(3, 1),
        bootstrap=50,
        boxes=(data / "boxes.json",),
        deletion_photos=2,
        output=folder / "report.json",
        captions_output=folder / "captions.jsonl",
    )


@pytest.fixture(scope="module")
def report(settings: EvaluateConfig) -> dict[str, Any]:
    return evaluate(settings)


@pytest.fixture(scope="module")
def measuring(data: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluateConfig:
    """Of a model with an open pointing gate and a summary of photos, on two data sets, with two
    named photos: a bloodhound and a fire engine."""
    torch.manual_seed(0)
    nouns = [("dog", "dogs", "a"), ("truck", "trucks", "a")]
    words = ["a", "one", "red", "wall", "dog", "dogs", "truck", "trucks"]
    config = ModelConfig(
        "test_resnet", preprocess=PreprocessConfig(image_size=96), photo_components=4
    )
    model = build_model(config, Vocabulary(words, False, nouns))
    summary, gate = model.training_photos, model.decoder.pointing
    assert summary is not None
    assert gate is not None
    with torch.no_grad():
        gate.gate.bias.fill_(2)
        photos = sorted((data / "photos").iterdir())
        regions = torch.stack([part.regions for part in model.encode_batch(photos)])
        summary.summarize(model.pretrained_means(regions), regions.mean((0, 1)), gate.classifier)
    folder = tmp_path_factory.mktemp("measuring")
    save_model(model, folder / "checkpoint")
    (folder / "wordnet").mkdir()
    labels = ["photo,class,synset,label", "0.jpg,0,n02088466,bloodhound", "2.jpg,1,n03345487,truck"]
    (folder / "labels.csv").write_text("\n".join(labels))
    other = folder / "other"
    (other / "photos").mkdir(parents=True)
    (other / "results.csv").write_text("image,caption\nx.jpg,two dogs\ny.jpg,a dog\n")
    for name in ("x", "y"):
        Image.effect_noise((40, 30), 90).convert("RGB").save(other / "photos" / f"{name}.jpg")
    (other / "train.txt").write_text("x.jpg")
    (other / "val.txt").write_text("y.jpg")
    return EvaluateConfig(
        checkpoint=folder / "checkpoint",
        captions=(data / "results.csv", other / "results.csv"),
        splits=(data, other),
        photos=(data / "photos", other / "photos"),
        beam_sizes=(3, 1),
        bootstrap=20,
        deletion_photos=0,
        wordnet=write_wordnet(folder / "wordnet"),
        named_photos=data / "photos",
        named_labels=folder / "labels.csv",
        captions_output=folder / "captions.jsonl",
    )


def said(settings: EvaluateConfig, beam_size: int) -> list[dict[str, Any]]:
    assert settings.captions_output is not None
    rows = settings.captions_output.read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, rows) if row["beam_size"] == beam_size]


def test_the_report_holds_scores_with_intervals_variety_attention_and_deletion(
    settings: EvaluateConfig, report: dict[str, Any]
) -> None:
    for scores in report["scores"].values():
        for score in scores.values():
            assert score["low"] <= score["value"] <= score["high"]
    assert report["scores"].keys() == report["diversity"].keys() == {"3", "1"}
    assert report["attention"].keys() == {"references", "3", "1"}
    assert report["attention"]["references"]["words"] == 8  # walls, twice for each photo
    assert report["attention"]["references"]["uniform_mass"]["value"] == pytest.approx(7 / 8)
    walls = sum(row["caption"].split().count("wall") for row in said(settings, 1))
    assert report["attention"]["1"]["words"] == walls > 0
    first = [tokenize(row["caption"]) for row in said(settings, 3)[:2]]
    assert report["deletion"]["photos"] == 2
    assert report["deletion"]["words"] == sum(map(len, first))


def test_the_report_is_written_as_it_was_printed(
    settings: EvaluateConfig, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And holds nothing that was not asked for."""
    output = tmp_path / "folder" / "report.json"
    plain = replace(settings, beam_sizes=(1,), bootstrap=0, boxes=(), deletion_photos=0)
    report = evaluate(replace(plain, output=output, captions_output=None))
    assert report.keys() == {"settings", "scores", "diversity", "calibration"}
    assert {score["low"] for score in report["scores"]["1"].values()} == {None}
    assert table(json.loads(output.read_text(encoding="utf-8"))) in capsys.readouterr().out


def test_another_seed_draws_other_samples_and_orders_alone(
    settings: EvaluateConfig, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it matter how many photos go into a batch."""
    monkeypatch.setattr("train.findings.BATCH_SIZE", 1)
    other = evaluate(replace(settings, seed=1, beam_sizes=(3,), captions_output=None))
    assert other["scores"]["3"] != report["scores"]["3"]
    for name, score in report["scores"]["3"].items():
        assert other["scores"]["3"][name]["value"] == score["value"]
    drops, others = report["deletion"], other["deletion"]
    assert others["photos"] == drops["photos"] == 2
    assert others["attention"]["value"] == pytest.approx(drops["attention"]["value"], abs=1e-6)
    assert others["random"]["value"] != pytest.approx(drops["random"]["value"], abs=1e-6)


def test_calibration_is_of_every_known_word_of_the_references(report: dict[str, Any]) -> None:
    """Eight captions of three words and an end, and one of unknown words and an end."""
    found = report["calibration"]
    assert found["words"] == 8 * 4 + 1
    assert sum(part["share"] for part in found["bins"]) == pytest.approx(1)
    assert found["error"]["low"] <= found["error"]["high"]


def test_objects_that_no_reference_has_are_invented(measuring: EvaluateConfig) -> None:
    """The references of one set have nothing but walls, those of the other one dogs."""
    sets = evaluate(measuring)["sets"]
    walls, dogs = sets["other"]["settings"], said(measuring, 1)
    assert walls["photos"] == 1
    (name,) = sets.keys() - {"other"}
    own = [row["caption"].split() for row in dogs if row["set"] == name]
    things = [{*words} & {"dog", "dogs", "truck", "trucks"} for words in own]
    found = sets[name]["invented"]["1"]
    assert found["objects"] == sum(map(len, things)) > 0
    assert found["per_caption"]["value"] == found["objects"] / 4
    assert found["objects_share"]["value"] == 1
    (row,) = (row for row in dogs if row["set"] == "other")
    trucks = len({*row["caption"].split()} & {"truck", "trucks"})
    assert sets["other"]["invented"]["1"]["per_caption"]["value"] == trucks


def test_named_photos_are_captioned_with_every_beam_size_and_compared_in_familiarity(
    measuring: EvaluateConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scored: list[Mapping[str, str]] = []

    def score(labels: Any, texts: Mapping[str, str], *rest: Any) -> dict[str, Any]:
        scored.append(texts)
        return named_scores(labels, texts, *rest)

    monkeypatch.setattr("train.evaluate.named_scores", score)
    report = evaluate(replace(measuring, captions_output=None))
    assert report.keys() == {"sets", "named", "familiarity"}
    assert "## named photos\n\n| 2 named photos, % |" in capsys.readouterr().out
    model = load_model(measuring.checkpoint)
    assert measuring.named_photos is not None
    assert measuring.named_labels is not None
    assert measuring.wordnet is not None
    labels = read_labels(measuring.named_labels)
    photos = [measuring.named_photos / label.photo for label in labels]
    for beam_size, texts in zip((3, 1), scored, strict=True):
        captions = model.generate_captions(
            photos, beam_size=beam_size, length_penalty=0.7, no_repeat_ngram=3
        )
        assert [texts[label.photo] for label in labels] == list(map(str, captions))
        found = named_scores(labels, texts, WordNet(measuring.wordnet), 20, 0)
        assert report["named"][str(beam_size)] == found
        assert found["beyond_dogs"] == 1
    assert scored[0] != scored[1]
    unknown = [caption.familiarity for caption in captions]
    known = [
        caption.familiarity
        for folder, names in zip(measuring.photos, (("8", "9", "10", "11"), ("y",)), strict=True)
        for caption in model.generate_captions([folder / f"{name}.jpg" for name in names])
    ]
    parts = {"other": known[4:], "all sets": known}
    for name, values in parts.items():
        found = report["familiarity"][name]
        assert (found["known"], found["unknown"]) == (len(values), 2)
        assert found["known_median"] == pytest.approx(np.median(values))
        assert found["unknown_median"] == pytest.approx(np.median(unknown))
        assert found["auroc"]["value"] == auroc(values, unknown)
    assert len(report["familiarity"]) == 3


def test_one_data_set_has_the_named_photos_in_its_own_report(measuring: EvaluateConfig) -> None:
    single = {name: getattr(measuring, name)[1:] for name in ("captions", "splits", "photos")}
    report = evaluate(replace(measuring, **single, captions_output=None))
    assert {"scores", "named", "familiarity"} <= report.keys()
    assert report["familiarity"].keys() == {"other"}


def test_a_model_that_knows_no_training_photos_has_no_familiarity(
    settings: EvaluateConfig, measuring: EvaluateConfig
) -> None:
    named = {name: getattr(measuring, name) for name in ("wordnet", "named_photos", "named_labels")}
    report = evaluate(replace(settings, **named, boxes=(), deletion_photos=0, captions_output=None))
    assert "named" in report
    assert "familiarity" not in report


def test_a_closed_gate_leaves_the_captions_of_the_model_without_it(
    measuring: EvaluateConfig, tmp_path: Path
) -> None:
    given = load_model(measuring.checkpoint)
    vocabulary = Vocabulary(given.vocabulary.words[len(SPECIALS) :], False)
    config = replace(given.config, photo_components=0)
    model = ImageCaptioningModel(config, vocabulary, given.encoder)
    state = given.state_dict()
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    save_model(model.eval(), tmp_path / "plain")
    texts: list[list[str]] = []
    for checkpoint, closed_gate in (
        (tmp_path / "plain", False),
        (measuring.checkpoint, True),
        (measuring.checkpoint, False),
    ):
        run = replace(
            measuring,
            checkpoint=checkpoint,
            closed_gate=closed_gate,
            captions_output=tmp_path / "captions.jsonl",
        )
        report = evaluate(run)
        assert report["sets"]["other"]["settings"]["closed_gate"] == closed_gate
        texts.append([row["caption"] for row in said(run, 1) + said(run, 3)])
    plain, closed, opened = texts
    assert plain == closed != opened


def test_a_model_without_a_gate_has_none_to_close(settings: EvaluateConfig) -> None:
    with pytest.raises(ValueError, match="has no pointing gate to close"):
        evaluate(replace(settings, closed_gate=True))


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ("none.jpg,0,n02088466,bloodhound", FileNotFoundError, r"no such named photo: .*none\.jpg"),
        ("0.jpg,0,n00000002,nothing", ValueError, "no noun n00000002"),
    ],
)
def test_named_photos_that_are_missing_or_of_unknown_things_are_refused_at_once(
    measuring: EvaluateConfig,
    row: str,
    error: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.delattr("train.evaluate.look")
    (tmp_path / "labels.csv").write_text(f"photo,class,synset,label\n{row}\n")
    with pytest.raises(error, match=message):
        evaluate(replace(measuring, named_labels=tmp_path / "labels.csv"))


@pytest.mark.parametrize("given", ["--wordnet=w", "--named-labels=l"])
def test_named_photos_need_labels_and_wordnet(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = {"--wordnet=w": "--named-labels", "--named-labels=l": "--wordnet"}[given]
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--captions=x", "--photos=y", "--named-photos=p", given])
    assert stop.value.code == 2
    assert f"--named-photos needs {missing}" in capsys.readouterr().err


def test_boxes_of_other_photos_are_refused(settings: EvaluateConfig, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"none\.json has no boxes for captions of the val split"):
        evaluate(replace(settings, boxes=(tmp_path / "none.json",)))


@pytest.mark.parametrize("name", ["bootstrap", "deletion-photos", "seed", "limit"])
def test_wrong_usage_says_what_is_wrong(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--captions=x", "--photos=y", f"--{name}=-1"])
    assert stop.value.code == 2
    assert f"{name.replace('-', '_')} must be at least 0, got -1" in capsys.readouterr().err
