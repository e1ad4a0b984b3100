"""The settings of each stage: the stage reads all of them, and flags given in vain are refused."""

import re
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tests.colour_walls import common
from tests.painted import write_painted
from tests.tiny_wordnet import write_wordnet
from train.__main__ import STAGES, main
from train.calibrate import calibrate
from train.config import (
    CalibrateConfig,
    EvaluateConfig,
    FitConfig,
    PointConfig,
    PrepareConfig,
    PublishConfig,
    RefineConfig,
)
from train.evaluate import evaluate
from train.features import prepare
from train.fit import fit
from train.point import point
from train.refine import refine

RECORDERS_OF_NOTHING = ("dataclasses", "train.config", "train.flags")
"""Modules that read every field, whatever the stage does."""


def recording(config: Any, seen: set[str]) -> Any:
    """A copy of a configuration that notes the fields that a stage reads."""

    class Recorder(type(config)):
        def __getattribute__(self, name: str) -> Any:
            if sys._getframe(1).f_globals["__name__"] not in RECORDERS_OF_NOTHING:
                seen.add(name)
            return super().__getattribute__(name)

    return Recorder(**{item.name: getattr(config, item.name) for item in fields(config)})


def unread(config_type: type[Any], *runs: tuple[Callable[[Any], object], Any]) -> set[str]:
    """The fields of a stage's configuration that none of these runs reads.

    The command line itself reads `recipe`.
    """
    seen = {"recipe"}
    for stage, config in runs:
        stage(recording(config, seen))
    return {item.name for item in fields(config_type)} - seen


def test_prepare_reads_all_of_its_settings(data: Path, tmp_path: Path) -> None:
    config = PrepareConfig(**common(data), features=tmp_path / "f", views=3, limit=1)
    assert unread(PrepareConfig, (prepare, config)) == set()


def test_fit_refine_and_evaluate_read_all_of_their_settings(
    fit_config: FitConfig, data: Path
) -> None:
    fit_config = replace(fit_config, epochs=1, boxes=(data / "boxes.json",))
    from_photos = replace(
        fit_config, name="photos", features=None, augmentation="none", finetune_stages=1
    )
    assert unread(FitConfig, (fit, fit_config), (fit, from_photos)) == set()
    given = {
        name: getattr(from_photos, name)
        for name in ("captions", "splits", "photos", "device", "runs", "boxes", "augmentation")
    }
    wordnet = fit_config.runs / "wordnet"
    wordnet.mkdir()
    refining = RefineConfig(
        **given,
        invented_penalty=0.1,
        wordnet=write_wordnet(wordnet),
        name="refined",
        start_from=fit_config.runs / "run" / "best",
        epochs=1,
        finetune_stages=1,
    )
    assert unread(RefineConfig, (refine, refining)) == set()
    labels = wordnet / "labels.csv"
    labels.write_text("photo,class,synset,label\n0.jpg,0,n02088466,bloodhound\n")
    evaluation = EvaluateConfig(
        checkpoint=refining.start_from,
        captions=(data / "results.csv",),
        splits=(data,),
        photos=(data / "photos",),
        bootstrap=10,
        deletion_photos=1,
        beam_sizes=(1,),
        wordnet=wordnet,
        named_photos=data / "photos",
        named_labels=labels,
    )
    assert unread(EvaluateConfig, (evaluate, evaluation)) == set()


def test_point_and_calibrate_read_all_of_their_settings(tmp_path: Path) -> None:
    """`calibrate --autocast` had no effect."""
    painted = write_painted(tmp_path / "painted")
    given: dict[str, Any] = {
        "captions": (painted / "results.csv",),
        "splits": (painted,),
        "photos": (painted / "photos",),
        "checkpoint": painted / "checkpoint",
        "device": "cpu",
        "limit": 6,
        "autocast": True,
    }
    pointing = PointConfig(
        **given,
        output=tmp_path / "pointed",
        class_nouns=painted / "nouns.csv",
        encoder_weights=str(painted / "encoder.pth"),
        epochs=1,
    )
    assert unread(PointConfig, (point, pointing)) == set()
    calibration = CalibrateConfig(**given, output=tmp_path / "calibrated", photo_components=3)
    assert unread(CalibrateConfig, (calibrate, calibration)) == set()


def test_publish_reads_all_of_its_settings() -> None:
    code = Path(sys.modules["train.publish"].__file__ or "").read_text(encoding="utf-8")
    read = set(re.findall(r"\bconfig\.(\w+)", code))
    assert read == {item.name for item in fields(PublishConfig)}


FIT = ["fit", "--captions=c", "--name=n"]
REFINE = ["refine", "--captions=c", "--name=n", "--start-from=s"]
EVALUATE = ["evaluate", "--captions=c", "--features=f"]
POINT = ["point", "--captions=c", "--checkpoint=k", "--output=o", "--class-nouns=n"]
CALIBRATE = ["calibrate", "--captions=c", "--checkpoint=k", "--output=o"]
PREPARE = ["prepare", "--captions=c", "--photos=p", "--features=f"]


@pytest.mark.parametrize(
    ("command", "flag", "needed"),
    [
        ([*FIT, "--features=f"], "--augmentation=classic", "without --features"),
        ([*FIT, "--features=f"], "--min-frequency=3", "without --features"),
        ([*FIT, "--features=f"], "--no-keep-punctuation", "without --features"),
        ([*FIT, "--features=f", "--samples=0"], "--photos=p", "without --features or with"),
        ([*FIT, "--photos=p"], "--box-weight=1", "with --boxes"),
        ([*FIT, "--photos=p"], "--box-words=last", "with --boxes"),
        ([*FIT, "--photos=p"], "--encoder-lr=1", "with --finetune-stages"),
        ([*FIT, "--photos=p"], "--finetune-statistics", "with --finetune-stages"),
        ([*FIT, "--photos=p", "--optimizer=adam"], "--weight-decay=1", "--optimizer adamw"),
        ([*FIT, "--photos=p", "--recipe=classic"], "--weight-decay=1", "--optimizer adamw"),
        ([*FIT, "--photos=p", "--start-from=s"], "--word-vectors=v", "without --start-from"),
        ([*FIT, "--photos=p", "--start-from=s"], "--encoder-weights=v", "without --start-from"),
        ([*REFINE, "--features=f"], "--augmentation=none", "without --features"),
        ([*REFINE, "--photos=p", "--cross-entropy=0"], "--label-smoothing=0.2", "--cross-entropy"),
        ([*REFINE, "--photos=p", "--cross-entropy=0"], "--doubly-stochastic=1", "--cross-entropy"),
        ([*REFINE, "--photos=p"], "--box-weight=1", "with --boxes and --cross-entropy"),
        ([*REFINE, "--photos=p"], "--wordnet=w", "with --invented-penalty above 0"),
        (EVALUATE, "--photos=p", "without --features"),
        (EVALUATE, "--named-labels=l", "with --named-photos"),
        ([*PREPARE, "--views=2"], "--augmentation=classic", "with --views above 2"),
        ([*PREPARE, "--views=2"], "--seed=1", "with --views above 2"),
        ([*POINT, "--features=f"], "--photos=p", "without --features"),
        ([*CALIBRATE, "--features=f"], "--photos=p", "without --features"),
        (["publish", "--space=a/b"], "--photo=p", "with --repo"),
        (["publish", "--space=a/b"], "--checkpoint=c", "with --repo"),
        (["publish", "--space=a/b"], "--revision=r", "with --repo"),
    ],
)
def test_a_flag_given_in_vain_is_refused(
    command: list[str], flag: str, needed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, flag])
    assert stop.value.code == 2
    name = flag.split("=")[0].replace("--no-", "--")
    errors = capsys.readouterr().err
    assert f"{name} has an effect only " in errors
    assert needed in errors


@pytest.mark.parametrize(
    "flag", ["--encoder=resnet50", "--min-frequency=3", "--image-size=64", "--group-captions"]
)
def test_refine_refuses_settings_that_its_checkpoint_decides(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It took all settings of a new model, and ignored them."""
    with pytest.raises(SystemExit) as stop:
        main([*REFINE, "--photos=p", flag])
    assert stop.value.code == 2
    assert f"unrecognized arguments: {flag}" in capsys.readouterr().err


def test_calibrate_refuses_a_seed_since_nothing_in_it_is_random(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*CALIBRATE, "--photos=p", "--seed=1"])
    assert stop.value.code == 2
    assert "unrecognized arguments: --seed=1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (POINT, "this stage needs --features or --photos"),
        (CALIBRATE, "this stage needs --features or --photos"),
        ([*POINT, "--photos=p", "--hidden=1"], "hidden must be at least 0 and below 1, got 1.0"),
        ([*POINT, "--photos=p", "--lr=0"], "lr must be above 0, got 0.0"),
        ([*POINT, "--photos=p", "--epochs=0"], "epochs must be at least 1, got 0"),
        ([*POINT, "--photos=p", "--batch-words=0"], "batch_words must be at least 1, got 0"),
        ([*POINT, "--photos=p", "--recognizer-stages=-1"], "recognizer_stages must be at least 0"),
        ([*CALIBRATE, "--photos=p", "--photo-components=-1"], "photo_components must be at least"),
        ([*CALIBRATE, "--photos=p", "--batch-photos=0"], "batch_photos must be at least 1, got 0"),
        ([*CALIBRATE, "--photos=p", "--max-length=0"], "max_length must be at least 1, got 0"),
    ],
)
def test_wrong_settings_of_a_stage_that_changes_a_checkpoint_are_refused(
    command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("stage", STAGES)
def test_help_says_when_a_flag_has_an_effect(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([stage, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for item in fields(STAGES[stage].config_type):
        if item.metadata["only"] is not None:
            assert f"; only {item.metadata['only'].text}" in text
