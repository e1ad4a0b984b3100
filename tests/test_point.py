"""The `point` stage: a checkpoint learns to name what no caption has, and keeps what it knew."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from captioner import FeatureExtractor, load_model, save_model
from captioner.checkpoint_files import VOCABULARY_FILE, WEIGHTS_FILE
from captioner.encoder import load_classifier
from tests.painted import (
    KNOWN,
    UNHEARD,
    paint,
    stage_settings,
    with_closed_gate,
    write_painted,
)
from train.__main__ import main
from train.class_nouns import read_nouns
from train.config import PointConfig
from train.point import (
    NEVER_SAID,
    GateExamples,
    add_pointing,
    collect,
    point,
    pointing_of,
    train_gate,
)


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_painted(tmp_path_factory.mktemp("painted") / "data")


def configure(painted: Path, output: Path, **changes: Any) -> PointConfig:
    settings: dict[str, Any] = {
        **stage_settings(painted, output),
        "class_nouns": painted / "nouns.csv",
        "encoder_weights": str(painted / "encoder.pth"),
        "recognizer_stages": 1,
        "epochs": 60,
        "batch_words": 64,
        "lr": 1e-2,
        **changes,
    }
    return PointConfig(**settings)


@pytest.fixture(scope="module")
def pointed(painted: Path) -> Path:
    """The checkpoint after the stage."""
    point(configure(painted, painted / "pointed"))
    return painted / "pointed"


def test_things_that_no_caption_names_are_named_where_they_are_seen(
    painted: Path, pointed: Path
) -> None:
    given, model = load_model(painted / "checkpoint"), load_model(pointed)
    for name in UNHEARD:
        photo = paint(name, 500)
        assert name not in given.vocabulary
        caption = model.generate_caption(photo)
        named = [word for word in caption.words if word.text == name]
        assert len(named) == 1, str(caption)
        assert named[0].recognized > 0.9


def test_things_that_captions_name_are_still_named(painted: Path, pointed: Path) -> None:
    given, model = load_model(painted / "checkpoint"), load_model(pointed)
    for number, name in enumerate(KNOWN):
        photo = paint(name, 600 + number)
        assert name in str(given.generate_caption(photo)).split()
        said = str(model.generate_caption(photo)).split()
        assert said.count(name) == 1, said


def test_with_the_gate_closed_captions_are_those_of_the_given_model(painted: Path) -> None:
    config = configure(painted, painted / "unused")
    given = load_model(config.checkpoint)
    model = with_closed_gate(add_pointing(given, read_nouns(config.class_nouns), config))
    for number, name in enumerate([*KNOWN, *UNHEARD]):
        photo = paint(name, 700 + number)
        one, other = given.generate_caption(photo), model.generate_caption(photo)
        assert [word.text for word in one.words] == [word.text for word in other.words]
        assert other.logprob == pytest.approx(one.logprob, abs=1e-4)
        assert {word.recognized for word in other.words} == {0.0}


def test_new_nouns_are_words_that_only_the_gate_can_say(painted: Path) -> None:
    config = configure(painted, painted / "unused")
    given = load_model(config.checkpoint)
    model = add_pointing(given, read_nouns(config.class_nouns), config)
    before, after = len(given.vocabulary), len(model.vocabulary)
    assert model.vocabulary.words[:before] == given.vocabulary.words
    assert {*UNHEARD, "plums", "cherrys", "things"} <= set(model.vocabulary.words[before:])
    assert len(model.vocabulary.class_nouns) == 1000
    assert model.vocabulary.article_of("orange") == "an"
    bias = model.decoder.output_bias
    assert bias[before:].tolist() == [NEVER_SAID] * (after - before)
    with torch.inference_mode():
        hidden, context = torch.randn(50, 32) * 9, torch.randn(50, 20) * 9
        logits = model.decoder.logits(hidden, context, torch.randn(50, 24) * 9)
    assert float(logits.softmax(dim=1)[:, before:].sum()) == 0


def test_a_new_noun_starts_with_the_vectors_of_known_ones_of_its_kind(painted: Path) -> None:
    config = configure(painted, painted / "unused")
    given = load_model(config.checkpoint)
    model = add_pointing(given, read_nouns(config.class_nouns), config)

    def vector(word: str) -> torch.Tensor:
        return model.decoder.embedding.weight[model.vocabulary.id_of(word)]

    fruit = torch.stack([vector(name) for name in ("cherry", "lemon")]).mean(dim=0)
    torch.testing.assert_close(vector("plum"), fruit)
    # No plural is known: the mean over the whole table takes its place.
    torch.testing.assert_close(vector("plums"), given.decoder.embedding.weight.mean(dim=0))


def test_the_recognizer_is_pretrained_where_the_encoder_has_been_changed(
    painted: Path, pointed: Path
) -> None:
    given, model = load_file(painted / "checkpoint" / WEIGHTS_FILE), load_model(pointed)
    for name, tensor in model.encoder.state_dict().items():
        assert torch.equal(tensor, given[f"encoder.{name}"].to(tensor.dtype)), name
    pretrained = FeatureExtractor("test_resnet", painted / "encoder.pth")
    assert model.recognizer is not None
    kept = model.recognizer.stages[0].state_dict()
    for name, tensor in pretrained.stages[-1].state_dict().items():
        torch.testing.assert_close(kept[name], tensor, atol=1e-3, rtol=1e-3)
    changed, weight = model.encoder.stages[-1].state_dict(), next(n for n in kept if "weight" in n)
    assert not torch.allclose(changed[weight], kept[weight], atol=0.01)
    classifier = pointing_of(model).classifier
    wanted = load_classifier("test_resnet", painted / "encoder.pth")
    torch.testing.assert_close(classifier.weight, wanted.weight.half().float())
    torch.testing.assert_close(classifier.bias, wanted.bias)


def test_the_same_seed_gives_the_same_gate_and_another_another(
    painted: Path, tmp_path: Path
) -> None:
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        point(configure(painted, tmp_path / name, epochs=2, seed=seed))
    one, same, other = (
        (tmp_path / n / WEIGHTS_FILE).read_bytes() for n in ("one", "same", "other")
    )
    assert one == same
    assert one != other


def test_a_limit_uses_the_first_photos_only(painted: Path, tmp_path: Path) -> None:
    config = configure(painted, tmp_path / "limited", limit=5)
    model = add_pointing(load_model(config.checkpoint), read_nouns(config.class_nouns), config)
    words = collect(config, model)
    assert set(words.photos.tolist()) == set(range(5))
    assert set(collect(replace(config, limit=0), model).photos.tolist()) == set(range(24))


def empty(words: GateExamples) -> GateExamples:
    return GateExamples(*(tensor[:0] for tensor in words))


def held_out_alone(words: GateExamples) -> GateExamples:
    return words._replace(photos=torch.full_like(words.photos, 9))


@pytest.mark.parametrize("change", [empty, held_out_alone])
def test_a_gate_is_not_trained_on_no_words(
    painted: Path, tmp_path: Path, change: Callable[[GateExamples], GateExamples]
) -> None:
    """The loss of no words is NaN, and so became the gate."""
    config = configure(painted, tmp_path / "none", limit=3, seed=first_seed_that_holds_out(9))
    model = add_pointing(load_model(config.checkpoint), read_nouns(config.class_nouns), config)
    words = change(collect(config, model))
    with pytest.raises(ValueError, match="no words to train a gate on; use more train photos"):
        train_gate(config, pointing_of(model), words)


def first_seed_that_holds_out(photo: int) -> int:
    """A seed by which this photo is not trained on, see `train_gate`."""
    for seed in range(1000):
        generator = torch.Generator().manual_seed(seed)
        if torch.rand(photo + 1, generator=generator)[photo] < 0.1:
            return seed
    raise AssertionError


def test_what_cannot_get_a_gate_is_refused(painted: Path, pointed: Path, tmp_path: Path) -> None:
    nouns = read_nouns(painted / "nouns.csv")
    config = configure(painted, tmp_path / "refused")
    with pytest.raises(ValueError, match="has a pointing gate already"):
        add_pointing(load_model(pointed), nouns, config)
    given = load_model(config.checkpoint)
    with pytest.raises(ValueError, match=r"has 1000 classes, but .* has nouns for 999"):
        add_pointing(given, nouns[:-1], config)
    with pytest.raises(ValueError, match="test_resnet has 5 stages, not 6"):
        add_pointing(given, nouns, replace(config, recognizer_stages=6))
    with pytest.raises(FileNotFoundError, match="no such weight file"):
        add_pointing(given, nouns, replace(config, encoder_weights="gone.pth"))
    given.decoder.deep_output = None
    with pytest.raises(ValueError, match="needs a model with deep output"):
        add_pointing(given, nouns, config)
    with pytest.raises(ValueError, match="has no pointing gate"):
        pointing_of(given)


def test_the_command_line_points_and_says_what_it_did(
    painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "point", f"--captions={painted / 'results.csv'}", f"--splits={painted}",
        f"--photos={painted / 'photos'}", f"--checkpoint={painted / 'checkpoint'}",
        f"--class-nouns={painted / 'nouns.csv'}", f"--encoder-weights={painted / 'encoder.pth'}",
        f"--output={tmp_path / 'out'}", "--recognizer-stages=1", "--epochs=1", "--device=cpu",
    ]  # fmt: skip
    assert main(flags) == 0
    output = capsys.readouterr().out
    assert "epoch 1  as it is: " in output
    assert f"words gone through; {tmp_path / 'out'} written" in output
    assert load_model(tmp_path / "out").decoder.pointing is not None
    assert "class_nouns" in json.loads((tmp_path / "out" / VOCABULARY_FILE).read_text())
    assert main([flag.replace("nouns.csv", "gone.csv") for flag in flags]) == 1
    assert "no such table of nouns" in capsys.readouterr().err


def test_a_calibrated_checkpoint_is_refused(painted: Path, pointed: Path, tmp_path: Path) -> None:
    """Its summary is of other features, and did not fit."""
    model = load_model(painted / "checkpoint")
    config = replace(model.config, photo_components=2)
    calibrated = type(model)(config, model.vocabulary, model.encoder)
    save_model(calibrated, tmp_path / "calibrated")
    nouns = read_nouns(painted / "nouns.csv")
    with pytest.raises(ValueError, match="is calibrated already; point first"):
        add_pointing(load_model(tmp_path / "calibrated"), nouns, configure(painted, tmp_path))
