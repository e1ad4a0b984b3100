"""The stages on a small data set: prepare, fit, resume, evaluate."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file
from torch.nn import functional as F

import train.loop
from captioner import FeatureExtractor, load_model
from captioner.images import load_image, to_tensor
from captioner.vocabulary import PAD_ID
from train.__main__ import main
from train.config import EvaluateConfig, FitConfig, PrepareConfig
from train.evaluate import evaluate, table
from train.features import FeatureCache, build_vocabulary, prepare
from train.loop import caption_losses, fit

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (250,) * 3}
ENCODER = "tf_efficientnet_lite2"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos of one colour each, their captions and splits."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "photos").mkdir()
    rows = ["image_name| comment_number| comment"]
    names: dict[str, list[str]] = {"train": [], "val": []}
    for number in range(12):
        colour = list(COLOURS)[number % 4]
        name = f"{number}.jpg"
        photo = Image.new("RGB", (64, 48), COLOURS[colour])
        photo.paste("black", (0, 0, 8, 48))  # tells left from right
        photo.save(folder / "photos" / name)
        rows += [f"{name}| 0| a {colour} wall .", f"{name}| 1| one {colour} wall ."]
        names["train" if number < 8 else "val"].append(name)
    rows.append("10.jpg| 2| an unheard word .")  # of the val split
    (folder / "results.csv").write_text("\n".join(rows), encoding="utf-8")
    for split, members in names.items():
        (folder / f"{split}.txt").write_text("\n".join(members), encoding="utf-8")
    return folder


def common(data: Path) -> dict[str, Any]:
    return {
        "captions": data / "results.csv",
        "splits": data,
        "photos": data / "photos",
        "encoder": ENCODER,
        "image_size": 64,
        "min_frequency": 1,
    }


@pytest.fixture(scope="module")
def features(data: Path) -> Path:
    config = PrepareConfig(**common(data), features=data / "features", views=3)
    prepare(config)
    return config.features


@pytest.fixture
def config(data: Path, features: Path, tmp_path: Path) -> FitConfig:
    return FitConfig(
        **common(data),
        features=features,
        name="run",
        runs=tmp_path,
        epochs=4,
        batch_photos=3,
        embedding_size=16,
        hidden_size=24,
        attention_size=8,
        projection_size=16,
        dropout=0.1,
        lr=1e-2,
        ema_decay=0.5,
    )


def rows_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def test_the_vocabulary_holds_the_train_splits_words_only(data: Path, tmp_path: Path) -> None:
    vocabulary = build_vocabulary(PrepareConfig(**common(data), features=tmp_path))
    assert "wall" in vocabulary
    assert "unheard" not in vocabulary
    assert "." not in vocabulary


def test_cached_features_are_what_the_encoder_gives(data: Path, features: Path) -> None:
    cache = FeatureCache(features, random_views=False)
    model = train.loop._build_model(
        FitConfig(**common(data), name="x", features=features),
        build_vocabulary(PrepareConfig(**common(data), features=features)),
    )
    for name in ("0.jpg", "9.jpg"):  # of several views, and of one
        view, mirrored = cache.view(name, np.random.default_rng(0))
        encoded = model.encode(data / "photos" / name)
        assert encoded.grid == cache.grid
        assert not mirrored
        torch.testing.assert_close(view, encoded.regions, atol=2e-3, rtol=2e-3)


def test_train_photos_have_several_views_and_val_photos_their_plain_one(features: Path) -> None:
    cache = FeatureCache(features, random_views=True)
    generator = np.random.default_rng(0)
    train_views = {float(cache.view("0.jpg", generator)[0].sum()) for _ in range(30)}
    val_views = {float(cache.view("9.jpg", generator)[0].sum()) for _ in range(30)}
    assert len(train_views) == 3
    assert len(val_views) == 1


def test_the_second_view_is_the_mirror_image_and_says_so(data: Path, features: Path) -> None:
    cache = FeatureCache(features, random_views=True)
    mirror = ImageOps.mirror(load_image(data / "photos" / "0.jpg"))
    encoder = FeatureExtractor(ENCODER)
    with torch.inference_mode():
        wanted = encoder(to_tensor(mirror, cache.preprocess).unsqueeze(0))[0]
    generator = np.random.default_rng(0)
    views = [cache.view("0.jpg", generator) for _ in range(30)]
    flags = {flag for view, flag in views if torch.allclose(view, wanted, atol=1e-2)}
    assert flags == {True}


def test_an_interrupted_prepare_goes_on_to_the_same_features(
    data: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PrepareConfig(**common(data), features=tmp_path / "f", views=3, batch_size=2)
    monkeypatch.setattr("train.features.FLUSH_EVERY", 2)
    encode = train.features.FeatureExtractor.forward
    calls = 0

    def fail_at_the_seventh(self: Any, images: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return encode(self, images)

    monkeypatch.setattr("train.features.FeatureExtractor.forward", fail_at_the_seventh)
    with pytest.raises(KeyboardInterrupt):
        prepare(config)
    with pytest.raises(ValueError, match="holds 12 of 28 views"):
        FeatureCache(config.features, random_views=False)
    prepare(config)
    assert calls == 7 + 8  # 6 of the 14 batches were done and kept
    np.testing.assert_allclose(
        np.load(config.features / "features.npy").astype(np.float32),
        np.load(features / "features.npy").astype(np.float32),
        atol=1e-2,
    )


def test_features_made_otherwise_are_not_mixed_in(data: Path, features: Path) -> None:
    before = (features / "vocabulary.json").read_bytes()
    other = {**common(data), "min_frequency": 3}
    with pytest.raises(ValueError, match="made with other settings"):
        prepare(PrepareConfig(**other, features=features, views=2))
    assert (features / "vocabulary.json").read_bytes() == before


def test_features_of_other_weights_are_not_trained_on(config: FitConfig, tmp_path: Path) -> None:
    weights = FeatureExtractor(ENCODER).backbone.state_dict()
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    weights["conv_stem.weight"] += 0.1
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="of other weights of"):
        fit(replace(config, encoder_weights=str(tmp_path / "other.safetensors")))


def test_the_loss_is_cross_entropy_without_pads_plus_the_coverage_penalty() -> None:
    logits, alphas = torch.randn(2, 3, 7), torch.rand(2, 3, 4).softmax(2)
    targets = torch.tensor([[4, 5, 2], [6, 2, PAD_ID]])
    losses = caption_losses(logits, alphas, targets, 0.1, 0.5)
    words, ids = torch.cat([logits[0], logits[1, :2]]), torch.tensor([4, 5, 2, 6, 2])
    coverage = torch.stack([alphas[0].sum(0), alphas[1, :2].sum(0)])
    smoothed = F.cross_entropy(words, ids, label_smoothing=0.1)
    assert losses.words == 5
    torch.testing.assert_close(losses.nll, F.cross_entropy(words, ids))
    torch.testing.assert_close(losses.total, smoothed + 0.5 * ((1 - coverage) ** 2).mean())


def test_fit_learns_and_its_best_checkpoint_captions_photos_it_has_not_seen(
    config: FitConfig, data: Path
) -> None:
    best = fit(replace(config, epochs=30, lr=3e-2, batch_photos=2, label_smoothing=0.0))
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
    config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, ...]] = []

    def look(config: Any, model: Any, trainee: Any, batches: Any) -> dict[str, float]:
        chance = float(torch.rand(()))  # what dropout would draw first
        sums = [float(batch.photos.sum()) for batch in batches]
        seen.append((chance, round(sum(sums), 2), sums[0]))
        return {}

    monkeypatch.setattr("train.loop.train_epoch", look)
    fit(replace(config, epochs=2))
    first, second = seen
    assert all(one != other for one, other in zip(first, second, strict=True))


def test_a_run_records_settings_revision_metrics_and_curves(config: FitConfig) -> None:
    best = fit(replace(config, epochs=1))
    note = json.loads((best.parent / "config.json").read_text(encoding="utf-8"))
    assert note["settings"]["lr"] == config.lr
    assert note["settings"]["seed"] == 0
    assert note["git_revision"]
    assert {"train_loss", "val_loss", "CIDEr-D", "BLEU-4", "lr"} <= rows_of(best.parent)[0].keys()
    assert list((best.parent / "tensorboard").iterdir())


def test_a_resumed_run_ends_with_the_numbers_of_an_uninterrupted_one(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(config)
    train_epoch = train.loop.train_epoch
    calls = 0

    def stop_in_the_third(*arguments: Any) -> dict[str, float]:
        nonlocal calls
        calls += 1
        metrics = train_epoch(*arguments)  # the weights have changed, and are lost
        if calls == 3:
            raise KeyboardInterrupt
        return metrics

    monkeypatch.setattr("train.loop.train_epoch", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        fit(replace(config, name="cut"))
    assert len(rows_of(config.runs / "cut")) == 2
    resumed = fit(replace(config, name="cut", resume=True))
    assert rows_of(resumed.parent) == rows_of(whole.parent)
    assert (resumed / "model.safetensors").read_bytes() == (
        whole / "model.safetensors"
    ).read_bytes()


def test_a_run_killed_in_its_first_epoch_can_be_resumed(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: Any) -> dict[str, float]:
        raise KeyboardInterrupt

    small = replace(config, epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr("train.loop.train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(small)
    fit(replace(small, resume=True))
    assert len(rows_of(config.runs / "run")) == 1


def test_a_run_can_begin_with_the_weights_of_another(config: FitConfig, tmp_path: Path) -> None:
    best = fit(config)
    further = replace(config, name="further", start_from=best, dropout=0.3, lr=1e-6)
    fit(replace(further, epochs=1))
    first = rows_of(tmp_path / "further")[0]
    kept = max(rows_of(tmp_path / "run"), key=lambda row: row["CIDEr-D"])
    assert first["val_loss"] == pytest.approx(kept["val_loss"], abs=0.02)
    with pytest.raises(ValueError, match="hidden_size=24"):
        fit(replace(further, name="other", hidden_size=16))


def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(config: FitConfig) -> None:
    fit(replace(config, epochs=1))
    with pytest.raises(ValueError, match="add --resume"):
        fit(replace(config, epochs=1))
    with pytest.raises(ValueError, match="begun with other settings: lr was"):
        fit(replace(config, epochs=1, lr=0.5, resume=True))
    with pytest.raises(FileNotFoundError, match="no run to resume in"):
        fit(replace(config, name="other", resume=True))


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
    assert report["photos"] == 4
    assert report["scores"]["3"].keys() >= {"BLEU-4", "METEOR", "ROUGE-L", "CIDEr-D"}
    assert table(report) in capsys.readouterr().out


def test_photos_and_cached_features_give_the_same_scores(
    config: FitConfig, data: Path, features: Path
) -> None:
    best = fit(replace(config, epochs=2))
    settings = EvaluateConfig(
        checkpoint=best,
        captions=data / "results.csv",
        splits=data,
        photos=data / "photos",
        beam_sizes=(3,),
    )
    scores = evaluate(settings)["scores"]
    assert evaluate(replace(settings, photos=None, features=features))["scores"] == scores


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
