"""The stages on a small data set: prepare, fit, resume, evaluate."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

import train.fit
from captioner import FeatureExtractor, load_model
from tests.colour_walls import COLOURS, ENCODER, rows_of
from train.__main__ import main
from train.batches import Batch
from train.config import EvaluateConfig, FitConfig
from train.evaluate import evaluate
from train.features import FeatureCache
from train.fit import fit
from train.report import table


@pytest.fixture(autouse=True)
def split_at_blanks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares most tests the Java tokenizer, started once an epoch: the captions are plain words."""

    def split(texts: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        return {name: [text.replace(" .", "") for text in group] for name, group in texts.items()}

    if "command_line" not in request.node.name:
        monkeypatch.setattr("train.metrics._ptb_tokenize", split)


def test_fit_learns_and_its_best_checkpoint_captions_photos_it_has_not_seen(
    fit_config: FitConfig, data: Path
) -> None:
    best = fit(replace(fit_config, epochs=30, lr=3e-2, batch_photos=2, label_smoothing=0.0))
    rows = rows_of(best.parent)
    assert rows[-1]["train_loss"] < 0.5 * rows[0]["train_loss"]
    assert rows[-1]["val_loss"] < rows[0]["val_loss"]
    model = load_model(best)
    right = 0
    for number in range(8, 12):  # photos it has not been trained on
        caption = str(model.generate_caption(data / "photos" / f"{number}.jpg"))
        right += list(COLOURS)[number % 4] in caption.split()
    assert right >= 3


def test_each_epoch_has_its_own_views_order_and_dropout(
    fit_config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, ...]] = []

    def look(config: Any, state: Any, batches: Iterable[Batch], *_: Any) -> dict[str, float]:
        chance = float(torch.rand(()))  # what dropout would draw first
        sums = [float(batch.photos.sum()) for batch in batches]
        seen.append((chance, round(sum(sums), 2), sums[0]))
        return {}

    monkeypatch.setattr("train.fit.train_epoch", look)
    fit(replace(fit_config, epochs=2))
    first, second = seen
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_run_records_settings_revision_metrics_and_curves(fit_config: FitConfig) -> None:
    best = fit(replace(fit_config, epochs=1))
    note = json.loads((best.parent / "config.json").read_text(encoding="utf-8"))
    assert note["settings"]["lr"] == fit_config.lr
    assert note["settings"]["seed"] == 0
    assert note["git_revision"]
    assert {"train_loss", "val_loss", "CIDEr-D", "BLEU-4", "lr"} <= rows_of(best.parent)[0].keys()
    assert list((best.parent / "tensorboard").iterdir())


def test_a_resumed_run_ends_with_the_numbers_of_an_uninterrupted_one(
    fit_config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(fit_config)
    train_epoch = train.fit.train_epoch
    calls = 0

    def stop_in_the_third(*arguments: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        metrics = train_epoch(*arguments)  # the weights have changed, and are lost
        if calls == 3:
            raise KeyboardInterrupt
        return metrics

    monkeypatch.setattr("train.fit.train_epoch", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        fit(replace(fit_config, name="cut"))
    assert len(rows_of(fit_config.runs / "cut")) == 2
    resumed = fit(replace(fit_config, name="cut", resume=True))
    assert rows_of(resumed.parent) == rows_of(whole.parent)
    assert (resumed / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()


def test_a_run_killed_in_its_first_epoch_can_be_resumed(
    fit_config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any) -> dict[str, float]:
        raise KeyboardInterrupt

    small = replace(fit_config, epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr("train.fit.train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(small)
    fit(replace(small, resume=True))
    assert len(rows_of(fit_config.runs / "run")) == 1


def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(
    fit_config: FitConfig,
) -> None:
    fit(replace(fit_config, epochs=1))
    with pytest.raises(ValueError, match="add --resume"):
        fit(replace(fit_config, epochs=1))
    with pytest.raises(ValueError, match="started with other settings: lr was"):
        fit(replace(fit_config, epochs=1, lr=0.5, resume=True))


@pytest.mark.slow
def test_every_stage_runs_from_photos_by_the_command_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--captions={data / 'results.csv'}", f"--splits={data}", f"--photos={data}/photos"]
    small = ["--embedding-size=8", "--hidden-size=8", "--attention-size=8", "--projection-size=0"]
    small += ["--no-gate", "--no-deep-output", "--epochs=1", "--limit=4", "--min-frequency=1"]
    small += ["--optimizer=adam", "--schedule=step", "--image-size=64", "--encoder=test_resnet"]
    weights = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), weights)
    small += [f"--encoder-weights={weights}", "--augmentation=classic"]
    assert main(["fit", *flags, *small, "--name=cli", f"--runs={tmp_path}"]) == 0
    checkpoint, output = tmp_path / "cli" / "best", tmp_path / "scores.json"
    evaluation = [f"--checkpoint={checkpoint}", f"--output={output}", "--beam-sizes", "3"]
    assert main(["evaluate", *flags, *evaluation]) == 0
    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["settings"]["photos"] == 4
    assert report["scores"]["3"].keys() >= {"BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D"}
    assert table(report) in capsys.readouterr().out


def test_photos_and_cached_features_give_the_same_scores(
    fit_config: FitConfig, data: Path, features: Path
) -> None:
    best = fit(replace(fit_config, epochs=2))
    settings = EvaluateConfig(
        checkpoint=best,
        captions=(data / "results.csv",),
        splits=(data,),
        photos=(data / "photos",),
        beam_sizes=(3,),
    )
    scores = evaluate(settings)["scores"]
    assert evaluate(replace(settings, photos=(), features=features))["scores"] == scores


def test_unfrozen_stages_are_trained_kept_and_evaluated(
    fit_config: FitConfig, data: Path, stages_left: Path
) -> None:
    """From cached features of what comes before them; the checkpoint then captions photos."""
    settings = replace(fit_config, features=stages_left, finetune_stages=2, encoder_lr=1e-3)
    model = load_model(fit(replace(settings, epochs=2)))
    given = FeatureExtractor(ENCODER)
    changed = {
        number
        for number, (stage, before) in enumerate(
            zip(model.encoder.stages, given.stages, strict=True)
        )
        for name, tensor in stage.state_dict().items()
        if not torch.equal(tensor.half(), before.state_dict()[name].half())
    }
    assert changed == {model.encoder.num_stages - 2, model.encoder.num_stages - 1}
    cache = FeatureCache(stages_left, random_views=False)
    cache.require(model.encoder, model.config.preprocess)  # for evaluate
    maps = cache.view("9.jpg", np.random.default_rng(0)).photo
    regions = model.encode(data / "photos" / "9.jpg").regions
    (features,) = model.encode_tensors([maps], 2)
    difference = features.regions - regions  # weights are saved as float16
    assert float(difference.norm() / regions.norm()) < 0.03


def test_more_stages_than_the_cached_features_leave_cannot_be_trained(
    fit_config: FitConfig, stages_left: Path
) -> None:
    """The encoder once got no gradient, and no error was raised."""
    with pytest.raises(ValueError, match=r"leave 0 stages .* to train, not 2; .* --stages-left 2"):
        fit(replace(fit_config, finetune_stages=2))
    with pytest.raises(ValueError, match=r"leave 2 stages .* to train, not 3"):
        fit(replace(fit_config, features=stages_left, finetune_stages=3))


def test_boxes_teach_the_attention_where_the_wall_is(fit_config: FitConfig, data: Path) -> None:
    settings = replace(
        fit_config, epochs=8, boxes=(data / "boxes.json",), box_words="last", position=False
    )
    fit(replace(settings, name="without", box_weight=0.0))
    fit(replace(settings, name="with", box_weight=2.0))
    without, taught = rows_of(fit_config.runs / "without"), rows_of(fit_config.runs / "with")
    assert taught[-1]["train_box"] < without[-1]["train_box"]
    assert taught[-1]["val_box"] < 0.95 * taught[0]["val_box"]
    assert 0 < taught[-1]["val_box"] < without[-1]["val_box"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["fit", "--captions=x", "--name=a"], "needs --features or --photos"),
        (["fit", "--captions=x", "--name=a/b", "--photos=y"], "name must be a plain folder name"),
        (["fit", "--captions=x", "--name=a", "--photos=y", "--dropout=1"], "dropout must be"),
        (["prepare", "--captions=x", "--photos=y", "--features=z", "--views=0"], "views must be"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(flags)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_missing_caption_file_is_told_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none.csv"
    assert main(["fit", f"--captions={missing}", "--photos=y", "--name=a", f"--runs={tmp_path}"])
    assert f"no such caption file: {missing}" in capsys.readouterr().err
