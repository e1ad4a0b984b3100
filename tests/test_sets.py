"""Several data sets at once: which belong together, what they are called, and how often seen."""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train.fit
from captioner.vocabulary import tokenize
from tests.colour_walls import COLOURS, common, rows_of
from train.__main__ import main
from train.batches import Flickr30kDataset, WeightedSampler
from train.boxes import find_phrases, read_phrases
from train.config import DataConfig, EvaluateConfig, FitConfig, PrepareConfig
from train.data import CaptionedPhoto
from train.evaluate import evaluate
from train.features import FeatureCache, prepare
from train.fit import find_vocabulary, fit
from train.flags import add_flags, from_flags
from train.metrics import Scorer
from train.report import table
from train.sets import load_sets, load_split, name_sets


def write_floors(folder: Path) -> Path:
    """Six photos `f0.jpg` to `f5.jpg` of striped floors, a caption each; four to train."""
    (folder / "photos").mkdir(parents=True)
    rows = ["image,caption"]
    names: dict[str, list[str]] = {"train": [], "val": []}
    for number in range(6):
        colour = list(COLOURS)[number % 4]
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[::8] = COLOURS[colour]
        Image.fromarray(pixels).save(folder / "photos" / f"f{number}.jpg")
        rows.append(f"f{number}.jpg,a striped {colour} floor .")
        names["train" if number < 4 else "val"].append(f"f{number}.jpg")
    (folder / "captions.txt").write_text("\n".join(rows), encoding="utf-8")
    for split, members in names.items():
        (folder / f"{split}.txt").write_text("\n".join(members), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def floors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_floors(tmp_path_factory.mktemp("sets") / "striped_floors")


Both = dict[str, Any]
"""The settings captions, splits and photos, each a tuple of paths."""


def sets_of(data: Path, floors: Path) -> Both:
    return {
        "captions": (data / "results.csv", floors / "captions.txt"),
        "splits": (data, floors),
        "photos": (data / "photos", floors / "photos"),
    }


@pytest.fixture
def both(data: Path, floors: Path) -> Both:
    """Settings of both sets, walls first."""
    return sets_of(data, floors)


def test_photos_of_a_split_come_set_by_set_with_their_own_files_and_weights(
    both: Both, data: Path, floors: Path
) -> None:
    config = FitConfig(**both, name="run", weights=(1, 0.5))
    walls = [f"{number}.jpg" for number in range(8)]
    photos = load_split(config, "train")
    assert [photo.name for photo in photos] == [*walls, "f0.jpg", "f1.jpg", "f2.jpg", "f3.jpg"]
    assert photos[0].path == data / "photos" / "0.jpg"
    assert photos[8].path == floors / "photos" / "f0.jpg"
    assert [photo.weight for photo in photos] == [1] * 8 + [0.5] * 4
    first = [photo.name for photo in load_split(config, "val", limit=1)]
    assert first == ["8.jpg", "f4.jpg"]


def test_sets_are_called_by_their_folders_numbered_where_these_are_the_same() -> None:
    paths = ["a/x/results.csv", "b/x/results.csv", "x-2/results.csv", "b/x/captions.txt"]
    assert name_sets([Path(path) for path in paths]) == ["x", "x-2", "x-2-2", "x-3"]


def test_a_set_without_photos_in_a_split_is_left_out(both: Both, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("f0.jpg\nf1.jpg")
    (tmp_path / "val.txt").write_text("")
    config = DataConfig(captions=both["captions"], splits=(both["splits"][0], tmp_path))
    assert [len(photos) for photos in load_sets(config, "train").values()] == [8, 2]
    assert [len(photos) for photos in load_sets(config, "val").values()] == [4]
    alone = DataConfig(captions=both["captions"][1:], splits=(tmp_path,))
    with pytest.raises(ValueError, match=r"no photo of .*captions\.txt is in the val split"):
        load_sets(alone, "val")


def test_splits_of_another_set_are_refused(both: Both) -> None:
    config = DataConfig(captions=both["captions"], splits=both["splits"][::-1])
    with pytest.raises(ValueError, match=r"floors names no photo of .*results\.csv; give --capt"):
        load_split(config, "train")


def test_a_photo_in_two_sets_is_refused_unless_the_splits_of_one_leave_it_out(
    both: Both, tmp_path: Path
) -> None:
    captions = tmp_path / "captions.txt"
    captions.write_text("image,caption\n9.jpg,a wall\nnew.jpg,a door\n", encoding="utf-8")
    (tmp_path / "train.txt").write_text("new.jpg")
    (tmp_path / "val.txt").write_text("9.jpg")
    config = DataConfig(
        captions=(both["captions"][0], captions), splits=(both["splits"][0], tmp_path)
    )
    for split in ("train", "val"):
        with pytest.raises(ValueError, match=r"9\.jpg stands in both .*results.* and .*captions"):
            load_split(config, split)
    (tmp_path / "val.txt").write_text("")
    assert load_split(config, "train")[-1] == CaptionedPhoto("new.jpg", ("a door",))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--splits=s"], "--splits has 1 and --captions 2; give as many of both"),
        (["--photos=p", "--photos=p", "--photos=p"], "--photos has 3 and --captions 2"),
        (["--photos=p", "--photos=q", "--weights=1"], "--weights has 1 and --captions 2"),
        (["--photos=p", "--photos=q", "--weights", "1", "-1"], "weights must be at least 0"),
        (["--photos=p", "--photos=q", "--weights", "1", "nan"], "weights must be at least 0"),
    ],
)
def test_settings_that_do_not_fit_the_sets_are_wrong_usage(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--captions=c", "--captions=d", "--name=n", *flags])
    assert stop.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def draw(weights: list[float], seed: int) -> list[int]:
    return list(WeightedSampler(weights, torch.Generator().manual_seed(seed)))


def test_an_epoch_has_each_example_as_often_as_its_weight_on_average() -> None:
    weights = [1.0] * 4 + [2.25] * 8 + [0.5] * 6 + [0.0] * 2
    times: Counter[int] = Counter()
    for epoch in range(200):
        drawn = draw(weights, epoch)
        assert len(drawn) == len(WeightedSampler(weights, torch.Generator())) == 4 + 18 + 3
        assert len(set(drawn)) == len(drawn)  # an example that comes again has another number
        own = Counter(index % 20 for index in drawn)
        assert all(own[index] in {int(w), -int(-w // 1)} for index, w in enumerate(weights))
        times += own
    assert [times[index] / 200 for index in range(20)] == pytest.approx(weights, abs=0.15)


def test_a_draw_follows_from_the_seed_and_whole_weights_only_change_its_order() -> None:
    weights = [0.5] * 10
    assert draw(weights, 1) == draw(weights, 1)
    assert sorted(draw(weights, 1)) != sorted(draw(weights, 2))
    assert (
        draw([1.0] * 10, 1)
        == torch.randperm(10, generator=torch.Generator().manual_seed(1)).tolist()
    )


@pytest.fixture(scope="module")
def cache(data: Path, floors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cached features of both sets."""
    settings = common(data) | sets_of(data, floors)
    folder = tmp_path_factory.mktemp("cache")
    prepare(PrepareConfig(**settings, features=folder, views=2, stages_left=0))
    return folder


@pytest.fixture
def config(fit_config: FitConfig, both: Both, cache: Path) -> FitConfig:
    """A run on these features that takes seconds."""
    return replace(fit_config, **both, features=cache, epochs=2)


def test_one_cache_and_one_vocabulary_are_of_all_sets(config: FitConfig, cache: Path) -> None:
    """Train photos of all sets in order, then their val photos."""
    index = json.loads((cache / "index.json").read_text())
    walls, floors = [f"{n}.jpg" for n in range(12)], [f"f{n}.jpg" for n in range(6)]
    train = [[name, view] for name in [*walls[:8], *floors[:4]] for view in (0, 1)]
    assert index["views"] == [*train, *([name, 0] for name in [*walls[8:], *floors[4:]])]
    vocabulary = find_vocabulary(config)
    assert {"wall", "floor"} <= set(vocabulary.words)
    assert "unheard" not in vocabulary


def test_each_val_set_is_scored_apart_and_the_epoch_of_the_best_mean_is_kept(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = iter([10.0, 50.0, 40.0, 24.0, 90.0, -31.0])  # of both sets in three epochs
    score = Scorer.score
    kept: list[int] = []

    def scripted(*arguments: Any) -> dict[str, float]:
        return {**score(*arguments), "CIDEr-D": next(given)}

    monkeypatch.setattr("train.validation.Scorer.score", scripted)
    monkeypatch.setattr("train.validation.save_model", lambda *_: kept.append(len(kept)))
    run = fit(replace(config, epochs=3)).parent
    names = [path.parent.name for path in config.captions]
    rows = rows_of(run)
    assert [row["CIDEr-D"] for row in rows] == [30.0, 32.0, 29.5]
    assert [[row[f"{name}/CIDEr-D"] for name in names] for row in rows] == [
        [10, 50], [40, 24], [90, -31],
    ]  # fmt: skip
    assert len(kept) == 2
    assert {f"{names[1]}/val_loss", f"{names[1]}/BLEU-4"} <= rows[0].keys()
    assert not {"val_loss", "BLEU-4"} & rows[0].keys()
    tags = EventAccumulator(str(run / "tensorboard")).Reload().Tags()["scalars"]
    assert {"CIDEr-D", *(f"{name}/val/loss" for name in names)} <= set(tags)


def test_scores_of_a_val_set_do_not_depend_on_the_other(config: FitConfig) -> None:
    settings = replace(config, epochs=1, weights=(1, 0), name="both")
    alone = {name: getattr(config, name)[:1] for name in ("captions", "splits", "photos")}
    one = rows_of(fit(replace(config, epochs=1, **alone)).parent)[0]
    (two,) = rows_of(fit(settings).parent)
    name = config.captions[0].parent.name
    for score in ("val_loss", "distinct_words", "BLEU-1", "CIDEr-D"):
        assert two[f"{name}/{score}"] == one[score]


def test_a_run_sees_each_set_as_often_as_weighed_and_resumes_to_the_same_numbers(
    config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    train_epoch = train.fit.train_epoch

    def look(config: Any, state: Any, batches: Any, *rest: Any) -> dict[str, float]:
        held = list(batches)
        seen.append([name for batch in held for name, _ in batch.names])
        assert len(held) == steps
        if len(seen) == 4:
            raise KeyboardInterrupt
        return train_epoch(config, state, held, *rest)

    monkeypatch.setattr("train.fit.train_epoch", look)
    config = replace(config, weights=(0.5, 2), batch_photos=5, epochs=2)
    steps = 3  # of 4 walls and 8 floors
    whole = fit(config).parent
    for names in seen:
        times = Counter(names)
        assert sorted(times.values()) == [1] * 4 + [2] * 4
        assert all((count == 2) == name.startswith("f") for name, count in times.items())
    assert set(seen[0]) != set(seen[1])
    with pytest.raises(KeyboardInterrupt):
        fit(replace(config, name="cut"))
    assert rows_of(fit(replace(config, name="cut", resume=True)).parent) == rows_of(whole)
    assert seen[4] == seen[1]


def test_a_photo_that_comes_twice_in_an_epoch_has_another_view(config: FitConfig) -> None:
    photos = [replace(photo, weight=2.0) for photo in load_split(config, "train")[:4]]
    dataset = Flickr30kDataset(
        photos, find_vocabulary(config), FeatureCache(config.features or Path(), True), seed=3
    )
    mirrored = [[dataset[index + shift].mirrored for index in range(8)] for shift in (0, 8)]
    assert mirrored[0] != mirrored[1]
    for index in range(8):
        assert dataset[index].name == dataset[index + 8].name


def test_a_report_of_several_sets_has_one_for_each_as_if_alone(
    config: FitConfig, both: Both, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From photos; boxes are of one set alone, and the deletion test is of each set's first."""
    best = fit(replace(config, epochs=1))
    settings = EvaluateConfig(
        **both,
        checkpoint=best,
        beam_sizes=(2,),
        boxes=(both["captions"][0].parent / "boxes.json",),
        bootstrap=20,
        deletion_photos=1,
        captions_output=tmp_path / "captions.jsonl",
    )
    report = evaluate(settings)
    printed = capsys.readouterr().out
    names = [path.parent.name for path in both["captions"]]
    assert list(report["sets"]) == names
    walls, floors = (report["sets"][name] for name in names)
    assert floors.keys() == {"settings", "scores", "diversity", "calibration", "deletion"}
    assert (walls["settings"]["photos"], floors["settings"]["photos"]) == (4, 2)
    assert floors["deletion"]["photos"] == 1
    rows = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    assert [row["set"] for row in rows] == [names[0]] * 4 + [names[1]] * 2
    for name in names:
        assert f"## {name}\n\n{table(report['sets'][name])}" in printed
    alone = {key: value[:1] for key, value in both.items()}
    single = evaluate(replace(settings, **alone, captions_output=None))
    assert single.keys() == walls.keys()
    for part in ("settings", "scores", "calibration", "attention", "deletion"):
        assert single[part] == walls[part]


def test_boxes_may_be_in_several_files(config: FitConfig, data: Path, tmp_path: Path) -> None:
    boxes = json.loads((data / "boxes.json").read_text())
    paths = (tmp_path / "a.json", tmp_path / "b.json")
    paths[0].write_text(json.dumps({name: boxes[name] for name in boxes if name < "5"}))
    paths[1].write_text(json.dumps({name: boxes[name] for name in boxes if name >= "5"}))
    photos = load_split(config, "train")
    assert find_phrases(paths, photos, tokenize) == read_phrases(
        data / "boxes.json", photos, tokenize
    )


def test_every_stage_takes_several_sets_by_flags(both: Both) -> None:
    flags = [f"--{name}={path}" for name, paths in both.items() for path in paths]
    for stage, config_type in {"prepare": PrepareConfig, "evaluate": EvaluateConfig}.items():
        parser = argparse.ArgumentParser()
        add_flags(parser, config_type)
        rest = ["--features=f"] if stage == "prepare" else ["--boxes=a", "--boxes=b"]
        config = from_flags(config_type, parser.parse_args([*flags, *rest]))
        assert {name: getattr(config, name) for name in both} == both
        if stage == "evaluate":
            assert config.boxes == (Path("a"), Path("b"))
