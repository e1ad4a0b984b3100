"""Saving and loading: all of it or a clear refusal, and never at the cost of what was there."""

import errno
import json
import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from captioner import ImageCaptioningModel, ModelConfig, Vocabulary, load_model, save_model
from captioner.checkpoint_files import (
    CONFIG_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    CheckpointError,
)
from tests.tiny_models import NOUNS, WORDS, build_model, build_pointing_model

FILES = {CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE}


@pytest.fixture
def saved(model: ImageCaptioningModel, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def change_config(folder: Path, *keys: str, value: Any) -> None:
    data = json.loads((folder / CONFIG_FILE).read_text())
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    (folder / CONFIG_FILE).write_text(json.dumps(data))


def with_another_vocabulary(model: ImageCaptioningModel) -> ImageCaptioningModel:
    return build_model(model.config, Vocabulary([*WORDS, "another"]))


def test_a_loaded_model_says_what_the_saved_one_says(
    model: ImageCaptioningModel, photos: list[Image.Image], tmp_path: Path
) -> None:
    with torch.no_grad():
        for tensor in model.parameters():  # so that storing it rounds nothing
            tensor.copy_(tensor.half())
    save_model(model, tmp_path / "checkpoint")
    loaded = load_model(tmp_path / "checkpoint")
    assert loaded.config == model.config
    assert loaded.vocabulary.words == model.vocabulary.words
    assert not loaded.training
    said = model.generate_captions(photos)
    said_again = loaded.generate_captions(photos)
    assert len({str(caption) for caption in said}) > 1
    assert [caption.to_json() for caption in said_again] == [caption.to_json() for caption in said]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_a_pointing_model_says_after_loading_what_it_said_before(
    config: ModelConfig, photos: list[Image.Image], tmp_path: Path
) -> None:
    """With its nouns, recognizer, gate, temperature and summary of the training photos."""
    model = build_pointing_model(config)
    with torch.no_grad():
        for tensor in model.parameters():  # so that storing it rounds nothing
            tensor.copy_(tensor.half())
    save_model(model, tmp_path / "checkpoint")
    loaded = load_model(tmp_path / "checkpoint")
    assert loaded.config == model.config
    assert [tuple(noun) for noun in loaded.vocabulary.class_nouns] == list(NOUNS)
    assert loaded.decoder.temperature == 1.5
    said, again = model.generate_captions(photos), loaded.generate_captions(photos)
    assert any(word.recognized > 0.5 for caption in said for word in caption.words)
    assert [caption.to_json() for caption in again] == [caption.to_json() for caption in said]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_a_checkpoint_from_before_there_were_gates_loads_as_it_did(
    model: ImageCaptioningModel, photos: list[Image.Image], saved: Path
) -> None:
    """Its files have no word of gates, recognizers, temperatures or summaries."""
    said = [caption.to_json() for caption in load_model(saved).generate_captions(photos)]
    data = json.loads((saved / CONFIG_FILE).read_text())
    for field in ("recognizer_stages", "temperature", "photo_components"):
        del data["model"][field]
    (saved / CONFIG_FILE).write_text(json.dumps(data))
    assert "class_nouns" not in json.loads((saved / VOCABULARY_FILE).read_text())
    names = load_file(saved / WEIGHTS_FILE).keys()
    assert not [name for name in names if re.search("pointing|recognizer|training_photos", name)]
    loaded = load_model(saved)
    assert loaded.config == model.config
    assert [caption.to_json() for caption in loaded.generate_captions(photos)] == said


def test_matrices_are_float16_on_disk_and_float32_in_memory(
    model: ImageCaptioningModel, saved: Path
) -> None:
    stored = load_file(saved / WEIGHTS_FILE)
    assert stored.keys() == model.state_dict().keys()
    for name, tensor in stored.items():
        own = model.state_dict()[name]
        if own.is_floating_point():
            assert tensor.dtype == (torch.float16 if own.ndim > 1 else torch.float32), name
    for name, tensor in load_model(saved).state_dict().items():
        assert tensor.dtype == model.state_dict()[name].dtype, name
        torch.testing.assert_close(tensor, model.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_a_checkpoint_is_three_files_that_anyone_may_read(saved: Path) -> None:
    assert names_in(saved) == FILES
    assert names_in(saved.parent) == {"checkpoint"}
    assert stat.S_IMODE(saved.stat().st_mode) == 0o755
    assert {stat.S_IMODE((saved / name).stat().st_mode) for name in FILES} <= {0o644, 0o600 | 0o044}


def test_a_configuration_survives_its_checkpoint(vocabulary: Vocabulary, tmp_path: Path) -> None:
    preprocess = {"image_size": 64, "mean": (0.1, 0.2, 0.3), "interpolation": "bilinear"}
    default = ModelConfig()
    config = ModelConfig(
        encoder="test_efficientnet",
        embedding_size=8,
        hidden_size=9,
        attention_size=7,
        projection_size=0,
        gate=False,
        deep_output=False,
        dropout=0.25,
        preprocess=replace(default.preprocess, **preprocess),
    )
    save_model(build_model(config, vocabulary), tmp_path / "checkpoint")
    assert load_model(tmp_path / "checkpoint").config == config


def test_other_files_in_the_folder_survive_a_save(model: ImageCaptioningModel, saved: Path) -> None:
    (saved / "README.md").write_text("the card")
    (saved / "pictures").mkdir()
    (saved / "pictures" / "curve.svg").write_text("<svg/>")
    save_model(with_another_vocabulary(model), saved)
    assert (saved / "README.md").read_text() == "the card"
    assert (saved / "pictures" / "curve.svg").read_text() == "<svg/>"
    assert "another" in load_model(saved).vocabulary
    assert names_in(saved.parent) == {"checkpoint"}


def test_a_model_may_be_saved_beside_a_card_that_is_there_already(
    model: ImageCaptioningModel, tmp_path: Path
) -> None:
    (tmp_path / "README.md").write_text("the card")
    save_model(model, tmp_path)
    assert names_in(tmp_path) == FILES | {"README.md"}


@pytest.mark.parametrize(
    "place", ["checkpoint", "./checkpoint/", "../here/checkpoint", "new/and/deep"]
)
@pytest.mark.parametrize("times", [1, 2])
def test_a_relative_path_will_do(
    model: ImageCaptioningModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    times: int,
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for _ in range(times):
        save_model(model, place)
    folder = tmp_path / "here" / place
    assert names_in(folder) == FILES
    assert names_in(tmp_path) == {"here"}
    assert load_model(folder).vocabulary.words == model.vocabulary.words


def test_a_link_to_a_checkpoint_stays_a_link(model: ImageCaptioningModel, saved: Path) -> None:
    """Renaming the link itself over a folder once ended in an error."""
    link = saved.parent / "link"
    link.symlink_to("checkpoint")
    save_model(with_another_vocabulary(model), link)
    assert link.is_symlink()
    assert "another" in load_model(saved).vocabulary
    assert "another" in load_model(link).vocabulary
    assert names_in(saved.parent) == {"checkpoint", "link"}


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left")]
)
def test_a_full_disk_leaves_the_previous_checkpoint_whole_and_no_litter(
    model: ImageCaptioningModel, saved: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """safetensors reports a full disk as an error of its own kind."""

    def fail(weights: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise fault

    monkeypatch.setattr("captioner.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_model(with_another_vocabulary(model), saved)
    assert names_in(saved.parent) == {"checkpoint"}
    assert "another" not in load_model(saved).vocabulary


@pytest.mark.parametrize("fault", [OSError("busy"), KeyboardInterrupt()])
@pytest.mark.parametrize("successes", [0, 1])
def test_a_failure_while_folders_change_places_brings_the_previous_one_back(
    model: ImageCaptioningModel,
    saved: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
    successes: int,
) -> None:
    calls = iter(range(10))
    rename = Path.rename

    def fail_once(self: Path, target: Path) -> Path:
        if next(calls) == successes:
            raise fault
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_once)
    with pytest.raises(type(fault)):
        save_model(with_another_vocabulary(model), saved)
    assert names_in(saved.parent) == {"checkpoint"}
    assert "another" not in load_model(saved).vocabulary


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", "my work"),
        (CONFIG_FILE, '{"model_type": "of another program"}'),
        (CONFIG_FILE, "not JSON"),
    ],
)
def test_a_folder_of_something_else_is_not_overwritten(
    model: ImageCaptioningModel, tmp_path: Path, name: str, content: str
) -> None:
    """Any folder with a config.json once passed for a checkpoint."""
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match="holds other things than a checkpoint"):
        save_model(model, tmp_path)
    assert names_in(tmp_path) == {name}
    assert (tmp_path / name).read_text() == content


def test_a_file_is_no_place_for_a_checkpoint(model: ImageCaptioningModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; a checkpoint is a folder"):
        save_model(model, tmp_path / "file")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint folder .*gone; name a folder"):
        load_model(tmp_path / "gone")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"not a whole checkpoint: {name} is missing"):
        load_model(saved)


@pytest.mark.parametrize("share", [0, 0.0001, 0.01, 0.5, 0.999])
def test_weights_cut_short_are_refused(saved: Path, share: float) -> None:
    path = saved / WEIGHTS_FILE
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ValueError, match=f"{WEIGHTS_FILE} is damaged or cut short"):
        load_model(saved)


def test_weights_of_another_vocabulary_are_refused(
    model: ImageCaptioningModel, saved: Path, tmp_path: Path
) -> None:
    save_model(with_another_vocabulary(model), tmp_path / "other")
    (saved / VOCABULARY_FILE).write_bytes((tmp_path / "other" / VOCABULARY_FILE).read_bytes())
    with pytest.raises(CheckpointError, match=r"has vocab_size 12, and the vocabulary has 13"):
        load_model(saved)
    (saved / CONFIG_FILE).write_bytes((tmp_path / "other" / CONFIG_FILE).read_bytes())
    with pytest.raises(ValueError, match=r"vocabulary.json: decoder.* must be \(13.*got \(12"):
        load_model(saved)


@pytest.mark.parametrize("value", [11, None, "12", 12.5])
def test_a_vocabulary_of_another_size_than_the_configuration_says_is_refused(
    saved: Path, value: Any
) -> None:
    """The size in config.json was once written and never read."""
    change_config(saved, "vocab_size", value=value)
    with pytest.raises(CheckpointError, match=r"config\.json has vocab_size") as caught:
        load_model(saved)
    assert caught.value.code == "vocab_size"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hidden_size", 33, "does not belong to its config.json"),
        ("gate", False, "and has .*decoder.gate"),
        ("projection_size", 0, "does not belong"),
        ("encoder", "test_efficientnet", "does not belong"),
        ("encoder", "no_such_backbone", "no backbone named 'no_such_backbone'"),
        ("hidden_size", 0, "config.json is not a valid configuration: hidden_size must"),
        ("hidden_size", "32", "config.json is not a valid configuration"),
        ("dropout", None, "config.json is not a valid configuration"),
        ("novelty", 1, "config.json is not a valid configuration: .*novelty"),
        ("preprocess", 5, "config.json is not a valid configuration"),
        ("preprocess", {"image_size": 8}, "valid configuration: image_size must"),
        ("preprocess", {"crop": True}, "valid configuration: .*crop"),
    ],
)
def test_a_changed_configuration_is_refused(
    saved: Path, field: str, value: Any, message: str
) -> None:
    change_config(saved, "model", field, value=value)
    with pytest.raises(ValueError, match=message):
        load_model(saved)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "other", "is not of a checkpoint that captioner's save_model wrote"),
        ("format_version", 2, "has format_version 2; this captioner reads 1: update"),
        ("model", [], "is not a valid configuration"),
        ("model", {}, "is not a valid configuration: 'preprocess'"),
    ],
)
def test_a_checkpoint_of_another_format_is_refused(
    saved: Path, key: str, value: Any, message: str
) -> None:
    change_config(saved, key, value=value)
    with pytest.raises(ValueError, match=message):
        load_model(saved)


@pytest.mark.parametrize("name", [CONFIG_FILE, VOCABULARY_FILE])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1, 2]", b'{"words": 3}'])
def test_a_damaged_json_file_is_named(saved: Path, name: str, content: bytes) -> None:
    (saved / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        load_model(saved)


def test_extra_weights_are_refused(saved: Path) -> None:
    stored = load_file(saved / WEIGHTS_FILE)
    save_file({**stored, "decoder.second": torch.zeros(1)}, saved / WEIGHTS_FILE)
    with pytest.raises(ValueError, match=r"has \['decoder.second'\] too many"):
        load_model(saved)
