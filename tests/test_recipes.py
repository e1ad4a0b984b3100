"""Recipes: what their names stand for, and that given flags come before them."""

import argparse
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from captioner import load_model
from tests.colour_walls import rows_of
from train.__main__ import main
from train.config import RECIPES, FitConfig, PrepareConfig
from train.flags import add_flags, from_flags

NOT_OF_A_RECIPE = {
    # what there is, and where
    "captions", "splits", "photos", "weights", "encoder_weights", "features", "name", "runs",
    "boxes", "start_from", "word_vectors",
    # how it is worked on
    "recipe", "device", "seed", "workers", "limit", "resume", "batch_size", "samples",
    # without effect unless another flag enables what they belong to
    "box_weight", "box_words", "finetune_statistics", "encoder_lr",
}  # fmt: skip


def parse(config_type: type[Any], *flags: str) -> Any:
    parser = argparse.ArgumentParser()
    add_flags(parser, config_type)
    needed = ["--captions=c", "--photos=p"]
    needed += ["--name=n"] if config_type is FitConfig else ["--features=f"]
    return from_flags(config_type, parser.parse_args([*needed, *flags]), RECIPES)


def test_the_classic_recipe_has_exactly_the_classic_values() -> None:
    settings = asdict(parse(FitConfig, "--recipe=classic"))
    assert {name: settings[name] for name in settings.keys() - NOT_OF_A_RECIPE} == {
        "encoder": "resnet50",
        "finetune_stages": 0,
        "image_size": 224,
        "augmentation": "classic",
        "embedding_size": 256,
        "hidden_size": 256,
        "attention_size": 256,
        "projection_size": 0,
        "position": False,
        "attention_query": "before",
        "gate": False,
        "deep_output": False,
        "dropout": 0.0,
        "batch_photos": 32,
        "group_captions": False,
        "epochs": 25,
        "optimizer": "adam",
        "lr": 1e-3,
        "weight_decay": 0.0,
        "schedule": "step",
        "label_smoothing": 0.0,
        "doubly_stochastic": 0.0,
        "clip_norm": 1.0,
        "max_length": 30,
        "min_frequency": 2,
        "keep_punctuation": True,
        "class_nouns": None,
        "correct_spelling": False,
        "ema_decay": 0.0,
        "val_beam_size": 1,
        "autocast": False,
    }
    assert settings["recipe"] == "classic"


def test_the_classic_recipe_caches_classic_views() -> None:
    config = parse(PrepareConfig, "--recipe=classic")
    assert (config.encoder, config.image_size, config.augmentation) == ("resnet50", 224, "classic")
    assert (config.min_frequency, config.keep_punctuation) == (2, True)
    assert (config.views, config.stages_left) == (6, 0)


def test_a_recipe_leaves_no_setting_to_the_defaults_of_another() -> None:
    """So that a change of the defaults does not change the classic recipe."""
    names = {item.name for kind in (FitConfig, PrepareConfig) for item in fields(kind)}
    assert RECIPES["classic"].keys() == names - NOT_OF_A_RECIPE


def test_the_default_recipe_leaves_every_field_at_its_own_default() -> None:
    config = parse(FitConfig)
    assert config.recipe == "default"
    assert config == parse(FitConfig, "--recipe=default")
    for item in fields(FitConfig):
        if item.name not in ("captions", "photos", "name"):
            assert getattr(config, item.name) == item.default, item.name


def test_a_given_flag_comes_before_the_recipe() -> None:
    flags = ["--recipe=classic", "--lr=0.5", "--gate", "--group-captions", "--encoder=test_resnet"]
    config = parse(FitConfig, *flags)
    assert (config.lr, config.gate, config.group_captions) == (0.5, True, True)
    assert config.encoder == "test_resnet"
    assert config.hidden_size == 256


@pytest.mark.parametrize("stage", ["prepare", "fit"])
def test_an_unknown_recipe_is_wrong_usage(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([stage, "--captions=c", "--photos=p", "--name=n", "--features=f", "--recipe=fast"])
    assert stop.value.code == 2
    assert "argument --recipe: invalid choice: 'fast'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_classic_recipe_trains_a_resnet50_from_photos_and_records_its_values(
    data: Path, tmp_path: Path
) -> None:
    """On weights in torchvision's names, as its own file of them has."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None)
    torch.save(network.state_dict(), tmp_path / "resnet50.pth")
    flags = [f"--captions={data}/results.csv", f"--splits={data}", f"--photos={data}/photos"]
    flags += [f"--encoder-weights={tmp_path}/resnet50.pth", "--recipe=classic", "--device=cpu"]
    short = ["--epochs=1", "--limit=2", "--min-frequency=1", "--name=classic", f"--runs={tmp_path}"]
    assert main(["fit", *flags, *short]) == 0
    (row,) = rows_of(tmp_path / "classic")
    assert row["lr"] == 1e-3
    assert 0 < row["train_loss"] < 10
    settings = json.loads((tmp_path / "classic" / "config.json").read_text())["settings"]
    given = {"epochs": 1, "min_frequency": 1}
    assert settings.items() >= {**RECIPES["classic"], **given, "recipe": "classic"}.items() - {
        ("views", 6),
        ("stages_left", 0),
    }
    model = load_model(tmp_path / "classic" / "best")
    assert "." in model.vocabulary
    assert model.config.preprocess.image_size == 224
    assert model.encode(data / "photos" / "0.jpg").regions.shape == (49, 2048)
    names = ("conv1.weight", "layer4.2.bn3.running_var")
    for name in names:  # the encoder is the given one, and was left alone
        given_tensor = network.state_dict()[name]
        torch.testing.assert_close(
            model.encoder.backbone.state_dict()[name], given_tensor, rtol=1e-3, atol=1e-3
        )
