"""What TensorBoard shows of a run, read back from its event file."""

import io
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train.validation
from captioner import load_model
from tests.colour_walls import rows_of
from train.config import FitConfig
from train.data import CaptionedPhoto
from train.fit import fit
from train.validation import Samples


def read_events(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "tensors": 0})
    return events.Reload()


def texts_of(events: EventAccumulator, name: str) -> list[str]:
    found = events.Tensors(f"samples/{name}/text_summary")
    return [event.tensor_proto.string_val[0].decode() for event in found]


@pytest.mark.parametrize("with_photos", [False, True])
def test_tensorboard_shows_losses_rates_scores_and_some_captions_on_their_photos(
    fit_config: FitConfig, stages_left: Path, with_photos: bool
) -> None:
    settings = replace(fit_config, epochs=2, samples=2, features=stages_left, finetune_stages=1)
    if not with_photos:
        settings = replace(settings, photos=())
    best = fit(settings)
    events, rows = read_events(best.parent), rows_of(best.parent)
    for tag in ("train/loss", "val/loss", "lr", "lr/encoder", "CIDEr-D", "BLEU-4"):
        found = events.Scalars(tag)
        wanted = [row[tag.replace("/", "_")] for row in rows]
        assert [event.step for event in found] == [1, 2], tag
        assert [event.value for event in found] == pytest.approx(wanted), tag
    share = settings.encoder_lr / settings.lr
    assert rows[0]["lr_encoder"] == pytest.approx(share * rows[0]["lr"])
    tags = events.Tags()
    assert len(tags["tensors"]) == 2
    for name in ("8.jpg", "10.jpg"):  # every other one of the four
        assert len(texts_of(events, name)) == 2
    if with_photos:
        assert sorted(tags["images"]) == ["samples/10.jpg/attention", "samples/8.jpg/attention"]
        for event in events.Images("samples/8.jpg/attention"):
            picture = Image.open(io.BytesIO(event.encoded_image_string))
            assert picture.size == (event.width, event.height)
            assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 50
    else:
        assert tags["images"] == []
    assert plt.get_fignums() == []


def test_the_captions_shown_are_the_models_own(fit_config: FitConfig, data: Path) -> None:
    settings = replace(fit_config, epochs=1, samples=4, ema_decay=0.0)
    best = fit(settings)
    events, model = read_events(best.parent), load_model(best)
    for number in range(8, 12):
        caption = model.generate_caption(
            data / "photos" / f"{number}.jpg", beam_size=1, max_length=settings.max_length
        )
        assert texts_of(events, f"{number}.jpg") == [str(caption)]


def test_samples_are_spread_evenly_and_at_most_all() -> None:
    photos = [CaptionedPhoto(str(number), ("a",)) for number in range(10)]
    assert list(Samples(photos, 4).photos) == ["0", "2", "5", "7"]
    assert list(Samples(photos, 1).photos) == ["0"]
    assert list(Samples(photos, 0).photos) == []
    assert list(Samples(photos, 99).photos) == [photo.name for photo in photos]


def test_a_missing_photo_is_told_before_the_run_begins(
    fit_config: FitConfig, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        fit(replace(fit_config, photos=(tmp_path,)))
    assert not (fit_config.runs / "run" / "state.pt").exists()


def test_a_resumed_runs_curves_have_each_epoch_once(
    fit_config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resuming a run once removed the curves of its last complete epoch."""
    validate = train.validation.validate
    calls = 0

    def stop_in_the_third(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return validate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("train.validation.validate", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        fit(fit_config)
    best = fit(replace(fit_config, resume=True))
    steps = [event.step for event in read_events(best.parent).Scalars("val/loss")]
    assert steps == [1, 2, 3, 4]
