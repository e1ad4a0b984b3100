"""The page as a Hugging Face Space runs it: its environment, its user, its proxy, no network."""

import http.client
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import matplotlib as mpl
import pytest
import torch
from gradio_client import Client, handle_file
from packaging.requirements import Requirement

import captioner
from captioner.page.zero_gpu import declare_gpu_function
from tests.free_port import free_port
from train.checkout import CHECKOUT, tracked_space_files

PHOTO = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
SUBPATH = "/demo"
NOBODY = 65534
IS_ROOT = os.geteuid() == 0
SPACE = {
    "SYSTEM": "spaces",
    "SPACE_ID": "owner/page",
    "SPACE_HOST": "owner-page.hf.space",
    "SPACE_AUTHOR_NAME": "owner",
    "SPACE_REPO_NAME": "page",
    "SPACE_TITLE": "Page",
    "ACCELERATOR": "none",
    "CPU_CORES": "2",
    "MEMORY": "16Gi",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_SSR_MODE": "True",
}
"""What the platform tells every Gradio Space."""


@dataclass
class RunningSpace:
    """A process of app.py, its checkout and the only folder that it may write to."""

    process: subprocess.Popen[bytes]
    port: int
    checkout: Path
    scratch: Path
    log: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def did(self, kind: str) -> list[str]:
        """What it did outside itself so far, of one kind: see `watched`."""
        lines = self.log.read_text().splitlines()
        return [line.split(" ", 1)[1] for line in lines if line.startswith(f"{kind} ")]


@contextmanager
def running_space(**environment: str) -> Iterator[RunningSpace]:
    """Start app.py as a Space does, of the files that a Space gets, and stop it in the end.

    The checkout is read-only, there is no home and no network, and root becomes another user.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        checkout, scratch, start, log = prepare(folder)
        port = free_port()
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(start / "nothing"),
            "TMPDIR": str(scratch),
            "PYTHONPATH": str(start),
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATCHED_LOG": str(log),
            "GRADIO_SERVER_PORT": str(port),
            **SPACE,
            **environment,
        }
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [*as_nobody(), sys.executable, "app.py"],
                cwd=checkout,
                env=variables,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        space = RunningSpace(process, port, checkout, scratch, log)
        try:
            wait_until_served(space, folder / "output")
            yield space
        finally:
            stop(process)
            for path in (start, checkout, *checkout.rglob("*")):
                path.chmod(0o755)


def prepare(folder: Path) -> tuple[Path, Path, Path, Path]:
    """Make a read-only checkout, a folder to write to, one that starts the watch, and its log."""
    checkout, scratch, start, log = (folder / n for n in ("checkout", "scratch", "start", "log"))
    for file in tracked_space_files(CHECKOUT):
        (checkout / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / file, checkout / file)
    start.mkdir()
    shutil.copy(Path(__file__).with_name("watched.py"), start / "sitecustomize.py")
    for path in (start, checkout, *checkout.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    scratch.mkdir()
    log.touch()
    folder.chmod(0o755)
    if as_nobody():
        for path in (scratch, log):
            os.chown(path, NOBODY, NOBODY)
    return checkout, scratch, start, log


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@cache
def as_nobody() -> list[str]:
    """What to put before a command, so that root runs it as a user who owns nothing.

    Where only root may read this Python, that user may read everything, but still not write.
    Empty for others than root, and where there is no way, of which a test complains.
    """
    program = shutil.which("setpriv")
    if not IS_ROOT or program is None:
        return []
    user = [program, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    for power in ("", ",+dac_read_search"):
        command = [*user, f"--inh-caps=-all{power}", f"--ambient-caps=-all{power}"]
        # The page starts processes too; that Python itself starts does not show that they can.
        code = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
        done = subprocess.run([*command, sys.executable, "-c", code], capture_output=True)
        if done.returncode == 0:
            return command
    return []


def wait_until_served(space: RunningSpace, output: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert space.process.poll() is None, output.read_text()
        try:
            if httpx.get(space.address, timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail(output.read_text())


class Proxy(BaseHTTPRequestHandler):
    """Passes on what is asked under SUBPATH, without it; knows nothing else."""

    port: int

    def pass_on(self) -> None:
        if not self.path.startswith(f"{SUBPATH}/"):
            self.send_error(404)
            return
        path = self.path.removeprefix(SUBPATH)
        length = int(self.headers.get("Content-Length", 0))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        headers = {name: value for name, value in self.headers.items() if name != "Connection"}
        connection.request(self.command, path, self.rfile.read(length), headers)
        reply = connection.getresponse()
        self.send_response_only(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        self.end_headers()
        while part := reply.read1(65536):
            self.wfile.write(part)
        connection.close()

    do_GET = do_HEAD = do_POST = pass_on  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


class DeviceApi(BaseHTTPRequestHandler):
    """Where a program on ZeroGPU reports its start, and would ask for a GPU."""

    requests: list[str]

    def do_POST(self) -> None:
        self.requests.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server on a free port of loopback while the block lasts. Gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def space() -> Iterator[RunningSpace]:
    with running_space(GRADIO_ROOT_PATH=SUBPATH) as space:
        yield space


@pytest.fixture(scope="module")
def page(space: RunningSpace) -> Iterator[str]:
    """The page's address behind a proxy that has it under a sub-path."""
    with serving(type("ProxyOfSpace", (Proxy,), {"port": space.port})) as address:
        yield address + SUBPATH


def ask_for_caption(address: str) -> Any:
    client = Client(address, verbose=False)
    return client.predict(photo=handle_file(str(PHOTO)), api_name="/caption")


def test_a_space_captions_a_photo_as_the_library_does(page: str) -> None:
    expected = captioner.load_model().generate_caption(PHOTO).to_json()
    assert ask_for_caption(page) == expected


def test_all_that_the_page_names_is_found_behind_the_sub_path(page: str) -> None:
    text = httpx.get(f"{page}/", timeout=60).raise_for_status().text
    named = set(re.findall(r'(?:src|href)="([^"]+\.(?:js|css))"', text))
    own = set(re.findall(rf"{re.escape(page.removesuffix(SUBPATH))}[^\"\\ ]*", text))
    assert len(named) >= 2
    assert own
    assert all(address.startswith(page) for address in own)
    examples = re.search(r"/[^\"\\ ]+/examples/[^\"\\ ]+/examples\.json", text)
    assert examples
    list_of_examples = f"gradio_api/file={examples[0]}"
    deadline = time.monotonic() + 120
    while httpx.get(f"{page}/{list_of_examples}").status_code != 200:
        assert time.monotonic() < deadline, "the examples are captioned while the page is served"
        time.sleep(0.2)
    for address in {"theme.css", list_of_examples, *named}:
        reply = httpx.get(httpx.URL(f"{page}/").join(address), timeout=60)
        assert (reply.status_code, str(reply.url)[: len(page)]) == (200, page)
        assert reply.content


def test_a_photo_is_uploaded_and_captioned_behind_the_sub_path(page: str) -> None:
    """By plain HTTP, as other programs do."""
    api = f"{page}/gradio_api"
    reply = httpx.post(f"{api}/upload", files={"files": PHOTO.open("rb")}, timeout=60)
    photo = {"path": reply.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}}
    call = httpx.post(f"{api}/call/caption", json={"data": [photo]}, timeout=60)
    event = call.raise_for_status().json()["event_id"]
    assert httpx.get(f"{api}/call/caption/{event}", timeout=60).text.startswith("event: complete")


def test_a_space_needs_no_root(space: RunningSpace) -> None:
    assert as_nobody() or not IS_ROOT, "root needs setpriv to try the page as another user"
    status = Path(f"/proc/{space.process.pid}/status").read_text()
    user = NOBODY if IS_ROOT else os.geteuid()
    assert f"Uid:\t{user}\t{user}\t{user}" in status


def test_a_space_writes_to_the_temporary_folder_alone(space: RunningSpace, page: str) -> None:
    ask_for_caption(page)
    written = {Path(path) for path in space.did("write")}
    assert any(space.scratch in path.parents for path in written)
    elsewhere = {path for path in written if space.scratch not in (path, *path.parents)}
    assert {path for path in elsewhere if path.exists()} <= {Path("/dev/null"), space.log}
    found = {str(path.relative_to(space.checkout)) for path in space.checkout.rglob("*")}
    assert {name for name in found if (space.checkout / name).is_file()} == set(
        tracked_space_files(CHECKOUT)
    )


def test_a_space_asks_no_other_machine(space: RunningSpace, page: str) -> None:
    ask_for_caption(page)
    assert space.did("connect") == []


def test_what_a_space_does_outside_itself_is_noticed(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("watched.py"), tmp_path / "sitecustomize.py")
    log = tmp_path / "log"
    code = "import urllib.request; open('new', 'w'); urllib.request.urlopen('http://example.org')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "WATCHED_LOG": str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "no network, so no example.org" in done.stderr
    assert log.read_text().splitlines() == [f"write {tmp_path / 'new'}", "connect example.org"]


@pytest.mark.parametrize("version", ["2.8.0", "2.9.1", "2.10.0", "2.11.0", "2.12.1", "2.13.0"])
def test_the_requirements_admit_the_versions_of_torch_that_zero_gpu_has(version: str) -> None:
    """ZeroGPU chooses one of them, and takes no other package index."""
    lines = (CHECKOUT / "requirements.txt").read_text().split("\n")
    requirements = [Requirement(line) for line in lines if line]
    (torch_,) = (item for item in requirements if item.name == "torch")
    assert torch_.specifier.contains(version)
    assert not any(item.url for item in requirements)


@pytest.mark.skipif(
    not hasattr(torch._C, "_cuda_init"), reason="ZeroGPU needs a build of torch with CUDA"
)
def test_on_zero_gpu_the_start_is_reported_and_no_gpu_is_asked_for() -> None:
    """Without the report the platform stops the Space: "No @spaces.GPU function detected"."""
    requests: list[str] = []
    with (
        serving(type("OneDeviceApi", (DeviceApi,), {"requests": requests})) as devices,
        running_space(
            SPACES_ZERO_GPU="true", SPACES_ZERO_DEVICE_API_URL=devices, ACCELERATOR="zero-a10g"
        ) as space,
    ):
        assert requests == ["/startup-report"]
        expected = captioner.load_model().generate_caption(PHOTO).to_json()
        assert ask_for_caption(space.address) == expected
        assert requests == ["/startup-report"]
        assert space.did("connect") == []


def test_elsewhere_the_package_of_zero_gpu_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spaces", None)  # as if it were not installed
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    declare_gpu_function()
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    with pytest.raises(ImportError, match="spaces"):
        declare_gpu_function()
