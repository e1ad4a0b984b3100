"""The `publish` stage: puts a checkpoint on the Hugging Face Hub, and loads it back from there.

Knows checkpoints and the Hub; nothing of how a model was trained.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import torch
import yaml
from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.errors import LocalTokenNotFoundError

from captioner.checkpoint import (
    CARD_FILE,
    CHECKPOINT_FILES,
    HUB_ERRORS,
    download_checkpoint,
    hub_status,
    hub_trouble,
    load_model,
)
from captioner.model import ImageCaptioningModel
from train.config import PublishConfig

PUBLISHED_FILES = (*CHECKPOINT_FILES, CARD_FILE)

CARD_FIELDS = ("license", "language", "pipeline_tag", "library_name", "tags")
"""What the Hub sorts models by, and a visitor needs to know."""
PIPELINE_TAG = "image-to-text"

LOG_IN = "run `hf auth login`, or set HF_TOKEN"


def publish(config: PublishConfig) -> str:
    """Push a checkpoint and its model card in one commit, and check what the Hub gives back.

    The token is the one of `hf auth login`, or HF_TOKEN's; HF_ENDPOINT names another Hub.

    Returns:
        The commit.

    Raises:
        FileNotFoundError: there is no such checkpoint or photo, or the Hub does not give back what
            it took.
        ValueError: the checkpoint or its card is unfit, the Hub cannot be reached or does not
            permit it, or what it gives back is not what was pushed.
    """
    model = load_model(config.checkpoint)
    require_card(config.checkpoint)
    photo = config.photo or Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    words = str(model.generate_caption(photo))
    with _explained(config.repo):
        commit = _push(config)
    with tempfile.TemporaryDirectory() as cache:
        published = load_model(download_checkpoint(config.repo, commit.oid, cache))
    if not _same_weights(model, published) or str(published.generate_caption(photo)) != words:
        raise ValueError(f"{config.repo} now holds another model than was pushed; publish it again")
    print(f"{commit.repo_url}\ncommit {commit.oid}")
    return commit.oid


def require_card(folder: Path) -> None:
    """Raise ValueError unless a checkpoint folder has a model card that the Hub understands."""
    path = folder / CARD_FILE
    if not path.is_file():
        raise ValueError(f"{folder} has no model card; write its {CARD_FILE}")
    try:
        card = ModelCard.load(path).data
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} does not begin with metadata in YAML: {error}") from error
    missing = [field for field in CARD_FIELDS if not card.get(field)]
    if missing:
        raise ValueError(f"{path} must begin with metadata; it lacks {', '.join(missing)}")
    if card.get("pipeline_tag") != PIPELINE_TAG:
        raise ValueError(
            f"{path}: pipeline_tag must be {PIPELINE_TAG}, got {card.get('pipeline_tag')}"
        )


def _push(config: PublishConfig) -> CommitInfo:
    api = HfApi(token=True)  # True: without a token fail, and do not go on as nobody
    api.create_repo(config.repo, private=config.private or None, exist_ok=True)
    if config.private and not api.model_info(config.repo).private:
        raise ValueError(f"{config.repo} exists and is public; make it private on its own page")
    if config.revision is not None:
        api.create_branch(config.repo, branch=config.revision, exist_ok=True)
    # Not upload_folder, which may spread files over several commits.
    return api.create_commit(
        config.repo,
        [CommitOperationAdd(name, config.checkpoint / name) for name in PUBLISHED_FILES],
        commit_message=config.message,
        revision=config.revision,
    )


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise ValueError(f"no token for the Hugging Face Hub; {LOG_IN}") from error
    except HUB_ERRORS as error:
        raise ValueError(_explanation(repo, error)) from error


def _explanation(repo: str, error: Exception) -> str:
    match hub_status(error):
        case 401:
            return f"the Hugging Face Hub does not accept the token; {LOG_IN}"
        case 403:
            return f"the token does not permit writing to {repo}; take one that does: {LOG_IN}"
        case None:
            return f"the Hugging Face Hub cannot be reached, or broke off: {hub_trouble(error)}"
        case _:
            return f"the Hugging Face Hub did not take {repo}: {hub_trouble(error)}"


def _same_weights(one: ImageCaptioningModel, other: ImageCaptioningModel) -> bool:
    weights, others = one.state_dict(), other.state_dict()
    return weights.keys() == others.keys() and all(
        torch.equal(tensor, others[name]) for name, tensor in weights.items()
    )
