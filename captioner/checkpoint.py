"""Saving and loading: a folder with config.json, vocabulary.json and model.safetensors.

Knows files, the Hugging Face Hub and the model; nothing in a checkpoint is code, so loading one
runs none.
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
from safetensors.torch import load_file, save_file
from torch import Tensor

from captioner.encoder import FeatureExtractor
from captioner.model import ImageCaptioningModel, ModelConfig
from captioner.preprocessing import PreprocessConfig
from captioner.vocabulary import Vocabulary

FORMAT = "captioner"
FORMAT_VERSION = 1
CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE = "config.json", "vocabulary.json", "model.safetensors"
CHECKPOINT_FILES = (CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE)
CARD_FILE = "README.md"
MAY_STAND_ALONE = {CARD_FILE, ".gitignore"}
"""Files of a folder that is going to be a checkpoint."""
PACKAGE = Path(__file__).resolve().parent
INSTALLED, CLONED = PACKAGE / "released", PACKAGE.parent / "checkpoints"
"""Where the released checkpoint is: of an installed package, and in a clone of the repository."""
BUNDLED = INSTALLED if INSTALLED.is_dir() else CLONED
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
        ValueError: it is not a checkpoint of this program, or it is damaged; never loads a part.
    """
    folder = _find_checkpoint(BUNDLED if checkpoint is None else checkpoint)
    _require_files(folder, str(folder))
    config = _config_from_json(_read_json(folder / CONFIG_FILE), folder / CONFIG_FILE)
    try:
        vocabulary = Vocabulary.from_json(_read_json(folder / VOCABULARY_FILE))
    except ValueError as error:
        raise ValueError(f"{folder / VOCABULARY_FILE}: {error}") from error
    model = ImageCaptioningModel(config, vocabulary, FeatureExtractor(config.encoder, "random"))
    _load_weights(model, folder / WEIGHTS_FILE)
    return model.to(device).eval()


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
    _require_files(Path(folder), f"{repo} on the Hugging Face Hub")
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


def _require_files(folder: Path, name: str) -> None:
    for file in CHECKPOINT_FILES:
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{name} is not a whole checkpoint: {file} is missing in it")


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
    try:
        return _read_json(folder / CONFIG_FILE).get("format") == FORMAT
    except (FileNotFoundError, ValueError):
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


def _load_weights(model: ImageCaptioningModel, path: Path) -> None:
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); copy it again") from error
    wanted = model.state_dict()
    missing, extra = sorted(wanted.keys() - stored.keys()), sorted(stored.keys() - wanted.keys())
    if missing or extra:
        raise ValueError(
            f"{path} does not belong to its config.json: it lacks {missing[:3] or 'nothing'} "
            f"and has {extra[:3] or 'nothing'} too many; copy the whole checkpoint again"
        )
    for name, tensor in wanted.items():
        if stored[name].shape != tensor.shape:
            raise ValueError(
                f"{path} does not belong to its config.json and vocabulary.json: {name} must be "
                f"{tuple(tensor.shape)}, got {tuple(stored[name].shape)}"
            )
    model.load_state_dict(stored)


def _config_to_json(model: ImageCaptioningModel) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "vocab_size": len(model.vocabulary),
        "model": dataclasses.asdict(model.config),
    }


def _config_from_json(data: dict[str, Any], path: Path) -> ModelConfig:
    if data.get("format") != FORMAT:
        raise ValueError(f"{path} is not of a checkpoint that captioner's save_model wrote")
    if data.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format_version {data.get('format_version')}; this captioner reads "
            f"{FORMAT_VERSION}: update captioner or the checkpoint"
        )
    try:
        fields = dict(data["model"])
        preprocess = PreprocessConfig.from_json(fields.pop("preprocess"))
        return ModelConfig(**fields, preprocess=preprocess)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a valid configuration: {error}") from error


def _write_json(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); copy it again") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold a JSON object")
    return data
