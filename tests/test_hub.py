"""Publishing to the Hugging Face Hub and loading from it, against a Hub on loopback."""

import json
import logging
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants as hub_constants
import matplotlib as mpl
import pytest
from huggingface_hub import HfApi, SpaceInfo
from huggingface_hub.utils import logging as hub_logging
from PIL import Image
from safetensors.torch import load_file, save_file

import captioner.__main__ as command_line
import train.checkout
from captioner import ImageCaptioningModel, load_model, save_model
from captioner.checkpoint import CHECKPOINT_FILES, WEIGHTS_FILE, split_hub_name
from tests.hub_server import OWNER, READ_TOKEN, TOKEN, Files, Hub, hub_server
from train.__main__ import main
from train.cards import require_model_card, require_space_card

ROOT = Path(__file__).parent.parent
REPO = f"{OWNER}/captioner"
PHOTO = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
CARD = """---
license: mit
language: en
pipeline_tag: image-to-text
library_name: captioner
tags: [image-captioning]
---
# A tiny model
"""
pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"  # huggingface_hub uses its HTTP library the old way
)
PUBLISHED = {*CHECKPOINT_FILES, "README.md"}

SPACE = f"{OWNER}/page"
SPACE_REPO = f"spaces/{SPACE}"
SPACE_CARD = """---
title: A page
sdk: gradio
sdk_version: 6.1.0
python_version: "3.12"
app_file: app.py
license: mit
---
![The page](.assets/page.png) ![Elsewhere](https://example.org/x.png)
"""
SPACE_FILES: Files = {
    "app.py": b"print('page')\n",
    "captioner/__init__.py": b"",
    "captioner/page/page.css": "h1 {content: 'é'}\r\n".encode(),
    "checkpoints/model.safetensors": bytes(range(256)) * 40,
    "requirements.txt": b"torch>=2.6\ngradio==6.1.0\n",
    "README.md": SPACE_CARD.encode(),
    "LICENSE": b"MIT\n",
    ".assets/page.png": b"\x89PNG\r\n\0\xff",
}
OTHER_FILES: Files = {
    ".assets/unused.png": b"\x89PNG",
    ".gitignore": b"*.pyc\n",
    "pyproject.toml": b"",
    "tests/test_app.py": b"",
    "train/loop.py": b"",
}
"""Of a checkout, but not for a Space."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub that huggingface_hub takes for the real one, with an empty cache and a token."""
    with hub_server() as running:
        constants = {
            "ENDPOINT": running.address,
            "HUGGINGFACE_CO_URL_TEMPLATE": running.address
            + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_CACHE": str(tmp_path / "home" / "hub"),
            "HF_TOKEN_PATH": str(tmp_path / "home" / "token"),
            "AGENT_HARNESSES_PATH": str(tmp_path / "home" / "harnesses.json"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
        }
        for name, value in constants.items():
            monkeypatch.setattr(hub_constants, name, value, raising=False)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No name is looked up and no connection made outside this machine, nor tried unseen."""
    foreign: list[str] = []

    def guarded(call: Callable[..., Any], host_of: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any, **more: Any) -> Any:
            host = host_of(*arguments)
            if host not in ("127.0.0.1", "localhost"):
                foreign.append(str(host))
                raise OSError(f"{host} is outside")
            return call(*arguments, **more)

        return checked

    monkeypatch.setattr(
        socket, "getaddrinfo", guarded(socket.getaddrinfo, lambda host, *rest: host)
    )
    monkeypatch.setattr(
        socket.socket, "connect", guarded(socket.socket.connect, lambda self, address: address[0])
    )
    yield
    assert not foreign


@pytest.fixture
def checkpoint(model: ImageCaptioningModel, tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    save_model(model, folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


def publish(checkpoint: Path, *flags: str) -> int:
    return main(["publish", f"--checkpoint={checkpoint}", f"--repo={REPO}", *flags])


def files_of(folder: Path) -> Files:
    return {name: (folder / name).read_bytes() for name in PUBLISHED}


def change_weights(checkpoint: Path) -> None:
    """Change them by so little that the model says what it said."""
    weights = load_file(checkpoint / WEIGHTS_FILE)
    name = next(name for name in weights if name.startswith("decoder.") and weights[name].ndim == 1)
    save_file({**weights, name: weights[name] + 1e-4}, checkpoint / WEIGHTS_FILE)


def assert_refused(capsys: pytest.CaptureFixture[str], status: int, message: str) -> None:
    output, errors = capsys.readouterr()
    assert (status, output) == (1, "")
    assert message in errors
    assert "Traceback" not in errors
    assert TOKEN not in errors


def test_a_published_checkpoint_is_loaded_back_by_its_name(
    hub: Hub, checkpoint: Path, photos: list[Image.Image], capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint / "val.json").write_text("{}")
    (checkpoint / "optimizer.bin").write_bytes(pickle.dumps([1]))
    (checkpoint / "notes").mkdir()
    (checkpoint / "notes" / "config.json").write_text("{}")
    assert publish(checkpoint) == 0
    (commit,) = (c for c, files in hub.repositories[REPO].commits.items() if len(files) > 1)
    assert capsys.readouterr().out == f"{hub.address}/{REPO}\ncommit {commit}\n"
    published = hub.head(REPO)
    del published[".gitattributes"]
    assert published == files_of(checkpoint)
    assert not hub.repositories[REPO].private
    wanted = [caption.to_json() for caption in load_model(checkpoint).generate_captions(photos)]
    for name in (REPO, f"{REPO}@main", f"{REPO}@{commit}"):
        loaded = load_model(name).generate_captions(photos)
        assert [caption.to_json() for caption in loaded] == wanted


def test_a_model_is_published_in_one_commit_with_its_message(hub: Hub, checkpoint: Path) -> None:
    publish(checkpoint, "--message=Better words")
    assert hub.repositories[REPO].messages == ["by hand", "Better words"]


def test_publishing_again_replaces_the_model_and_keeps_the_former_commit(
    hub: Hub, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(checkpoint)
    first = capsys.readouterr().out.split()[-1]
    former = files_of(checkpoint)[WEIGHTS_FILE]
    publish(checkpoint)
    assert capsys.readouterr().out.split()[-1] == first  # nothing new: no commit
    change_weights(checkpoint)
    assert publish(checkpoint) == 0
    second = capsys.readouterr().out.split()[-1]
    assert hub.head(REPO)[WEIGHTS_FILE] == files_of(checkpoint)[WEIGHTS_FILE] != former
    assert hub.repositories[REPO].commits[first][WEIGHTS_FILE] == former
    models = [load_model(f"{REPO}@{commit}").state_dict() for commit in (first, second)]
    assert any((models[0][name] != models[1][name]).any() for name in models[0])
    assert all(
        (weights == load_model(REPO).state_dict()[name]).all()
        for name, weights in models[1].items()
    )


def test_a_branch_is_made_and_main_is_left_alone(hub: Hub, checkpoint: Path) -> None:
    for _ in range(2):  # the second time it is there
        assert publish(checkpoint, "--revision=second") == 0
    assert hub.head(REPO, "second").keys() >= PUBLISHED
    assert hub.head(REPO).keys() == {".gitattributes"}
    assert load_model(f"{REPO}@second").vocabulary.words == load_model(checkpoint).vocabulary.words


def test_a_private_model_is_seen_with_the_token_alone(
    hub: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publish(checkpoint, "--private") == 0
    assert hub.repositories[REPO].private
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", hub_constants.HF_HOME + "/other")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(FileNotFoundError, match="no such model that you may read"):
        load_model(REPO)
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    load_model(REPO)


def test_what_shall_be_private_is_not_put_into_a_public_repository(
    hub: Hub, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.put(REPO, {})
    assert_refused(capsys, publish(checkpoint, "--private"), f"{REPO} exists and is public")
    assert hub.head(REPO) == {}


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "no token for the Hugging Face Hub; run `hf auth login`, or set HF_TOKEN"),
        ("hf_wrong", "the Hugging Face Hub does not accept the token"),
        (READ_TOKEN, f"the token does not permit writing to {REPO}"),
        (f"{TOKEN}\vx", "cannot be reached, or broke off: LocalProtocolError"),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_without_a_token_that_may_write_nothing_is_published(
    hub: Hub,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    message: str,
    exists: bool,
) -> None:
    if exists:
        hub.put(REPO, {"notes.txt": b""})
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    assert_refused(capsys, publish(checkpoint), message)
    assert REPO not in hub.repositories or hub.head(REPO).keys() == {"notes.txt"}
    assert not hub.stored


def test_a_hub_out_of_reach_is_told(
    hub: Hub,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setattr(hub_constants, "ENDPOINT", address)
        assert_refused(capsys, publish(checkpoint), "cannot be reached, or broke off: Conn")
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    assert_refused(capsys, publish(checkpoint), "offline mode is enabled")


def test_a_hub_that_fails_is_told(
    hub: Hub, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.failing = 507
    message = f"the Hugging Face Hub did not take {REPO}: it answered with status 507"
    assert_refused(capsys, publish(checkpoint), message)


@pytest.mark.parametrize("flag", ["repo", "space"])
@pytest.mark.parametrize(
    "name", ["captioner", "a/b/c", "owner/", "/name", "owner/name@main", "a b/c", ""]
)
def test_a_repository_needs_owner_and_name(
    capsys: pytest.CaptureFixture[str], flag: str, name: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["publish", f"--{flag}={name}"])
    assert stop.value.code == 2
    assert f"{flag} must be of the form owner/name, got {name!r}" in capsys.readouterr().err


def test_publishing_needs_something_to_publish(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["publish", "--private"])
    assert stop.value.code == 2
    assert "publish needs --repo, --space or both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (None, "has no model card; write its README.md"),
        ("# No metadata\n", "it lacks license, language, pipeline_tag, library_name, tags"),
        ("---\nlicense: [mit\n---\n", "does not begin with metadata in YAML"),
        ("---\n- mit\n---\n", "does not begin with metadata in YAML"),
        (CARD.replace("language: en\n", ""), "it lacks language"),
        (CARD.replace("license: mit\n", "license:\n"), "it lacks license"),
        (CARD.replace("image-to-text", "image-to-image"), "pipeline_tag must be 'image-to-text'"),
    ],
)
def test_a_card_that_the_hub_cannot_use_is_refused_before_anything_is_sent(
    hub: Hub,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    card: str | None,
    message: str,
) -> None:
    (checkpoint / "README.md").unlink()
    if card is not None:
        (checkpoint / "README.md").write_text(card)
    assert_refused(capsys, publish(checkpoint), message)
    assert not hub.requests


@pytest.mark.parametrize("flag", ["--photo=gone.jpg", "--checkpoint=gone"])
def test_a_missing_photo_or_checkpoint_is_told_before_anything_is_sent(
    hub: Hub, checkpoint: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert_refused(capsys, publish(checkpoint, flag), "gone")
    assert not hub.requests


def test_the_released_card_is_one_that_the_hub_can_use() -> None:
    require_model_card(ROOT / "checkpoints")


def test_a_model_that_the_hub_gives_back_changed_is_told(
    hub: Hub, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for name, data in files_of(checkpoint).items():
        (other / name).write_bytes(data)
    change_weights(other)
    hub.tamper = lambda files: {**files, WEIGHTS_FILE: (other / WEIGHTS_FILE).read_bytes()}
    assert_refused(capsys, publish(checkpoint), f"{REPO} now holds another model than was pushed")


def test_a_model_that_the_hub_gives_back_with_other_words_is_told(
    hub: Hub, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = json.loads((checkpoint / "vocabulary.json").read_text())
    words["words"] = words["words"][::-1]
    changed = json.dumps(words).encode()
    hub.tamper = lambda files: {**files, "vocabulary.json": changed}
    assert_refused(capsys, publish(checkpoint), f"{REPO} now holds another model than was pushed")


def test_what_publish_compares_is_fetched_anew(hub: Hub, checkpoint: Path) -> None:
    publish(checkpoint)
    hub.requests.clear()
    publish(checkpoint)
    assert [r for r in hub.requests if r.startswith("GET") and r.endswith(WEIGHTS_FILE)]
    assert not Path(hub_constants.HF_HUB_CACHE).exists()


def test_the_token_is_written_nowhere(
    hub: Hub,
    checkpoint: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity_debug()
    try:
        assert publish(checkpoint) == 0
        load_model(REPO)
        hub.failing = 403
        assert publish(checkpoint) == 1
    finally:
        hub_logging.set_verbosity(verbosity)
    output, errors = capfd.readouterr()
    assert "authenticated: True" in caplog.text  # the library did log
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any("snapshots" in str(path) for path in files)
    written = [path.read_bytes() for path in files]
    for text in (output.encode(), errors.encode(), caplog.text.encode(), *written):
        assert TOKEN.encode() not in text


def test_a_token_that_is_no_header_is_not_quoted(
    hub: Hub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The HTTP library's own message holds the whole header."""
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}\vx")
    assert command_line.main([str(PHOTO), "--checkpoint", REPO]) == 2
    errors = capfd.readouterr().err
    assert f"the Hugging Face Hub did not give {REPO}: LocalProtocolError" in errors
    assert TOKEN not in errors


def test_a_download_that_breaks_off_is_told(
    hub: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(REPO, files_of(checkpoint))
    hub.breaking = True
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between new attempts
    with pytest.raises(FileNotFoundError, match=f"did not give {REPO}: RemoteProtocolError"):
        load_model(REPO)
    hub.breaking = False
    load_model(REPO)


@pytest.mark.parametrize("name", CHECKPOINT_FILES)
def test_a_model_that_lacks_a_file_is_refused(hub: Hub, checkpoint: Path, name: str) -> None:
    files = files_of(checkpoint)
    del files[name]
    hub.put(REPO, files)
    with pytest.raises(FileNotFoundError, match=f"{REPO} on .* not a whole checkpoint: {name} is"):
        load_model(REPO)


def test_a_pickle_is_neither_loaded_nor_fetched(hub: Hub, checkpoint: Path) -> None:
    files = files_of(checkpoint)
    files["pytorch_model.bin"] = pickle.dumps(files.pop(WEIGHTS_FILE))
    hub.put(REPO, files)
    with pytest.raises(FileNotFoundError, match=f"{WEIGHTS_FILE} is missing in it"):
        load_model(REPO)
    hub.put(REPO, {"pytorch_model.bin": files["pytorch_model.bin"]})
    with pytest.raises(FileNotFoundError, match="is not a whole checkpoint"):
        load_model(REPO)
    assert not [request for request in hub.requests if "pytorch_model.bin" in request]


def test_only_the_three_files_are_fetched(hub: Hub, checkpoint: Path) -> None:
    hub.put(REPO, {**files_of(checkpoint), "old/config.json": b"{}", "big.safetensors": b"x" * 99})
    load_model(REPO)
    fetched = {r.split("/resolve/")[1].split("/", 1)[1] for r in hub.requests if "/resolve/" in r}
    assert fetched == set(CHECKPOINT_FILES)


def test_weights_cut_short_or_of_another_model_are_refused(hub: Hub, checkpoint: Path) -> None:
    files = files_of(checkpoint)
    hub.put(REPO, {**files, WEIGHTS_FILE: files[WEIGHTS_FILE][:-100]})
    with pytest.raises(ValueError, match=f"{WEIGHTS_FILE} is damaged or cut short"):
        load_model(REPO)
    hub.put(REPO, {**files, "config.json": b'{"model_type": "of another program"}'})
    with pytest.raises(ValueError, match="not of a checkpoint that captioner's save_model wrote"):
        load_model(REPO)


@pytest.mark.parametrize("name", ["runs/best", "owner/none", "owner/none@main"])
def test_a_name_that_is_neither_a_folder_nor_a_model_is_told(hub: Hub, name: str) -> None:
    message = f"no checkpoint folder {name}, and the Hugging Face Hub did not give .*no such model"
    with pytest.raises(FileNotFoundError, match=message):
        load_model(name)


def test_a_revision_that_there_is_not_is_told(hub: Hub, checkpoint: Path) -> None:
    hub.put(REPO, files_of(checkpoint))
    with pytest.raises(FileNotFoundError, match=f"{REPO} on the Hugging Face Hub has no v9"):
        load_model(f"{REPO}@v9")


@pytest.mark.parametrize(
    "name", ["gone", "./owner/name", "../gone", "a/b/c", "/owner/name", "owner/name@", "a\0b/c"]
)
def test_what_cannot_be_a_name_is_not_asked_for(hub: Hub, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"name a folder .* or owner/name of a model on"):
        load_model(name)
    assert not hub.requests


def test_a_path_or_a_file_is_never_a_name(
    hub: Hub, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(REPO, files_of(checkpoint))
    with pytest.raises(FileNotFoundError, match=r"save_model wrote$"):
        load_model(Path(REPO))
    monkeypatch.chdir(tmp_path)
    Path(OWNER).mkdir()
    Path(REPO).write_text("")
    with pytest.raises(FileNotFoundError, match="no checkpoint folder"):
        load_model(REPO)
    assert not hub.requests


def test_a_folder_goes_before_a_model_of_the_same_name(
    hub: Hub, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(OWNER).mkdir()
    checkpoint.rename(REPO)
    load_model(REPO)
    assert not hub.requests


@pytest.mark.parametrize("offline", [True, False])
def test_a_model_in_the_cache_is_loaded_when_the_hub_is_away(
    hub: Hub,
    checkpoint: Path,
    photos: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
    offline: bool,
) -> None:
    hub.put(REPO, files_of(checkpoint))
    wanted = load_model(REPO).generate_caption(photos[0])
    if offline:
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    else:
        hub.failing = 500
    assert str(load_model(REPO).generate_caption(photos[0])) == str(wanted)
    with pytest.raises(FileNotFoundError, match=r"did not give owner/other: (Cannot|it answered)"):
        load_model(f"{OWNER}/other")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("owner/name", ("owner/name", None)),
        ("owner/name@v1.0", ("owner/name", "v1.0")),
        ("owner/name@refs/pr/1", ("owner/name", "refs/pr/1")),
        ("name", None),
        ("name@main", None),
        ("owner/name@", None),
        ("C:/name", None),
        ("owner/..", None),
        ("", None),
    ],
)
def test_names_on_the_hub_are_told_from_others(
    text: str, parts: tuple[str, str | None] | None
) -> None:
    assert split_hub_name(text) == parts


def test_the_page_takes_a_name(hub: Hub, checkpoint: Path) -> None:
    import app

    hub.put(REPO, files_of(checkpoint))
    model = app.load_model(app.parse_args(["--checkpoint", REPO]))
    assert model.vocabulary.words == load_model(checkpoint).vocabulary.words


def test_the_command_lines_find_hub_and_token_where_huggingface_hub_does(
    checkpoint: Path, tmp_path: Path
) -> None:
    """As a user starts them: by environment variables, and without Gradio in training."""
    with hub_server() as hub:
        environment = {
            **os.environ,
            "HF_ENDPOINT": hub.address,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
        }
        run = {"capture_output": True, "text": True, "check": False, "cwd": ROOT}
        code = "import sys; from train.__main__ import main; print(main(sys.argv[1:])); "
        publishing = [sys.executable, "-c", code + "print('gradio' in sys.modules)"]
        publishing += ["publish", f"--checkpoint={checkpoint}", f"--repo={REPO}"]
        done = subprocess.run(publishing, env={**environment, "HF_TOKEN": TOKEN}, **run)
        assert done.stdout.splitlines()[-2:] == ["0", "False"], done.stderr
        assert TOKEN not in done.stdout + done.stderr
        captioning = [sys.executable, "-m", "captioner", str(PHOTO), "--checkpoint", REPO]
        done = subprocess.run(captioning, env=environment, **run)
    assert done.stdout == f"{load_model(checkpoint).generate_caption(PHOTO)}\n", done.stderr


def git(folder: Path, *arguments: str) -> None:
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    environment = {name: value for name, value in os.environ.items() if name[:4] != "GIT_"}
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env={**environment, **own},
        check=True,
        capture_output=True,
    )


def write_files(folder: Path, files: Files) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def commit_all(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--message=A commit")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small git checkout of a page, in place of the one that the program is in."""
    folder = tmp_path.resolve() / "checkout"
    write_files(folder, {**SPACE_FILES, **OTHER_FILES})
    git(folder, "init")
    commit_all(folder)
    monkeypatch.setattr(train.checkout, "CHECKOUT", folder)
    return folder


def publish_space(*flags: str) -> int:
    return main(["publish", f"--space={SPACE}", *flags])


def space_head(hub: Hub) -> Files:
    """The Space's files but the one that the Hub itself puts there."""
    return {name: data for name, data in hub.head(SPACE_REPO).items() if name != ".gitattributes"}


def test_a_space_gets_the_files_of_the_page_alone_in_one_commit(
    hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish_space() == 0
    (commit,) = (c for c, files in hub.repositories[SPACE_REPO].commits.items() if len(files) > 2)
    assert capsys.readouterr().out == (
        f"{hub.address}/{SPACE_REPO}\ncommit {commit}\n{len(SPACE_FILES)} files, the same as here\n"
    )
    space = hub.repositories[SPACE_REPO]
    assert space_head(hub) == SPACE_FILES
    assert space.messages == ["by hand", "Publish the page"]
    assert (space.sdk, space.private) == ("gradio", False)
    assert list(hub.repositories) == [SPACE_REPO]
    assert list(hub.stored.values()) == [SPACE_FILES["checkpoints/model.safetensors"]]  # by LFS


def test_a_space_is_updated_in_one_commit_to_what_the_checkout_has(
    hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_space()
    first = capsys.readouterr().out
    publish_space()
    assert capsys.readouterr().out == first  # nothing new: no commit
    attributes = hub.head(SPACE_REPO)[".gitattributes"]
    hub.put(SPACE_REPO, {**hub.head(SPACE_REPO), "by/hand.txt": b"", "old.safetensors": b"1"})
    (checkout / "captioner/page/page.css").unlink()
    write_files(checkout, {"app.py": b"print('new')\n", "captioner/new.py": b"1\n"})
    commit_all(checkout)
    assert publish_space("--message=New page") == 0
    wanted = {**SPACE_FILES, "app.py": b"print('new')\n", "captioner/new.py": b"1\n"}
    del wanted["captioner/page/page.css"]
    assert space_head(hub) == wanted
    assert hub.head(SPACE_REPO)[".gitattributes"] == attributes
    assert hub.repositories[SPACE_REPO].messages[-2:] == ["by hand", "New page"]
    assert f"{len(wanted)} files, the same as here" in capsys.readouterr().out


def test_a_private_space_is_private_from_the_start_and_a_public_one_is_not_used(
    hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish_space("--private") == 0
    assert hub.repositories[SPACE_REPO].private
    capsys.readouterr()
    hub.repositories[SPACE_REPO].private = False
    before = hub.head(SPACE_REPO)
    (checkout / "app.py").write_text("print('secret')")
    commit_all(checkout)
    assert_refused(capsys, publish_space("--private"), f"{SPACE} exists and is public")
    assert hub.head(SPACE_REPO) == before


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "no token for the Hugging Face Hub; run `hf auth login`, or set HF_TOKEN"),
        ("hf_wrong", "the Hugging Face Hub does not accept the token"),
        (READ_TOKEN, f"the token does not permit writing to {SPACE}"),
    ],
)
@pytest.mark.parametrize("exists", [False, True])
def test_without_a_token_that_may_write_no_space_is_published(
    hub: Hub,
    checkout: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    message: str,
    exists: bool,
) -> None:
    if exists:
        hub.put(SPACE_REPO, {"notes.txt": b""})
    monkeypatch.delenv("HF_TOKEN") if token is None else monkeypatch.setenv("HF_TOKEN", token)
    assert_refused(capsys, publish_space(), message)
    assert SPACE_REPO not in hub.repositories or space_head(hub).keys() == {"notes.txt"}
    assert not hub.stored


def with_another_app(files: Files) -> Files:
    return {**files, "app.py": b"print('pagE')\n"}


def with_other_weights(files: Files) -> Files:
    return {**files, "checkpoints/model.safetensors": b""}


def without_an_empty_file(files: Files) -> Files:
    return {name: data for name, data in files.items() if name != "captioner/__init__.py"}


def with_one_more(files: Files) -> Files:
    return {**files, "captioner/more.py": b""}


@pytest.mark.parametrize(
    ("tamper", "name"),
    [
        (with_another_app, "app.py"),
        (with_other_weights, "checkpoints/model.safetensors"),
        (without_an_empty_file, "captioner/__init__.py"),
        (with_one_more, "captioner/more.py"),
    ],
)
def test_a_space_that_the_hub_gives_back_changed_is_told(
    hub: Hub,
    checkout: Path,
    capsys: pytest.CaptureFixture[str],
    tamper: Callable[[Files], Files],
    name: str,
) -> None:
    hub.tamper = tamper
    message = f"{SPACE} now holds something else than was pushed: {name}; publish it again"
    assert_refused(capsys, publish_space(), message)
    hub.tamper = dict
    assert publish_space() == 0
    assert space_head(hub) == SPACE_FILES


@pytest.mark.parametrize("name", ["app.py", "captioner/new.py", ".assets/page.png", "LICENSE"])
@pytest.mark.parametrize("staged", [False, True])
def test_uncommitted_changes_of_the_page_are_refused_before_anything_is_sent(
    hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str], name: str, staged: bool
) -> None:
    write_files(checkout, {name: b"changed"})
    if staged:
        git(checkout, "add", name)
    message = f"{checkout} has uncommitted changes in what a Space gets: {name}; commit or undo"
    assert_refused(capsys, publish_space(), message)
    (checkout / name).unlink()
    if name in SPACE_FILES:
        assert_refused(capsys, publish_space(), message)
    assert not hub.requests


def test_other_uncommitted_changes_do_not_matter(hub: Hub, checkout: Path) -> None:
    write_files(checkout, dict.fromkeys([*OTHER_FILES, "captioner/x.pyc", "notes.txt"], b"changed"))
    write_files(checkout, {".gitignore": b"*.pyc\n*.txt\n"})
    assert publish_space() == 0
    assert space_head(hub) == SPACE_FILES


def test_a_space_is_not_published_from_an_installed_package(
    hub: Hub,
    checkout: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither outside of any checkout nor in one that merely holds the environment."""
    for parent in (checkout, checkout.parent):
        folder = parent / "venv" / "site-packages"
        write_files(folder, SPACE_FILES)
        monkeypatch.setattr(train.checkout, "CHECKOUT", folder)
        message = f"{folder} is not a git checkout; publish a Space from a clone"
        assert_refused(capsys, publish_space(), message)
    assert not hub.requests


def test_a_checkout_that_lacks_what_a_space_needs_is_refused(
    hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "app.py").unlink()
    (checkout / "README.md").unlink()
    commit_all(checkout)
    assert_refused(capsys, publish_space(), f"{checkout} does not track app.py, README.md")
    assert not hub.requests


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("README.md", SPACE_CARD, "# A page\n", "it lacks title, license, sdk, sdk_version, py"),
        ("README.md", "license: mit\n", "", "it lacks license"),
        ("README.md", "title: A page", "title: [A", "does not begin with metadata in YAML"),
        ("README.md", "gradio", "docker", "sdk must be 'gradio', got 'docker'"),
        ("README.md", "6.1.0", "6.0.0", "sdk_version must be '6.1.0', got '6.0.0'"),
        ("README.md", '"3.12"', "3.12", "python_version must be '3.12', got 3.12"),
        ("README.md", '"3.12"', '"3.10"', "python_version must be '3.12', got '3.10'"),
        ("README.md", "app.py", "main.py", "app_file must be 'app.py', got 'main.py'"),
        ("requirements.txt", "==6.1.0", ">=6", "requirements.txt must pin gradio"),
        ("requirements.txt", "==6.1.0", "==6.2.0", "sdk_version must be '6.2.0', got '6.1.0'"),
    ],
)
def test_a_readme_that_does_not_configure_the_space_is_refused_before_anything_is_sent(
    hub: Hub,
    checkout: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    old: str,
    new: str,
    message: str,
) -> None:
    text = (checkout / file).read_text()
    assert old in text
    (checkout / file).write_text(text.replace(old, new))
    commit_all(checkout)
    assert_refused(capsys, publish(checkpoint, f"--space={SPACE}"), message)
    assert not hub.requests


@pytest.mark.parametrize("request_", ["PUT /lfs/.*", "POST /api/spaces/.*/commit/main"])
def test_an_interrupted_push_leaves_the_space_as_it_was(
    hub: Hub, checkout: Path, capsys: pytest.CaptureFixture[str], request_: str
) -> None:
    publish_space()
    capsys.readouterr()
    weights = b"of another model"
    write_files(checkout, {"checkpoints/model.safetensors": weights, "app.py": b"1\n"})
    commit_all(checkout)
    hub.failing, hub.failing_requests = 507, request_
    assert_refused(capsys, publish_space(), f"did not take {SPACE}: it answered with status 507")
    assert space_head(hub) == SPACE_FILES
    hub.failing = 0
    assert publish_space() == 0
    assert space_head(hub)["checkpoints/model.safetensors"] == weights


def test_a_space_that_cannot_be_downloaded_whole_is_not_called_the_same(
    hub: Hub,
    checkout: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between new attempts
    hub.breaking = True
    assert_refused(capsys, publish_space(), "broke off: RemoteProtocolError")


def test_a_commit_of_someone_else_in_the_meantime_is_not_undone(
    hub: Hub,
    checkout: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = HfApi.space_info

    def ask_before_a_commit(api: HfApi, space: str) -> SpaceInfo:
        info = ask(api, space)
        hub.put(SPACE_REPO, {**hub.head(SPACE_REPO), "README.md": b"by someone else"})
        return info

    monkeypatch.setattr(HfApi, "space_info", ask_before_a_commit)
    assert_refused(capsys, publish_space(), f"did not take {SPACE}: it answered with status 412")
    assert space_head(hub) == {"README.md": b"by someone else"}


def test_a_checkpoint_and_the_page_can_be_published_together(
    hub: Hub, checkout: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(checkpoint, f"--space={SPACE}", "--private", "--message=Both") == 0
    assert list(hub.repositories) == [REPO, SPACE_REPO]
    assert space_head(hub) == SPACE_FILES
    assert hub.head(REPO)[WEIGHTS_FILE] == files_of(checkpoint)[WEIGHTS_FILE]
    for repository in hub.repositories.values():
        assert repository.private
        assert repository.messages[-1] == "Both"
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[2]) == (f"{hub.address}/{REPO}", f"{hub.address}/{SPACE_REPO}")


def test_this_repository_can_be_a_space() -> None:
    require_space_card(ROOT)
    files = train.checkout.tracked_space_files(ROOT)
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "captioner").rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".pyi")
    }
    folders = {"captioner", "checkpoints", ".assets"}
    alone = {name for name in files if name.split("/")[0] not in folders}
    assert alone - {"LICENSE"} == {"app.py", "requirements.txt", "README.md"}
    assert {name for name in files if name.startswith("captioner/")} == package
    assert {f"checkpoints/{name}" for name in PUBLISHED} < set(files)
    assert {".assets/page.png", ".assets/page.gif"} < set(files)
