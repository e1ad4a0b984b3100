"""The `evaluate` stage, on an untrained model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner import ModelConfig, PreprocessConfig, Vocabulary, save_model
from captioner.vocabulary import tokenize
from tests.tiny_models import build_model
from train.__main__ import main
from train.config import EvaluateConfig
from train.evaluate import evaluate
from train.report import table


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
    assert report.keys() == {"settings", "scores", "diversity"}
    assert {score["low"] for score in report["scores"]["1"].values()} == {None}
    assert table(json.loads(output.read_text(encoding="utf-8"))) in capsys.readouterr().out


def test_another_seed_draws_other_samples_and_orders_alone(
    settings: EvaluateConfig, report: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it matter how many photos go into a batch."""
    monkeypatch.setattr("train.evaluate.BATCH_SIZE", 1)
    other = evaluate(replace(settings, seed=1, beam_sizes=(3,), captions_output=None))
    assert other["scores"]["3"] != report["scores"]["3"]
    for name, score in report["scores"]["3"].items():
        assert other["scores"]["3"][name]["value"] == score["value"]
    drops, others = report["deletion"], other["deletion"]
    assert others["photos"] == drops["photos"] == 2
    assert others["attention"]["value"] == pytest.approx(drops["attention"]["value"], abs=1e-6)
    assert others["random"]["value"] != pytest.approx(drops["random"]["value"], abs=1e-6)


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
