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
from huggingface_hub.utils import logging as hub_logging
from PIL import Image
from safetensors.torch import load_file, save_file

import captioner.__main__ as command_line
from captioner import ImageCaptioningModel, load_model, save_model
from captioner.checkpoint import CHECKPOINT_FILES, WEIGHTS_FILE, split_hub_name
from tests.hub_server import OWNER, READ_TOKEN, TOKEN, Files, Hub, hub_server
from train.__main__ import main

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


@pytest.mark.parametrize(
    "repo", ["captioner", "a/b/c", "owner/", "/name", "owner/name@main", "a b/c"]
)
def test_a_repository_needs_owner_and_name(
    checkpoint: Path, capsys: pytest.CaptureFixture[str], repo: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["publish", f"--checkpoint={checkpoint}", f"--repo={repo}"])
    assert stop.value.code == 2
    assert f"repo must be of the form owner/name, got {repo!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (None, "has no model card; write its README.md"),
        ("# No metadata\n", "it lacks license, language, pipeline_tag, library_name, tags"),
        ("---\nlicense: [mit\n---\n", "does not begin with metadata in YAML"),
        ("---\n- mit\n---\n", "does not begin with metadata in YAML"),
        (CARD.replace("language: en\n", ""), "it lacks language"),
        (CARD.replace("license: mit\n", "license:\n"), "it lacks license"),
        (CARD.replace("image-to-text", "image-to-image"), "pipeline_tag must be image-to-text"),
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
    from train.publish import require_card

    require_card(ROOT / "checkpoints")


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


def test_the_page_takes_a_name(hub: Hub, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import app

    hub.put(REPO, files_of(checkpoint))
    models: list[ImageCaptioningModel] = []
    monkeypatch.setattr(app, "build_demo", lambda model, report: models.append(model))
    monkeypatch.setattr(app, "serve", lambda demo, **settings: None)
    app.main(["--checkpoint", REPO])
    assert models[0].vocabulary.words == load_model(checkpoint).vocabulary.words


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
