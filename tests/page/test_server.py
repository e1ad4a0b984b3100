"""app.py as a process of its own: how it starts, stops, says how it is, and what it logs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import app
from captioner.page.middleware import LOOPBACK_HOSTS
from tests.free_port import free_port
from tests.page.over_http import call, join, upload
from tests.serving import write_bad_file, write_photo

ROOT = Path(app.__file__).parent


class Served:
    """A running server."""

    def __init__(self, process: subprocess.Popen[str], address: str, folder: Path) -> None:
        self.process, self.address, self.folder = process, address, folder

    def end(self, number: signal.Signals | None) -> list[dict[str, Any]]:
        """Send a signal, if any, and wait until the server has ended. Gives what it logged."""
        if number is not None:
            self.process.send_signal(number)
        _, log = self.process.communicate(timeout=60)
        return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


@contextmanager
def started(folder: Path, **variables: str) -> Iterator[Served]:
    port = free_port()
    environment = {
        **os.environ,
        "GRADIO_TEMP_DIR": str(folder),
        "GRADIO_SERVER_PORT": str(port),
        **variables,
    }
    with subprocess.Popen(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_healthy(address, process)
            yield Served(process, address, folder)
        finally:
            process.kill()


def wait_until_healthy(address: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    process.kill()  # a server that only is slow would keep its log open
    raise AssertionError(f"no page at {address}: {process.stderr and process.stderr.read()}")


def test_what_a_killed_server_kept_is_gone_when_the_next_one_serves_and_ends(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "place"
    with started(folder) as server:
        photo = upload(server.address, write_photo(tmp_path / "photo.jpg"))
        server.end(signal.SIGKILL)
        assert Path(photo["path"]).exists()
    with started(folder) as server:
        assert not Path(photo["path"]).exists()
        assert len(list(folder.iterdir())) == 1
        upload(server.address, write_photo(tmp_path / "photo.jpg"))
        server.end(signal.SIGINT)
        assert server.process.returncode == 0
        assert list(folder.iterdir()) == []


def test_each_request_is_logged_without_its_content_and_the_last_is_answered(
    tmp_path: Path,
) -> None:
    secret = "grandmother"
    with started(tmp_path / "place") as server:
        httpx.get(server.address)
        photo = upload(server.address, write_photo(tmp_path / f"{secret}.jpg"))
        caption = json.loads(call(server.address, photo).partition("data: ")[2])[0]["caption"]
        question = {"id": 1, "kind": "score", "text": f"a {secret}"}
        join(server.address, photo, question)
        join(server.address, photo, {"kind": secret})
        join(server.address, {"path": f"/{secret}"})
        bad = upload(server.address, write_bad_file(tmp_path, "text.jpg"))
        join(server.address, bad)
        httpx.get(f"{server.address}/{secret}", headers={"user-agent": secret})
        httpx.get(server.address, headers={"host": f"{secret}.example"})
        url = f"{server.address}/gradio_api/call/caption"
        event = httpx.post(url, json={"data": [photo]}).json()["event_id"]
        with httpx.stream("GET", f"{url}/{event}", timeout=60) as stream:
            server.process.send_signal(signal.SIGTERM)
            assert "complete" in stream.read().decode()
        log = server.end(None)
        assert server.process.returncode == 0
        assert list((tmp_path / "place").iterdir()) == []
    lines = [(line["kind"], line["outcome"]) for line in log if "kind" in line]
    for expected in (
        ("http page", "200"),
        ("http upload", "200"),
        ("http call", "200"),
        ("http queue/join", "200"),
        ("caption", "ok"),
        ("score", "ok"),
        ("unknown", "refused"),
        ("view", "gone"),
        ("view", "format"),
        ("http other", "404"),
        ("http page", "400"),
    ):
        assert expected in lines
    assert all(line["ms"] >= 0 for line in log if "kind" in line)
    text = json.dumps(log)
    assert secret not in text
    assert caption not in text
    assert str(tmp_path) not in text


def run_app(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_port_that_is_taken_is_said_in_a_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_app("--port", port, GRADIO_TEMP_DIR=str(tmp_path))
    assert done.returncode == 1
    assert port in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_cannot_be_loaded_ends_the_server_with_a_line(tmp_path: Path) -> None:
    """The page is served by then, and the examples wait for the model."""
    checkpoint, folder = tmp_path / "checkpoint", tmp_path / "folder"
    shutil.copytree(ROOT / "checkpoints", checkpoint)
    (checkpoint / "config.json").write_text("{}")
    done = run_app("--checkpoint", str(checkpoint), GRADIO_TEMP_DIR=str(folder))
    assert done.returncode == 1
    (said,) = (line for line in done.stderr.splitlines() if not line.startswith("{"))  # a log's
    assert said.startswith(f"app.py: {checkpoint / 'config.json'} is not of a checkpoint")
    assert list(folder.iterdir()) == []


def test_a_server_is_stopped_in_order_while_it_waits_for_a_checkpoint(tmp_path: Path) -> None:
    """The signal waited until the Hub's answer had come, or its time was over."""
    with socket.socket() as hub:  # which takes connections, and never answers
        hub.bind(("127.0.0.1", 0))
        hub.listen()
        variables = {
            "CAPTIONER_CHECKPOINT": "owner/name",
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}",
            "HF_HOME": str(tmp_path / "cache"),
            "HF_HUB_ETAG_TIMEOUT": "1000",
            "HF_HUB_DOWNLOAD_TIMEOUT": "1000",
        }
        with started(tmp_path / "place", **variables) as server:
            hub.settimeout(60)
            connection, _ = hub.accept()
            upload(server.address, write_photo(tmp_path / "photo.jpg"))
            server.end(signal.SIGTERM)
            connection.close()
            assert server.process.returncode == 0
            assert list((tmp_path / "place").iterdir()) == []


def test_a_temporary_folder_that_cannot_be_used_is_said_in_a_line(tmp_path: Path) -> None:
    """Gradio's own place is one folder for all users of a machine, who are in each other's way."""
    (tmp_path / "file").touch()
    done = run_app(GRADIO_TEMP_DIR=str(tmp_path / "file"))
    assert done.returncode == 1
    assert "GRADIO_TEMP_DIR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--port", "x"], {}),
        (["--port", "70000"], {}),
        (["--threads", "0"], {}),
        ([], {"CAPTIONER_THREADS": "many"}),
        (["--queue-length", "-1"], {}),
        ([], {"CAPTIONER_QUEUE_LENGTH": "0"}),
    ],
)
def test_settings_out_of_range_are_refused(
    arguments: list[str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        app.parse_args(arguments)
    assert caught.value.code == 2
    assert "must be a whole number from" in capsys.readouterr().err


def test_flags_come_before_variables_and_these_before_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = {
        "CAPTIONER_CHECKPOINT": "owner/name",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": "1234",
        "GRADIO_ROOT_PATH": "/captions",
        "CAPTIONER_ALLOWED_HOSTS": "a.example",
        "CAPTIONER_THREADS": "3",
        "CAPTIONER_QUEUE_LENGTH": "7",
    }
    for name in names:
        monkeypatch.delenv(name, raising=False)
    options = vars(app.parse_args([]))
    assert options == {
        "checkpoint": None, "host": "127.0.0.1", "port": None, "root_path": "",
        "allowed_hosts": None, "threads": 1, "queue_length": 200, "share": False,
    }  # fmt: skip
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    options = vars(app.parse_args([]))
    assert list(options.values()) == [
        "owner/name",
        "0.0.0.0",
        1234,
        "/captions",
        "a.example",
        3,
        7,
        False,
    ]
    assert app.parse_args(["--port", "5", "--threads", "2"]).port == 5


@pytest.mark.parametrize(
    ("arguments", "hosts"),
    [
        ([], ["127.0.0.1", *LOOPBACK_HOSTS]),
        (["--host", "::1"], ["::1", *LOOPBACK_HOSTS]),
        (["--share"], ["127.0.0.1", *LOOPBACK_HOSTS, "*.gradio.live"]),
        (["--host", "0.0.0.0"], None),
        (
            ["--allowed-hosts", "a.example, *.b.example"],
            ["a.example", "*.b.example", *LOOPBACK_HOSTS],
        ),
        (["--allowed-hosts", "*"], None),
    ],
)
def test_names_of_other_hosts_are_refused_only_where_the_page_is_for_this_machine(
    arguments: list[str], hosts: list[str] | None
) -> None:
    assert app.hosts_of(app.parse_args(arguments)) == hosts


def test_a_server_that_captions_has_no_library_in_memory_that_it_does_not_need(
    tmp_path: Path,
) -> None:
    """Gradio imported matplotlib for the first request, 20 MB."""
    with started(tmp_path / "files") as server:
        photo = upload(server.address, write_photo(tmp_path / "photo.jpg"))
        assert "probability" in call(server.address, photo)
        libraries = [part.path for part in psutil.Process(server.process.pid).memory_maps()]
    assert any("libtorch" in path for path in libraries)
    for name in ("matplotlib", "torchvision"):
        assert not [path for path in libraries if name in path]
