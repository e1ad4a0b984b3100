"""Reading a checkpoint's files, which may come from a stranger.

What does not belong in them is refused before it costs memory. Knows files, JSON and named
tensors; knows nothing of models or the Hugging Face Hub.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from captioner.checks import short
from captioner.errors import CodedError

CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE = "config.json", "vocabulary.json", "model.safetensors"
CHECKPOINT_FILES = (CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE)

MAX_CONFIG_BYTES, MAX_VOCABULARY_BYTES = 2**16, 2**22
MAX_HEADER_BYTES = 2**22
"""Of the header of the weights, which takes about a hundred bytes for each tensor."""
MAX_WEIGHT = 1e8
"""Larger ones are damage; many of them multiplied exceed what float32 holds."""

FLOATS = ("F16", "BF16", "F32")
"""Stored types of weights: those that float32 holds exactly, without a scale kept elsewhere."""
INTEGERS = {torch.int64: ("I64",)}
"""Stored types of what is no weight, such as the counters of batch norm."""


class CheckpointError(CodedError):
    """A checkpoint is refused.

    Attributes:
        code: why, one of MESSAGES.
        values: what the message names: `file`, and such as `field`, `limit`, `got`, `reason`.
    """

    MESSAGES: ClassVar[dict[str, str]] = {
        "not_a_file": "{file} is not a regular file",
        "file_size": "{file} must have at most {limit} bytes",
        "json": "{file} is not valid JSON ({reason}); copy it again",
        "no_object": "{file} must hold a JSON object",
        "format": "{file} is not of a checkpoint that captioner's save_model wrote",
        "format_version": "{file} has format_version {got}; this captioner reads {limit}: "
        "update captioner or the checkpoint",
        "config": "{file} is not a valid configuration: {reason}",
        "vocabulary": "{file}: {reason}",
        "vocab_size": "{file} has vocab_size {got}, and the vocabulary has {limit} entries; "
        "copy the whole checkpoint again",
        "parameters": "{file} describes a model of {got} numbers; the limit is {limit}",
        "regions": "{file} describes a model of {got} regions in a photo; the limit is {limit}",
        "weights": "{file} is damaged or cut short ({reason}); copy it again",
        "header_size": "{file} is damaged: its header must have at most {limit} bytes, got {got}",
        "names": "{file} does not belong to its config.json: it lacks {missing} and has {extra} "
        "too many; copy the whole checkpoint again",
        "shape": "{file} does not belong to its config.json and vocabulary.json: {field} must be "
        "{limit}, got {got}",
        "type": "{file}: {field} must be stored as {limit}, got {got}",
        "value": "{file}: {field} must hold numbers from -{limit:g} to {limit:g}, got {got}",
        "output": "{file} is damaged: the model it describes gives no finite probabilities",
    }

    def __init__(self, code: str, values: Mapping[str, Any]) -> None:
        """Make the error; a path among the values is kept as text."""
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}
        super().__init__(code, plain)


def require_files(folder: Path, name: str) -> None:
    """Check that a folder has a checkpoint's files; links to regular files will do.

    Raises:
        FileNotFoundError: one is missing; the message calls the folder by the name given.
        CheckpointError: one is something else than a file.
    """
    for file in CHECKPOINT_FILES:
        if not (folder / file).exists():
            raise FileNotFoundError(f"{name} is not a whole checkpoint: {file} is missing in it")
        if not (folder / file).is_file():
            raise CheckpointError("not_a_file", {"file": folder / file})


def read_json(path: Path, max_bytes: int) -> dict[str, Any]:
    """Read a JSON object in which no key stands twice.

    Raises:
        CheckpointError: the file is too large, no JSON, nested too deeply, or no object.
    """
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise CheckpointError("file_size", {"file": path, "limit": max_bytes})
    try:
        data = json.loads(
            content.decode(), object_pairs_hook=_distinct, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise CheckpointError("json", {"file": path, "reason": str(error)}) from error
    if not isinstance(data, dict):
        raise CheckpointError("no_object", {"file": path})
    return data


def read_weights(path: Path, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read tensors, if they are those that are wanted, by name, shape and kind.

    Args:
        wanted: what a model's state_dict gives; tensors on the meta device will do.

    Returns:
        The tensors as they are stored, floats in any of FLOATS.

    Raises:
        CheckpointError: the file is damaged, holds others, or numbers that are none or huge.
    """
    _check_header_size(path)
    try:
        with safe_open(path, "pt") as file:
            _check_names(path, set(file.keys()), wanted.keys())
            for name, tensor in wanted.items():
                _check_kind(path, name, file.get_slice(name), tensor)
            stored = {name: file.get_tensor(name) for name in wanted}
    except SafetensorError as error:
        raise CheckpointError("weights", {"file": path, "reason": str(error)}) from error
    for name, tensor in stored.items():
        _check_values(path, name, tensor)
    return stored


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in pairs:
        if key in data:
            raise ValueError(f"the key {short(key)} stands twice")
        data[key] = value
    return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _check_header_size(path: Path) -> None:
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > MAX_HEADER_BYTES:
        values = {"file": path, "limit": MAX_HEADER_BYTES, "got": size}
        raise CheckpointError("header_size", values)


def _check_names(path: Path, stored: set[str], wanted: Any) -> None:
    missing, extra = sorted(wanted - stored), sorted(stored - wanted)
    if missing or extra:
        values = {
            "file": path,
            "missing": short(missing[:3]) if missing else "nothing",
            "extra": short(extra[:3]) if extra else "nothing",
        }
        raise CheckpointError("names", values)


def _check_kind(path: Path, name: str, stored: Any, wanted: Tensor) -> None:
    shape, kind = tuple(stored.get_shape()), stored.get_dtype()
    values = {"file": path, "field": name}
    if shape != wanted.shape:
        values |= {"limit": tuple(wanted.shape), "got": shape}
        raise CheckpointError("shape", values)
    kinds = FLOATS if wanted.is_floating_point() else INTEGERS[wanted.dtype]
    if kind not in kinds:
        raise CheckpointError("type", values | {"limit": " or ".join(kinds), "got": kind})


def _check_values(path: Path, name: str, tensor: Tensor) -> None:
    if not tensor.is_floating_point() or not tensor.numel():
        return
    for value in map(float, tensor.aminmax()):  # either is NaN where any number is
        if not -MAX_WEIGHT <= value <= MAX_WEIGHT:
            values = {"file": path, "field": name, "limit": MAX_WEIGHT, "got": value}
            raise CheckpointError("value", values)
