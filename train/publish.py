"""The `publish` stage: puts a checkpoint, or the page as a Space, on the Hugging Face Hub.

Both are loaded back from there and compared. Knows checkpoints, the checkout and the Hub; nothing
of how a model was trained.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import torch
from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelInfo,
    SpaceInfo,
    snapshot_download,
)
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
from train import checkout
from train.cards import require_model_card, require_space_card
from train.config import PublishConfig

PUBLISHED_FILES = (*CHECKPOINT_FILES, CARD_FILE)
HUB_FILES = {".gitattributes"}
"""What the Hub itself puts into a repository; it decides which files are large ones."""

LOG_IN = "run `hf auth login`, or set HF_TOKEN"


def publish(config: PublishConfig) -> list[str]:
    """Push a checkpoint, the page as a Space, or both; check what the Hub gives back.

    Each is one commit. The token is the one of `hf auth login`, or HF_TOKEN's; HF_ENDPOINT names
    another Hub.

    Returns:
        The commits: the model's, then the Space's.

    Raises:
        FileNotFoundError: there is no such checkpoint or photo, or the Hub does not give back what
            it took.
        ValueError: the checkpoint, the checkout or a card is unfit, the Hub cannot be reached or
            does not permit it, or what it gives back is not what was pushed.
    """
    files = []
    if config.space is not None:
        files = checkout.space_files(checkout.CHECKOUT)
        require_space_card(checkout.CHECKOUT)
    commits = []
    if config.repo is not None:
        commits.append(_publish_model(config, config.repo))
    if config.space is not None:
        commits.append(_publish_space(config, config.space, files))
    return commits


def _publish_model(config: PublishConfig, repo: str) -> str:
    model = load_model(config.checkpoint)
    require_model_card(config.checkpoint)
    photo = config.photo or Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    words = str(model.generate_caption(photo))
    with _explained(repo):
        commit = _push_model(config, repo)
    with tempfile.TemporaryDirectory() as cache:
        published = load_model(download_checkpoint(repo, commit.oid, cache))
    if not _same_weights(model, published) or str(published.generate_caption(photo)) != words:
        raise ValueError(f"{repo} now holds another model than was pushed; publish it again")
    print(f"{commit.repo_url}\ncommit {commit.oid}")
    return commit.oid


def _publish_space(config: PublishConfig, space: str, files: list[str]) -> str:
    with tempfile.TemporaryDirectory() as cache:
        with _explained(space):
            commit = _push_space(config, space, files)
            folder = snapshot_download(
                space, repo_type="space", revision=commit.oid, cache_dir=cache, token=True
            )
        different = _differences(Path(folder), files)
    if different:
        raise ValueError(
            f"{space} now holds something else than was pushed: {', '.join(different)}; "
            "publish it again"
        )
    print(f"{commit.repo_url}\ncommit {commit.oid}\n{len(files)} files, the same as here")
    return commit.oid


def _push_model(config: PublishConfig, repo: str) -> CommitInfo:
    api = HfApi(token=True)  # True: without a token fail, and do not go on as nobody
    api.create_repo(repo, private=config.private or None, exist_ok=True)
    _require_private(config, repo, api.model_info(repo))
    if config.revision is not None:
        api.create_branch(repo, branch=config.revision, exist_ok=True)
    # Not upload_folder, which may spread files over several commits.
    return api.create_commit(
        repo,
        [CommitOperationAdd(name, config.checkpoint / name) for name in PUBLISHED_FILES],
        commit_message=config.message or "Publish a checkpoint",
        revision=config.revision,
    )


def _push_space(config: PublishConfig, space: str, files: list[str]) -> CommitInfo:
    api = HfApi(token=True)
    api.create_repo(
        space,
        repo_type="space",
        space_sdk="gradio",
        private=config.private or None,
        exist_ok=True,
    )
    info = api.space_info(space)
    _require_private(config, space, info)
    found = {sibling.rfilename for sibling in info.siblings or []}
    return api.create_commit(
        space,
        [
            *(CommitOperationAdd(name, checkout.CHECKOUT / name) for name in files),
            *(CommitOperationDelete(name) for name in sorted(found - set(files) - HUB_FILES)),
        ],
        commit_message=config.message or "Publish the page",
        repo_type="space",
        parent_commit=info.sha,  # what is deleted was listed there
    )


def _require_private(config: PublishConfig, repo: str, info: ModelInfo | SpaceInfo) -> None:
    if config.private and not info.private:
        raise ValueError(f"{repo} exists and is public; make it private on its own page")


def _differences(folder: Path, files: list[str]) -> list[str]:
    """The files of a downloaded Space that are not those of the checkout, byte for byte."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    both = found & set(files)
    changed = {
        name
        for name in both
        if (folder / name).read_bytes() != (checkout.CHECKOUT / name).read_bytes()
    }
    return sorted(changed | (found ^ set(files)) - HUB_FILES)


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
