"""A stranger's checkpoint: refused for what is wrong with it, at no cost and off the network."""

import json
import os
import pickle
import socket
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from captioner import ImageCaptioningModel, PreprocessConfig, load_model, save_model
from captioner.checkpoint_files import (
    CHECKPOINT_FILES,
    CONFIG_FILE,
    MAX_HEADER_BYTES,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    CheckpointError,
)
from tests.conftest import Run
from tests.test_vocabulary import HOSTILE_NOUNS
from tests.test_vocabulary import NAMES as NOUN_WORDS
from tests.tiny_models import NOUNS, WORDS, build_model, build_pointing_model

ROOT = Path(__file__).parent.parent
WIDTHS = ("embedding_size", "hidden_size", "attention_size", "projection_size")
MATRIX = "decoder.lstm.weight_hh"
COUNTER = "encoder.backbone.bn1.num_batches_tracked"

PEAK_OF_LOADING = """
import resource, sys
from captioner import load_model
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
for folder in sys.argv[1:]:
    try:
        load_model(folder)
    except ValueError as error:
        print(error.code)
print((peak() - before) * 1024)
"""
"""Prints the code of each refusal, and the bytes that the peak of memory has grown by in all."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens a socket fails, with an error that load_model does not turn into its own."""

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def refusal(folder: Path) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    return caught.value


def change_config(folder: Path, **changes: Any) -> None:
    """Change fields of the model's configuration or of its preprocessing."""
    data = json.loads((folder / CONFIG_FILE).read_text())
    preprocess = data["model"]["preprocess"]
    for field, value in changes.items():
        (preprocess if field in preprocess else data["model"])[field] = value
    (folder / CONFIG_FILE).write_text(json.dumps(data))


def write_vocabulary(folder: Path, words: list[Any]) -> None:
    data = {"words": words, "keep_punctuation": True}
    (folder / VOCABULARY_FILE).write_text(json.dumps(data))


def change_weights(folder: Path, name: str, tensor: torch.Tensor) -> None:
    weights = load_file(folder / WEIGHTS_FILE)
    save_file({**weights, name: tensor}, folder / WEIGHTS_FILE)


@pytest.mark.parametrize("field", [*WIDTHS, "image_size"])
@pytest.mark.parametrize("value", [True, "64", 64.0, None, [64], {}, -1, 100_000, 10**4000])
def test_a_size_that_is_no_whole_number_within_reason_is_refused(
    checkpoint: Path, field: str, value: Any
) -> None:
    change_config(checkpoint, **{field: value})
    error = refusal(checkpoint)
    assert error.code == "config"
    assert f"{CONFIG_FILE} is not a valid configuration: {field} must be " in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize("field", ["mean", "std"])
@pytest.mark.parametrize(
    "value",
    [
        5, "abc", None, {"a": 1, "b": 2, "c": 3}, [0.5, 0.5], [0.5, 0.5, True], [0.5, 0.5, "0.5"],
        [0.5, 0.5, None], [0.5, 0.5, [0.5]], [0.5, 0.5, 1e30], [0.5, 0.5, -1e30], [1, 1, 10**400],
    ],
)  # fmt: skip
def test_a_mean_or_deviation_that_is_not_three_numbers_within_reason_is_refused(
    checkpoint: Path, field: str, value: Any
) -> None:
    change_config(checkpoint, **{field: value})
    assert f"{CONFIG_FILE} is not a valid configuration: {field} must " in str(refusal(checkpoint))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((flag, value) for flag in ("position", "gate", "deep_output") for value in (1, "yes")),
        *(("dropout", value) for value in (True, "0.1", None, -0.1, 1, 10**400)),
        *(("temperature", value) for value in (True, "x", None, 0, -1.0, 1e-9, 101, 10**400)),
        *(
            (field, value)
            for field in ("recognizer_stages", "photo_components")
            for value in (True, "2", 2.0, None, [2], -1, 8193, 10**9)
        ),
        *(("attention_query", value) for value in (None, [], "never" * 1000)),
        *(("interpolation", value) for value in (None, [], "nearest" * 1000)),
        *(("resize", value) for value in (None, [], "crop" * 1000)),
        *(("encoder", value) for value in (None, 5, ["resnet50"], "")),
    ],
)
def test_any_other_field_of_a_wrong_kind_is_refused(
    checkpoint: Path, field: str, value: Any
) -> None:
    change_config(checkpoint, **{field: value})
    error = refusal(checkpoint)
    assert f"{CONFIG_FILE} is not a valid configuration: {field} must be " in str(error)
    assert len(str(error)) < 400


def test_a_field_that_there_is_none_of_is_named_on_one_line(checkpoint: Path) -> None:
    change_config(checkpoint, **{"new\nline\x1b[2J": 1})
    assert r"has no field 'new\nline\x1b[2J'" in str(refusal(checkpoint))


@pytest.mark.parametrize(
    "encoder",
    [
        "hf-hub:timm/resnet18.a1_in1k",
        "hf_hub:timm/resnet18",
        "HF-HUB:timm/resnet18",
        "local-dir:{folder}",
        "timm/resnet18",
        "https://127.0.0.1/resnet18",
        "file:///{folder}",
        "../resnet18",
        "{folder}",
        "resnet18.hf-hub:x",
        "resnet18\\x",
        "resnet18@main",
        "resnet18\n",
        "resnet18.a.b",
        ".resnet18",
        "resnet18.",
        "resnet*",
        "résnet18",
        "resnet18" * 1000,
        "no_such_backbone",
    ],
)
def test_an_encoder_that_is_no_plain_name_of_timms_is_refused_without_a_fetch(
    checkpoint: Path, tmp_path: Path, encoder: str
) -> None:
    """timm reads some names as places, and fetched a configuration from there."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text('{"architecture": "test_resnet", "num_classes": 0}')
    change_config(checkpoint, encoder=encoder.format(folder=source))
    error = refusal(checkpoint)
    assert error.code == "config"
    assert "plain name of a timm backbone" in str(error) or "has no backbone named" in str(error)
    assert len(str(error)) < 400


def test_an_encoder_may_have_a_tag(checkpoint: Path) -> None:
    change_config(checkpoint, encoder="test_resnet.r160_in1k")
    assert load_model(checkpoint).config.encoder == "test_resnet.r160_in1k"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "image_size", "message"),
    [
        ("volo_d1_224", 224, "gives no regions of 224 x 224 pixels"),
        ("halonet26t", 320, "gives no regions of 320 x 320 pixels"),
        ("crossvit_9_240", 240, "gives no regions of 240 x 240 pixels"),
    ],
)
def test_an_encoder_without_a_grid_of_regions_is_refused(
    checkpoint: Path, encoder: str, image_size: int, message: str
) -> None:
    """Some of timm's backbones take no other size than their own, some give no grid."""
    change_config(checkpoint, encoder=encoder, image_size=image_size)
    assert message in str(refusal(checkpoint))


def test_what_would_be_large_is_refused_before_it_is_built(
    model: ImageCaptioningModel, tmp_path: Path
) -> None:
    """A photo of 4096 pixels took 4.5 GB to refuse, a header of 84 MB a whole one."""

    def bad(name: str, **changes: Any) -> Path:
        save_model(model, tmp_path / name)
        change_config(tmp_path / name, **changes)
        return tmp_path / name

    long_header, many_tensors = bad("long header"), bad("many tensors")
    with (long_header / WEIGHTS_FILE).open("wb") as file:
        file.write(struct.pack("<Q", 10**9))
        file.truncate(10**9)  # a hole, which takes no room
    entry = '"%d":{"dtype":"F16","shape":[1],"data_offsets":[%d,%d]}'
    entries = (entry % (n, 2 * n, 2 * n + 2) for n in range(100_000))
    header = ("{" + ",".join(entries) + "}").encode()
    assert len(header) > MAX_HEADER_BYTES
    (many_tensors / WEIGHTS_FILE).write_bytes(struct.pack("<Q", len(header)) + header)
    refused = {
        bad("photo", image_size=4096): "config",
        bad("width", hidden_size=100_000): "config",
        bad("allowed width", hidden_size=8192, projection_size=8192): "shape",
        bad("components", photo_components=8192, encoder="resnet50"): "names",
        bad("stages", recognizer_stages=10**9): "config",
        bad("encoder", encoder="vit_giant_patch14_224", image_size=224): "parameters",
        bad("smaller encoder", encoder="vit_huge_patch14_224", image_size=224): "names",
        bad("regions", encoder="convmixer_768_32", image_size=1024): "regions",
        long_header: "header_size",
        many_tensors: "header_size",
    }
    done = subprocess.run(
        [sys.executable, "-c", PEAK_OF_LOADING, *map(str, refused)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    *codes, grown = done.stdout.split()
    assert codes == list(refused.values())
    assert int(grown) < 150e6


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e9])
def test_weights_that_are_no_numbers_or_huge_are_refused(checkpoint: Path, value: float) -> None:
    weights = load_file(checkpoint / WEIGHTS_FILE)[MATRIX].float()
    weights[-1, -1] = value
    change_weights(checkpoint, MATRIX, weights)
    error = refusal(checkpoint)
    assert error.code == "value"
    assert f"{MATRIX} must hold numbers from -1e+08 to 1e+08, got {value}" in str(error)


def test_weights_that_are_numbers_and_give_none_are_refused(checkpoint: Path) -> None:
    name = "encoder.backbone.bn1.running_var"
    change_weights(checkpoint, name, -torch.ones_like(load_file(checkpoint / WEIGHTS_FILE)[name]))
    assert refusal(checkpoint).code == "output"


@pytest.mark.parametrize(
    "kind",
    [
        torch.float64, torch.float8_e4m3fn, torch.int64, torch.int8, torch.uint8, torch.bool,
        torch.complex64,
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Casting complex values to real")
def test_weights_that_float32_does_not_hold_are_refused(
    checkpoint: Path, kind: torch.dtype
) -> None:
    """Such weights were rounded, and integers taken for floats."""
    change_weights(checkpoint, MATRIX, load_file(checkpoint / WEIGHTS_FILE)[MATRIX].to(kind))
    error = refusal(checkpoint)
    assert error.code == "type"
    assert f"{MATRIX} must be stored as F16 or BF16 or F32, got" in str(error)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_are_loaded_exactly_from_any_type_that_float32_holds(
    checkpoint: Path, kind: torch.dtype
) -> None:
    weights = load_file(checkpoint / WEIGHTS_FILE)[MATRIX].to(kind)
    change_weights(checkpoint, MATRIX, weights)
    assert torch.equal(load_model(checkpoint).state_dict()[MATRIX], weights.float())


@pytest.mark.parametrize("kind", [torch.float32, torch.int32, torch.bool])
def test_a_counter_of_another_type_is_refused(checkpoint: Path, kind: torch.dtype) -> None:
    change_weights(checkpoint, COUNTER, torch.zeros((), dtype=kind))
    assert f"{COUNTER} must be stored as I64, got" in str(refusal(checkpoint))


@pytest.mark.parametrize("offsets", [[0, 2], [10**15, 10**15 + 2], [2**64 - 2, 2**64], [4, 2]])
def test_a_header_of_wrong_places_is_refused(checkpoint: Path, offsets: list[int]) -> None:
    content = (checkpoint / WEIGHTS_FILE).read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header[MATRIX]["data_offsets"] = offsets
    text = json.dumps(header).encode()
    (checkpoint / WEIGHTS_FILE).write_bytes(struct.pack("<Q", len(text)) + text + content[end:])
    assert refusal(checkpoint).code == "weights"


@pytest.mark.parametrize("name", [CONFIG_FILE, VOCABULARY_FILE])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a":' * 10_000, "recursion depth"),
        ('{"format": "captioner", "format": "captioner"}', "the key 'format' stands twice"),
        ('{"model": {"a": 1, "a": 1}}', "the key 'a' stands twice"),
        ('{"a": NaN}', "NaN is no number"),
        ('{"a": [-Infinity]}', "-Infinity is no number"),
        ('{"a": ' + "9" * 5000 + "}", "4300"),
    ],
)
def test_json_with_tricks_is_refused(
    checkpoint: Path, name: str, content: str, reason: str
) -> None:
    (checkpoint / name).write_text(content)
    error = refusal(checkpoint)
    assert (error.code, error.values["file"]) == ("json", str(checkpoint / name))
    assert reason in str(error)


@pytest.mark.parametrize("name", [CONFIG_FILE, VOCABULARY_FILE])
def test_a_huge_json_file_is_refused_unread(checkpoint: Path, name: str) -> None:
    os.truncate(checkpoint / name, 10**12)  # a hole, which takes no room
    error = refusal(checkpoint)
    assert error.code == "file_size"
    assert f"{name} must have at most" in str(error)


def test_a_number_too_large_for_a_float_is_refused(checkpoint: Path) -> None:
    text = (checkpoint / CONFIG_FILE).read_text().replace('"dropout": 0.1', '"dropout": 1e999')
    (checkpoint / CONFIG_FILE).write_text(text)
    assert "dropout must be from 0 to 1, got inf" in str(refusal(checkpoint))


@pytest.mark.parametrize(
    "word",
    [
        5, None, ["dog"], "", " ", "two  words", " lead", "trail ", "line\nbreak", "tab\tstop",
        "no\xa0break", "a b c d e", "\x00", "\x1b[2J", "\u2028", "a\u2028b", "\ud800",
        "\u202egod", "d" * 101, "<unk>", "<sos>", "<pad>", "<eos>", "cat",
    ],
)  # fmt: skip
def test_what_is_no_word_of_its_own_is_refused(checkpoint: Path, word: Any) -> None:
    write_vocabulary(checkpoint, ["cat", *WORDS[2:], word])
    error = refusal(checkpoint)
    assert error.code == "vocabulary"
    str(error).encode()


@pytest.mark.parametrize("words", [[], [f"w{number}" for number in range(100_001)]])
def test_a_vocabulary_of_no_words_or_too_many_is_refused(
    checkpoint: Path, words: list[str]
) -> None:
    write_vocabulary(checkpoint, words)
    assert f"must have from 1 to 100000 words, got {len(words)}" in str(refusal(checkpoint))


@pytest.mark.parametrize("nouns", HOSTILE_NOUNS)
def test_what_are_no_nouns_for_classes_is_refused(checkpoint: Path, nouns: Any) -> None:
    data = {"words": NOUN_WORDS, "keep_punctuation": True, "class_nouns": nouns}
    (checkpoint / VOCABULARY_FILE).write_text(json.dumps(data))
    error = refusal(checkpoint)
    assert error.code == "vocabulary"
    assert len(str(error)) < 400


@pytest.mark.parametrize(("count", "code"), [(100_001, "vocabulary"), (10**6, "file_size")])
def test_nouns_for_too_many_classes_are_refused(checkpoint: Path, count: int, code: str) -> None:
    """Each took the time to look through all words."""
    data = {"words": ["dog"], "keep_punctuation": True, "class_nouns": [["dog", "dog", "a"]]}
    text = json.dumps(data).replace('["dog", "dog", "a"]', ",".join(['["dog","dog","a"]'] * count))
    (checkpoint / VOCABULARY_FILE).write_text(text)
    assert refusal(checkpoint).code == code


@pytest.fixture
def pointing(checkpoint: Path, model: ImageCaptioningModel) -> Path:
    """A checkpoint with nouns, recognizer, gate, temperature and summary."""
    save_model(build_pointing_model(model.config), checkpoint)
    return checkpoint


@pytest.mark.slow
def test_classes_that_the_weights_know_nothing_of_are_refused(
    model: ImageCaptioningModel, checkpoint: Path
) -> None:
    data = model.vocabulary.to_json() | {"class_nouns": [["dog", "dog", "a"]] * 100_000}
    (checkpoint / VOCABULARY_FILE).write_text(json.dumps(data, separators=(",", ":")))
    assert refusal(checkpoint).code == "names"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"recognizer_stages": 6}, "config"),
        ({"recognizer_stages": 3}, "names"),
        ({"photo_components": 0}, "names"),
        ({"photo_components": 8192}, "shape"),
        ({"encoder": "test_vit", "image_size": 160, "recognizer_stages": 1}, "config"),
    ],
)
def test_another_configuration_of_a_pointing_model_is_refused(
    pointing: Path, changes: dict[str, Any], code: str
) -> None:
    change_config(pointing, **changes)
    assert refusal(pointing).code == code


def test_a_number_of_classes_other_than_the_weights_is_refused(pointing: Path) -> None:
    data = json.loads((pointing / VOCABULARY_FILE).read_text())
    data["class_nouns"].append(list(NOUNS[0]))
    (pointing / VOCABULARY_FILE).write_text(json.dumps(data))
    assert refusal(pointing).code == "shape"


def test_a_mean_region_that_gives_no_probabilities_is_refused(pointing: Path) -> None:
    """Such a checkpoint was loaded, and a word's probability without the photo was NaN."""
    change_weights(pointing, "decoder.pointing.sharpness", torch.tensor(70.0))
    change_weights(pointing, "decoder.pointing.classifier.bias", torch.zeros(len(NOUNS)))
    mean_region = load_file(pointing / WEIGHTS_FILE)["training_photos.mean_region"]
    assert load_model(pointing)
    change_weights(pointing, "training_photos.mean_region", torch.full_like(mean_region, 1e8))
    assert refusal(pointing).code == "output"


@pytest.mark.parametrize("name", CHECKPOINT_FILES)
def test_what_is_no_regular_file_is_refused_unopened(
    model: ImageCaptioningModel, checkpoint: Path, name: str
) -> None:
    """Opening a named pipe would wait for a writer for ever; so did saving over such a folder."""
    (checkpoint / name).unlink()
    os.mkfifo(checkpoint / name)
    assert f"{name} is not a regular file" in str(refusal(checkpoint))
    if name == CONFIG_FILE:
        with pytest.raises(ValueError, match="holds other things than a checkpoint"):
            save_model(model, checkpoint)
    (checkpoint / name).unlink()
    (checkpoint / name).symlink_to("/dev/zero")
    assert f"{name} is not a regular file" in str(refusal(checkpoint))


def test_links_to_files_as_in_the_hubs_cache_are_followed(checkpoint: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for name in CHECKPOINT_FILES:
        (snapshot / name).symlink_to(Path("..") / checkpoint.name / name)
    assert load_model(snapshot).vocabulary.words == load_model(checkpoint).vocabulary.words


def test_a_backbone_with_tables_that_are_in_no_file_is_loaded_whole(
    model: ImageCaptioningModel, tmp_path: Path
) -> None:
    """They are computed as it is built."""
    config = replace(
        model.config, encoder="test_vit_relpos", preprocess=PreprocessConfig(image_size=160)
    )
    built = build_model(config, model.vocabulary)
    save_model(built, tmp_path / "relpos")
    loaded = load_model(tmp_path / "relpos")
    tables = dict(built.named_buffers())
    assert tables.keys() - built.state_dict().keys()
    for name, table in loaded.named_buffers():
        assert torch.equal(table, tables[name]), name


@pytest.mark.slow
def test_such_a_backbone_may_have_a_summary_of_its_training_photos(
    model: ImageCaptioningModel, photos: list[Image.Image], tmp_path: Path
) -> None:
    """The summary's tensors stayed without memory."""
    config = replace(
        model.config,
        encoder="test_vit_relpos",
        preprocess=PreprocessConfig(image_size=160),
        photo_components=3,
    )
    save_model(build_model(config, model.vocabulary), tmp_path / "relpos")
    assert load_model(tmp_path / "relpos").generate_caption(photos[0]).familiarity is not None


def test_a_refusal_survives_pickling_as_between_processes(checkpoint: Path) -> None:
    change_config(checkpoint, hidden_size=0)
    error = refusal(checkpoint)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.code, again.values) == (str(error), error.code, error.values)


def test_the_command_line_says_what_is_wrong_in_one_line(
    checkpoint: Path, run: Run, folder: Path
) -> None:
    change_config(checkpoint, encoder="hf-hub:timm/resnet18")
    status, output, errors = run(folder / "a.png")
    assert (status, output) == (2, [])
    assert errors.startswith(f"captioner: {checkpoint / CONFIG_FILE} is not a valid configuration")
    assert errors.count("\n") == 1
