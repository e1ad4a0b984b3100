"""The `calibrate` stage: a temperature that makes up for logits, and a summary of train photos."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from captioner import load_model, save_model
from tests.painted import KNOWN, UNHEARD, captions_of, paint, stage_settings, write_painted
from train.__main__ import main
from train.calibrate import calibrate
from train.class_nouns import read_nouns
from train.config import CalibrateConfig, PointConfig
from train.point import add_pointing


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_painted(tmp_path_factory.mktemp("painted") / "data")


def configure(painted: Path, output: Path, **changes: Any) -> CalibrateConfig:
    return CalibrateConfig(**{**stage_settings(painted, output), "photo_components": 0, **changes})


def plain_temperature(painted: Path, folder: Path) -> float:
    calibrate(configure(painted, folder))
    return load_model(folder).config.temperature


def test_a_temperature_makes_up_for_logits_that_are_twice_as_large(
    painted: Path, tmp_path: Path
) -> None:
    """Of a model without deep output: its output layer serves nothing else."""
    base = load_model(painted / "checkpoint")
    config = replace(base.config, deep_output=False)
    model = type(base)(config, base.vocabulary, base.encoder)
    ids = [i for name in KNOWN for text in captions_of(name) for i in model.vocabulary.encode(text)]
    frequencies = torch.bincount(torch.tensor(ids), minlength=len(model.vocabulary)) + 0.1
    found: list[float] = []
    for factor in (1.0, 2.0):
        with torch.no_grad():
            model.decoder.output.weight.mul_(factor)
            model.decoder.output.bias.copy_(factor * frequencies.log())
        save_model(model, tmp_path / f"given{factor}")
        calibrate(
            configure(painted, tmp_path / f"{factor}", checkpoint=tmp_path / f"given{factor}")
        )
        found.append(load_model(tmp_path / f"{factor}").config.temperature)
    assert 0.3 < found[0] < 1.9  # neither is at the end of those that are tried
    assert found[1] == pytest.approx(2 * found[0], rel=0.03)


def test_the_temperature_that_a_checkpoint_had_is_forgotten(painted: Path, tmp_path: Path) -> None:
    fresh = plain_temperature(painted, tmp_path / "fresh")
    model = load_model(painted / "checkpoint")
    model.config = replace(model.config, temperature=0.5)
    save_model(model, tmp_path / "given")
    calibrate(configure(painted, tmp_path / "again", checkpoint=tmp_path / "given"))
    assert load_model(tmp_path / "again").config.temperature == fresh != 1.0


def test_a_temperature_changes_probabilities_and_nothing_else(
    painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = plain_temperature(painted, tmp_path / "fitted")
    assert f"temperature {fitted:.4f}: " in capsys.readouterr().out
    given, model = load_model(painted / "checkpoint"), load_model(tmp_path / "fitted")
    assert model.decoder.temperature == fitted
    for name, tensor in given.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    photo = paint(KNOWN[0], 900)
    one, other = given.score_caption(photo, "a cherry"), model.score_caption(photo, "a cherry")
    assert one.words[0].probability != pytest.approx(other.words[0].probability, abs=1e-4)


def test_photos_of_what_was_not_trained_on_are_less_familiar(painted: Path, tmp_path: Path) -> None:
    calibrate(configure(painted, tmp_path / "out", photo_components=4))
    model = load_model(tmp_path / "out")
    assert model.config.photo_components == 4
    assert model.training_photos is not None
    regions = model.encode(painted / "photos" / "00.png").regions
    assert model.training_photos.mean_region.shape == regions.shape[1:]
    captions = [model.generate_caption(painted / "photos" / f"{n:02}.png") for n in range(24)]
    known = torch.tensor([caption.familiarity or 0.0 for caption in captions])
    assert float(known.mean()) == pytest.approx(0.5, abs=0.06)
    strange = [model.generate_caption(paint(name, 950)).familiarity for name in UNHEARD]
    assert max(value if value is not None else 1.0 for value in strange) < float(known.median())
    regions = torch.stack(
        [model.encode(painted / "photos" / f"{n:02}.png").regions for n in range(24)]
    )
    torch.testing.assert_close(
        model.training_photos.mean_region, regions.mean(dim=(0, 1)), atol=1e-4, rtol=1e-3
    )


def test_a_pointing_model_is_summarized_by_its_pretrained_features_and_classes(
    painted: Path, tmp_path: Path
) -> None:
    pointing = PointConfig(
        captions=(painted / "results.csv",),
        photos=(painted / "photos",),
        checkpoint=painted / "checkpoint",
        output=tmp_path,
        class_nouns=painted / "nouns.csv",
        encoder_weights=str(painted / "encoder.pth"),
        recognizer_stages=1,
    )
    nouns = read_nouns(painted / "nouns.csv")
    save_model(
        add_pointing(load_model(painted / "checkpoint"), nouns, pointing), tmp_path / "given"
    )
    calibrate(
        configure(painted, tmp_path / "out", checkpoint=tmp_path / "given", photo_components=4)
    )
    model = load_model(tmp_path / "out")
    assert model.training_photos is not None
    shares = model.training_photos.class_shares
    assert float(shares[: len(KNOWN)].sum()) == pytest.approx(1, abs=0.05)
    assert shares[: len(KNOWN)].tolist() == pytest.approx([1 / 6] * 6, abs=0.1)
    caption = model.generate_caption(paint(UNHEARD[0], 970))
    assert caption.familiarity == pytest.approx(0, abs=0.02)
    assert all(word.blind is not None for word in caption.words)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photo_components": 25}, "25 components need as many .*, got 24 photos and 96 features"),
        ({"photo_components": 4, "limit": 3}, "4 components need as many .*, got 3 photos"),
        ({"photo_components": 1, "limit": 1}, "at least two photos, got 1 photos"),
    ],
)
def test_too_few_photos_for_a_summary_are_refused(
    painted: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(configure(painted, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_the_command_line_calibrates_and_says_what_it_did(
    painted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [
        "calibrate", f"--captions={painted / 'results.csv'}", f"--splits={painted}",
        f"--photos={painted / 'photos'}", f"--checkpoint={painted / 'checkpoint'}",
        f"--output={tmp_path / 'out'}", "--photo-components=3", "--limit=6", "--device=cpu",
    ]  # fmt: skip
    assert main(flags) == 0
    output = capsys.readouterr().out
    assert "expected calibration error on val" in output
    assert f"{tmp_path / 'out'} written" in output
    assert load_model(tmp_path / "out").config.photo_components == 3
    assert main([*flags, "--photo-components=7"]) == 1
    assert "lower --photo-components" in capsys.readouterr().err
