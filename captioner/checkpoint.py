"""Saving and loading: a folder with config.json, vocabulary.json and model.safetensors.

Knows files, the Hugging Face Hub and the model; nothing in a checkpoint is code, so loading one
runs none. It may come from a stranger: the sizes in its configuration have limits, its tensors are
compared with a model without memory (on torch's meta device), and only then a model is built.
"""

import dataclasses
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # of whichever HTTP library it uses
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from captioner.bundled import BUNDLED
from captioner.checkpoint_files import (
    CHECKPOINT_FILES,
    CONFIG_FILE,
    MAX_CONFIG_BYTES,
    MAX_VOCABULARY_BYTES,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    CheckpointError,
    read_json,
    read_weights,
    require_files,
)
from captioner.checks import check_fields, short
from captioner.encoder import FeatureExtractor
from captioner.model import ImageCaptioningModel, ModelConfig
from captioner.preprocessing import PreprocessConfig
from captioner.vocabulary import START_ID, Vocabulary

FORMAT = "captioner"
FORMAT_VERSION = 1
MAX_PARAMETERS, MAX_REGIONS = 1_000_000_000, 4096
"""Of a model: the numbers in it, 4 bytes each, and the regions it makes of a photo."""
CARD_FILE = "README.md"
MAY_STAND_ALONE = {CARD_FILE, ".gitignore"}
"""Files of a folder that is going to be a checkpoint."""
HUB_ERRORS = (HTTPError, OSError, RuntimeError)
"""What huggingface_hub raises when the Hub refuses, cannot be reached, or breaks off."""


def save_model(model: ImageCaptioningModel, folder: str | Path) -> None:
    """Write a model, encoder included, as a checkpoint folder.

    Matrices are stored as float16; vectors (biases, norms) keep their precision. The folder is
    written under a temporary name beside its place and then renamed, so an interruption or a full
    disk leaves a previous checkpoint whole. Other files in the folder, such as its README.md, stay.

    Raises:
        OSError: the disk is full or the place cannot be written to.
        ValueError: `folder` exists and is not a checkpoint or an empty folder.
    """
    folder = Path(folder).resolve()  # a link stays one: what it points to is replaced
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new-", dir=folder.parent))
    try:
        if folder.exists():
            shutil.copytree(folder, scratch, dirs_exist_ok=True)
        scratch.chmod(0o755)  # temporary folders and safetensors' files are private
        _write_json(scratch / CONFIG_FILE, _config_to_json(model))
        _write_json(scratch / VOCABULARY_FILE, model.vocabulary.to_json())
        _write_weights(scratch / WEIGHTS_FILE, _stored_weights(model))
        (scratch / WEIGHTS_FILE).chmod(0o644)
        _swap(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@torch.inference_mode(False)  # which counts no changes of weights: nothing could be kept for them
def load_model(
    checkpoint: str | Path | None = None, device: torch.device | str = "cpu"
) -> ImageCaptioningModel:
    """Read a checkpoint.

    Args:
        checkpoint: a folder that save_model wrote, or "owner/name" or "owner/name@revision" of a
            model on the Hugging Face Hub, where there is no folder of that name; a Path is always
            a folder. By default the released checkpoint, which comes with this package.
        device: where the model shall compute.

    Returns:
        The model in float32, evaluating.

    Raises:
        FileNotFoundError: there is no such folder or model, the Hub cannot be reached and its
            cache does not hold the model, or a file is missing in the checkpoint.
        CheckpointError: a ValueError: it is not a checkpoint of this program, or it is damaged, or
            larger than any that is meant well; never loads a part.
    """
    folder = _find_checkpoint(BUNDLED if checkpoint is None else checkpoint)
    require_files(folder, str(folder))
    config, vocab_size = _read_config(folder / CONFIG_FILE)
    vocabulary = _read_vocabulary(folder / VOCABULARY_FILE)
    if vocab_size != len(vocabulary):
        values = {"file": folder / CONFIG_FILE, "got": short(vocab_size), "limit": len(vocabulary)}
        raise CheckpointError("vocab_size", values)
    model = _outline(config, vocabulary, folder / CONFIG_FILE)
    _fill(model, read_weights(folder / WEIGHTS_FILE, model.state_dict()))
    _check_output(model.eval(), folder / WEIGHTS_FILE)
    return model.to(device)


def split_hub_name(text: str) -> tuple[str, str | None] | None:
    """Read "owner/name" or "owner/name@revision".

    Returns:
        "owner/name", and the revision if there is one; None for what the Hub takes for no name.
    """
    repo, at, revision = text.partition("@")
    try:
        validate_repo_id(repo)
    except HFValidationError:
        return None
    return (repo, revision or None) if "/" in repo and bool(at) == bool(revision) else None


def download_checkpoint(
    repo: str, revision: str | None = None, cache: str | Path | None = None
) -> Path:
    """Fetch a checkpoint's three files, and no others, from the Hugging Face Hub.

    Args:
        repo: "owner/name".
        revision: a branch, tag or commit; by default the main branch.
        cache: folder to keep them in; by default huggingface_hub's own.

    Returns:
        The folder they are in. Where the Hub does not answer, that of an earlier download.

    Raises:
        FileNotFoundError: the Hub did not give them, and why; or it does not have all three.
    """
    try:
        folder = snapshot_download(
            repo, revision=revision, cache_dir=cache, allow_patterns=list(CHECKPOINT_FILES)
        )
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"{repo} on the Hugging Face Hub has no {revision}") from error
    except HUB_ERRORS as error:
        if hub_status(error) in (401, 403, 404):
            reason = "it has no such model that you may read; check the name, or `hf auth login`"
        else:
            reason = f"{hub_trouble(error)}; try again when it can be reached"
        raise FileNotFoundError(f"the Hugging Face Hub did not give {repo}: {reason}") from error
    require_files(Path(folder), f"{repo} on the Hugging Face Hub")
    return Path(folder)


def hub_status(error: Exception) -> int | None:
    """HTTP status with which the Hub refused; None when something else was the matter."""
    refusal = error if isinstance(error, HfHubHTTPError) else error.__cause__
    return refusal.response.status_code if isinstance(refusal, HfHubHTTPError) else None


def hub_trouble(error: Exception) -> str:
    """Say shortly what one of HUB_ERRORS was, without anything of what was sent to the Hub."""
    if status := hub_status(error):
        return f"it answered with status {status}"
    cause = error.__cause__ or error
    # An HTTP library may quote a malformed header, and so the token; the system never does.
    return str(cause).partition("\n")[0] if isinstance(cause, OSError) else type(cause).__name__


def _find_checkpoint(checkpoint: str | Path) -> Path:
    folder = Path(checkpoint)
    if folder.is_dir():
        return folder
    hint = "name a folder that save_model wrote"
    if not isinstance(checkpoint, str):
        raise FileNotFoundError(f"no checkpoint folder {folder}; {hint}")
    hub_name = None if folder.exists() else split_hub_name(checkpoint)
    if hub_name is None:
        hint += ", or owner/name of a model on the Hugging Face Hub"
        raise FileNotFoundError(f"no checkpoint folder {folder}; {hint}")
    try:
        return download_checkpoint(*hub_name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no checkpoint folder {checkpoint}, and {error}") from error


def _refuse_foreign(folder: Path) -> None:
    if folder.is_file():
        raise ValueError(f"{folder} is a file; a checkpoint is a folder")
    if not folder.is_dir() or {path.name for path in folder.iterdir()} <= MAY_STAND_ALONE:
        return
    if not _is_checkpoint(folder):
        raise ValueError(
            f"{folder} holds other things than a checkpoint; name a new or empty folder"
        )


def _is_checkpoint(folder: Path) -> bool:
    path = folder / CONFIG_FILE
    try:
        return path.is_file() and read_json(path, MAX_CONFIG_BYTES).get("format") == FORMAT
    except ValueError:
        return False


def _swap(scratch: Path, folder: Path) -> None:
    """Put the new folder in the old one's place; the old one is whole until the new one is."""
    if not folder.exists():
        scratch.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old-", dir=folder.parent))
    old = aside / folder.name
    try:
        folder.rename(old)
        scratch.rename(folder)
    except BaseException:  # Ctrl-C too
        if old.exists():
            old.rename(folder)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _write_weights(path: Path, weights: dict[str, Tensor]) -> None:
    try:
        save_file(weights, path)
    except SafetensorError as error:  # a full disk, as safetensors says it
        raise OSError(f"{path} could not be written: {error}") from error


def _stored_weights(model: ImageCaptioningModel) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        small = tensor.ndim > 1 and tensor.is_floating_point()
        stored[name] = tensor.detach().to("cpu", torch.float16 if small else None).contiguous()
    return stored


def _config_to_json(model: ImageCaptioningModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "vocab_size": len(model.vocabulary),
        "model": dataclasses.asdict(model.config),
    }


def _read_config(path: Path) -> tuple[ModelConfig, Any]:
    """The configuration, and the size that the vocabulary must have."""
    data = read_json(path, MAX_CONFIG_BYTES)
    if data.get("format") != FORMAT:
        raise CheckpointError("format", {"file": path})
    if data.get("format_version") != FORMAT_VERSION:
        got = short(data.get("format_version"))
        raise CheckpointError("format_version", {"file": path, "got": got, "limit": FORMAT_VERSION})
    try:
        fields = check_fields(ModelConfig, data.get("model"))
        preprocess = PreprocessConfig.from_json(fields["preprocess"])
        return ModelConfig(**{**fields, "preprocess": preprocess}), data.get("vocab_size")
    except (KeyError, ValueError) as error:
        raise CheckpointError("config", {"file": path, "reason": str(error)}) from error


def _read_vocabulary(path: Path) -> Vocabulary:
    data = read_json(path, MAX_VOCABULARY_BYTES)
    try:
        return Vocabulary.from_json(data)
    except ValueError as error:
        raise CheckpointError("vocabulary", {"file": path, "reason": str(error)}) from error


def _outline(config: ModelConfig, vocabulary: Vocabulary, path: Path) -> ImageCaptioningModel:
    """The model on torch's meta device: names, shapes and types of its tensors, and no memory."""
    try:
        with torch.device("meta"):
            encoder = FeatureExtractor(config.encoder, "random", config.preprocess.image_size)
            rows, cols = grid = encoder.grid(config.preprocess.image_size)
            model = ImageCaptioningModel(config, vocabulary, encoder, grid)
    except (ValueError, RuntimeError) as error:  # some backbones cannot be built as they are here
        reason = str(error).partition("\n")[0]
        raise CheckpointError("config", {"file": path, "reason": reason}) from error
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    for code, got, limit in (
        ("parameters", numbers, MAX_PARAMETERS),
        ("regions", rows * cols, MAX_REGIONS),
    ):
        if got > limit:
            raise CheckpointError(code, {"file": path, "got": got, "limit": limit})
    return model


def _fill(model: ImageCaptioningModel, weights: dict[str, Tensor]) -> None:
    """Give an outlined model memory and its weights."""
    if all(name in weights for name, _ in model.named_buffers()):
        model.to_empty(device="cpu")
    else:  # some backbones compute tables once, as they are built, which are in no file
        size = model.config.preprocess.image_size
        model.encoder = FeatureExtractor(model.config.encoder, "random", size)
        model.decoder.to_empty(device="cpu")
        if model.training_photos is not None:
            model.training_photos.to_empty(device="cpu")
    model.connect_nouns()
    model.load_state_dict(weights)


def _check_output(model: ImageCaptioningModel, path: Path) -> None:
    """Try the model on noise, and on its mean region if it has one.

    Numbers that are finite each can exceed float32 together.
    """
    size = model.config.preprocess.image_size
    noise = torch.randn(3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        regions = model.encode_tensors([noise])[0].regions.unsqueeze(0)  # (1, P, ...)
        if model.training_photos is not None:
            unseen = model.training_photos.mean_region.expand_as(regions)
            regions = torch.cat([regions, unseen])
        state = model.decoder.initial_state(regions)
        output = model.decoder.step(torch.full((len(regions),), START_ID), state)
    if not (output.logits.isfinite().all() and output.alpha.isfinite().all()):
        raise CheckpointError("output", {"file": path})


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
