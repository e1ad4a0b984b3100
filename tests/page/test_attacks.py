"""What a stranger can send to the running server, past the page, and what must come of it."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
import safehttpx
from PIL import Image

import app
from captioner.page import VisitorFiles, uploads
from tests.page.engines import wait_for
from tests.page.over_http import META, about, call, join, outcome, page_event, upload
from tests.serving import FakeModel, serving, write_photo

CALLS = ("call/caption", "call/v2/caption", "run/caption", "api/caption")
ROOT = Path(app.__file__).parent
GONE = "The photo is no longer on the server. Choose it again."


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A photo of the server's own that no visitor gave."""
    return write_photo(tmp_path / "secret.png")


def ways_to_name(path: str) -> list[object]:
    return [
        {"path": path},
        {"path": path, "meta": META},
        {"path": path, "meta": {**META, "more": 1}, "is_stream": True},
        {"path": path, "url": f"file://{path}", "orig_name": "photo.jpg", "size": 1},
        {"path": path, "url": path, "meta": META},
    ]


def all_answers(address: str, photo: object) -> dict[str, str]:
    """What each of the server's doors makes of a photo."""
    answers = {path: call(address, photo, path) for path in CALLS}
    for kind in ("captions", "view"):
        answers[f"join {kind}"] = join(address, photo, {"kind": kind, "id": 1})
    return answers


def test_no_image_of_the_servers_own_is_read_by_any_door(fake_address: str, secret: Path) -> None:
    for photo in ways_to_name(str(secret)):
        for door, answer in all_answers(fake_address, photo).items():
            assert "dog" not in answer, (door, photo)


def test_what_is_not_a_visitors_photo_gets_one_answer_whatever_it_is(
    fake_address: str, secret: Path, files: VisitorFiles
) -> None:
    """No one learns from the answers which files and folders there are."""
    link = secret.with_name("link.png")
    link.symlink_to(secret)
    names = [
        str(secret),
        str(link),
        str(secret.with_name("absent.png")),
        str(secret.parent),
        str(Path(app.__file__)),
        "/etc/passwd",
        f"{files.uploads}/../{secret.parent.name}/secret.png",
        "photo.jpg",
        "\0",
        "x" * 5000,
        "http://127.0.0.1:9/photo.jpg",
        "file:///etc/passwd",
    ]
    for way in range(len(ways_to_name(""))):
        doors: dict[str, set[str]] = {}
        for name in names:
            for door, answer in all_answers(fake_address, ways_to_name(name)[way]).items():
                doors.setdefault(door, set()).add(outcome(answer))
        different = {door: answers for door, answers in doors.items() if len(answers) > 1}
        assert not different
        assert GONE in doors["call/caption"].pop()


def test_a_link_among_the_uploads_leads_nowhere(
    fake_address: str, tmp_path: Path, secret: Path
) -> None:
    uploaded = Path(upload(fake_address, write_photo(tmp_path / "photo.jpg"))["path"])
    link = uploaded.with_name("link.jpg")
    link.symlink_to(secret)
    for photo in ways_to_name(str(link)):
        assert "dog" not in call(fake_address, photo)


@pytest.mark.parametrize("kind", ["fifo", "/dev/ptmx", "/dev/zero", "/dev/stdin"])
def test_a_file_that_never_ends_or_begins_holds_nothing_up(
    fake_address: str, tmp_path: Path, kind: str
) -> None:
    """`/dev/ptmx` or a FIFO held the model's only slot for good."""
    name = kind
    if kind == "fifo":
        name = str(tmp_path / "fifo.png")
        os.mkfifo(name)
    elif not Path(kind).exists():
        pytest.fail(f"{kind} is needed for this test")
    for photo in ways_to_name(name):
        assert "dog" not in call(fake_address, photo)
    photo = upload(fake_address, write_photo(tmp_path / "photo.jpg"))
    assert "dog" in call(fake_address, photo)


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Another server on this machine: its address, and what is asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_POST = do_GET  # noqa: N815  # names that the library calls

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_no_address_is_fetched_for_a_visitor(
    fake_address: str, elsewhere: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio fetches what it takes for a photo's address; it asks the name server first."""
    other, asked = elsewhere
    resolved: list[str] = []
    resolve = socket.getaddrinfo

    def record(host: str, *arguments: object, **more: object) -> object:
        resolved.append(str(host))
        return resolve(host, *arguments, **more)  # pyright: ignore

    monkeypatch.setattr(socket, "getaddrinfo", record)
    for place in (f"{other}/photo.png", "http://photos.invalid/photo.png"):
        for photo in [*ways_to_name(place), {"url": place}, {"url": place, "meta": META}]:
            for answer in all_answers(fake_address, photo).values():
                assert "dog" not in answer
        for route in ("file", "proxy"):
            reply = httpx.get(f"{fake_address}/gradio_api/{route}={place}")
            assert reply.status_code in (403, 404)
    assert asked == []
    assert not [host for host in resolved if "invalid" in host]


def test_no_address_that_leads_back_among_the_uploads_is_fetched(
    fake_address: str, files: VisitorFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def record(host: str) -> str:
        asked.append(host)
        raise ConnectionError

    monkeypatch.setattr(safehttpx, "async_validate_url", record)
    back = "%2e%2e/" * 40 + str(files.uploads).lstrip("/")
    for scheme in ("http", "https", "HTTP"):
        url = f"{fake_address}/gradio_api/file={scheme}://photos.invalid/{back}/x"
        assert httpx.get(url).status_code == 404
    assert asked == []


def test_the_calls_that_go_round_the_queue_are_closed(fake_address: str) -> None:
    for route in ("run/caption", "api/caption", "run/predict", "run/caption/", "api/caption/"):
        reply = httpx.post(f"{fake_address}/gradio_api/{route}", json={"data": [None]})
        assert reply.status_code == 404, route


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/vibe-edit"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/stream/x"),
        ("POST", "/gradio_api/run-history/connect"),
        ("POST", "/login"),
        ("GET", "/gradio_api/vibe-code"),
        ("GET", "/gradio_api/file/etc/passwd"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/custom_component/a/b/c/d"),
        ("GET", "/monitoring"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("PUT", "/gradio_api/upload"),
        ("DELETE", "/"),
    ],
)
def test_what_the_page_does_not_need_is_closed(fake_address: str, method: str, route: str) -> None:
    reply = httpx.request(method, f"{fake_address}{route}", json={} if method == "POST" else None)
    assert reply.status_code in (404, 405)
    assert reply.text in ("Not found.", "Method not allowed.")


def test_a_call_whose_path_holds_upload_is_bounded_as_any_other(fake_address: str) -> None:
    """100 MB of JSON were read there, at a cost of 6.5 GB."""
    for route in ("call/upload", "call/v2/upload", "queue/join/upload", "uploads"):
        reply = httpx.post(f"{fake_address}/gradio_api/{route}", content=BIG, timeout=60)
        assert reply.status_code == 404


BIG = b'{"data": ["' + b"x" * 2_000_000 + b'"]}'


@pytest.mark.parametrize(
    "route",
    [
        "queue/join",
        "call/caption",
        "call/caption/",
        "call/v2/caption",
        "cancel",
        "reset",
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_no_question_is_read_beyond_its_limit(fake_address: str, route: str, chunked: bool) -> None:
    content = iter([BIG[:1_000_000], BIG[1_000_000:]]) if chunked else BIG
    url = f"{fake_address}/gradio_api/{route}"
    headers = {"content-type": "application/json"}
    reply = httpx.post(url, content=content, headers=headers, timeout=60)
    assert reply.status_code == 413
    assert "too large" in reply.text


def form(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, dict[str, str]]:
    """A form of fields and files: name, file name and content of each part."""
    lines = []
    for name, file_name, content in parts:
        file = "" if file_name is None else f'; filename="{file_name}"'
        head = f'--limit\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        lines.append(head.encode() + content + b"\r\n")
    return b"".join(lines) + b"--limit--\r\n", {
        "content-type": "multipart/form-data; boundary=limit"
    }


MEGABYTE = b"x" * 1_000_000


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([("files", "a.jpg", MEGABYTE * 12)], 413),
        ([("files", f"{number}.jpg", MEGABYTE * 3) for number in range(4)], 413),
        ([("files", None, MEGABYTE * 2)], 400),
        ([(f"f{number}", None, b"x") for number in range(100)], 400),
        ([("files", f"{number}.jpg", b"x") for number in range(100)], 400),
        ([("n" * 100_000, "a.jpg", b"x")], 400),
    ],
    ids=["large", "large in all", "field", "fields", "files", "header"],
)
def test_an_upload_is_one_photo_of_bounded_size(
    fake_address: str,
    files: VisitorFiles,
    parts: list[tuple[str, str | None, bytes]],
    status: int,
    chunked: bool,
) -> None:
    content, headers = form(*parts)
    before = sorted(files.uploads.rglob("*"))
    url = f"{fake_address}/gradio_api/upload"
    body = iter([content[:5000], content[5000:]]) if chunked else content
    reply = httpx.post(url, content=body, headers=headers, timeout=60)
    assert reply.status_code == status
    assert reply.text.endswith(".")
    assert sorted(files.uploads.rglob("*")) == before, "nothing of it is kept"


def test_an_upload_that_stops_arriving_is_ended(
    fake_address: str, files: VisitorFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It kept its place on the disk for two minutes, at no cost to who sent it."""
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.3)
    place = ("127.0.0.1", int(fake_address.rpartition(":")[2]))
    before = set(files.uploads.iterdir())
    with socket.create_connection(place, timeout=30) as connection:
        connection.sendall(HALF_UPLOAD.format(size=9000).encode() + bytes(5000))
        assert b" 400 " in connection.recv(100)
    wait_for(lambda: set(files.uploads.iterdir()) - before, set())


HALF_UPLOAD = (
    "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
    "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {size}\r\n\r\n"
    '--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
)


def test_uploads_that_never_end_take_neither_the_disk_nor_another_photo(tmp_path: Path) -> None:
    """160 of them took 1.4 of 1.0 GiB, and the photos of all others were deleted for them."""
    quota, size = 40_000_000, 8_500_000
    head = HALF_UPLOAD.format(size=size + 1000)

    def taken() -> int:
        return sum(path.stat().st_size for path in files.uploads.rglob("*") if path.is_file())

    with (
        VisitorFiles(tmp_path / "place", quota_bytes=quota) as files,
        serving(FakeModel(), files) as address,
        ExitStack() as connections,
    ):
        photo = upload(address, write_photo(tmp_path / "photo.jpg"))
        place = ("127.0.0.1", int(address.rpartition(":")[2]))
        for arrived in (1, 2, 2, 2, 2, 2):
            connection = connections.enter_context(socket.create_connection(place, timeout=60))
            with contextlib.suppress(ConnectionError):  # refused before all was sent
                connection.sendall(head.encode() + bytes(size))
            wait_for(lambda: taken() // size, arrived)
        assert taken() < quota
        assert "dog" in call(address, photo)
        small = write_photo(tmp_path / "small.jpg", (64, 48))
        assert "dog" in call(address, upload(address, small))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"[" * 100_000, b'{"data": ' * 20_000, b"\xff\xfe{}", b"NaN"],
)
@pytest.mark.parametrize("route", ["queue/join", "call/caption", "call/v2/caption", "cancel"])
def test_what_is_no_json_object_gets_a_refusal(
    fake_address: str, route: str, content: bytes
) -> None:
    headers = {"content-type": "application/json"}
    url = f"{fake_address}/gradio_api/{route}"
    reply = httpx.post(url, content=content, headers=headers, timeout=60)
    assert reply.status_code in (400, 422)
    assert "Traceback" not in reply.text


def test_a_caption_that_comes_back_has_only_so_many_words(fake_address: str) -> None:
    """One of 300 words held the model for 20 seconds."""
    words = FakeModel().caption(["a"] * 81).to_json()
    for kind in ("occlusion", "branch", "animation"):
        answer = join(fake_address, None, {"id": 1, "kind": kind, "caption": words})
        assert "at most 80" in answer


@pytest.mark.parametrize("opacity", [10**400, -1, "1"])
def test_an_opacity_that_is_none_gets_a_message(fake_address: str, opacity: object) -> None:
    caption = FakeModel().caption(["a"]).to_json()
    request = {"id": 1, "kind": "animation", "caption": caption, "colours": "viridis"}
    answer = join(fake_address, None, {**request, "opacity": opacity})
    assert "opacity must be" in answer


@pytest.mark.parametrize("number", [2**63, -(2**70), 10**4000])
def test_a_questions_number_may_be_of_any_size(fake_address: str, number: int) -> None:
    answer = join(fake_address, None, {"id": number, "kind": "score", "text": "a"})
    assert '"success":true' in answer.replace(" ", "")
    assert "There is no photo yet" in answer


@pytest.mark.parametrize("name", ["extreme.png", "damaged.avif", "short.tiff"])
def test_a_hostile_file_gets_a_message(fake_address: str, tmp_path: Path, name: str) -> None:
    path = write_hostile(tmp_path / name)
    answer = join(fake_address, upload(fake_address, path))
    assert json.loads(outcome(answer))[0] is True
    assert '"message":"This file ' in answer


def write_hostile(path: Path) -> Path:
    if path.suffix == ".png":
        Image.new("1", (8, 4_000_000)).save(path)
        return path
    write_photo(path, (64, 64))
    content = bytearray(path.read_bytes())
    if path.suffix == ".avif":
        content[-40:] = bytes(40)
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 400),
        ({"host": "evil.example:7860"}, 400),
        ({"host": "127.0.0.1.evil.example"}, 400),
        ({"host": "localhost.evil.example"}, 400),
        ({"host": ""}, 400),
        ({"origin": "http://evil.example"}, 400),
        ({"origin": "null"}, 400),
        ({"origin": "http://127.0.0.1.evil.example"}, 400),
        ({"host": "localhost:1234"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "[::1]:7860"}, 200),
        ({"origin": "http://localhost:1"}, 200),
    ],
)
def test_on_loopback_no_other_sites_name_or_page_is_served(
    fake_address: str, headers: dict[str, str], status: int
) -> None:
    """A name that an attacker points at loopback would make this page part of their site."""
    for route in ("/", "/config", "/gradio_api/info"):
        assert httpx.get(f"{fake_address}{route}", headers=headers).status_code == status
    join = f"{fake_address}/gradio_api/call/caption"
    assert httpx.post(join, json={"data": [None]}, headers=headers).status_code == status


@pytest.mark.parametrize("header", ["x-forwarded-host", "x-gradio-server"])
def test_a_forged_name_of_the_server_is_not_shown_to_others(
    files: VisitorFiles, header: str
) -> None:
    with serving(FakeModel(), files) as address:  # which nobody has asked for its description
        for route in ("gradio_api/info", "config", "gradio_api/openapi.json"):
            forged = httpx.get(f"{address}/{route}", headers={header: "http://evil.example"})
            assert "evil.example" not in forged.text
            assert "evil.example" not in httpx.get(f"{address}/{route}").text


def test_no_one_gets_the_address_that_another_called_the_server_by(files: VisitorFiles) -> None:
    """The code to copy from the description named the host that the first to read it had sent."""
    with serving(FakeModel(), files, allowed_hosts=None) as address:
        for route in ("info", "info?all_endpoints=true", "info?page=x", "openapi.json"):
            url = f"{address}/gradio_api/{route}"
            httpx.get(url, headers={"host": "evil.example"})
            assert "evil.example" not in httpx.get(url).text
        httpx.post(f"{address}/gradio_api/call/v2/caption", headers={"host": "evil.example"})
        own = httpx.get(f"{address}/gradio_api/info")
        assert address.rpartition("/")[2] in own.text
        assert list(own.json()["named_endpoints"]) == ["/caption"]


@pytest.mark.parametrize(
    ("method", "route", "headers", "body"),
    [
        ("GET", "/", {"origin": "http://["}, None),
        ("GET", "/", {"x-forwarded-host": "a:b:c"}, None),
        ("GET", "/static/" + "a" * 300, {}, None),
        ("GET", "/static/" + "a" * 3000, {}, None),
        ("GET", "/gradio_api/file=FILE", {"range": "bytes=1-2-3"}, None),
        ("POST", "/gradio_api/call/v2/caption", {}, {"x\nforged line": 1}),
        ("POST", "/gradio_api/call/forged", {}, {"data": [None]}),
        ("POST", "/gradio_api/queue/join", {}, {"data": [None], "fn_index": 99}),
        ("POST", "/gradio_api/queue/join", {}, {"data": [None], "fn_index": -1}),
        ("POST", "/gradio_api/queue/join", {}, {"data": [None], "fn_index": 2**70}),
        ("POST", "/gradio_api/queue/join", {}, {"data": [None], "fn_index": [1]}),
        ("POST", "/gradio_api/queue/join", {}, {"data": [None], "session_hash": 7}),
        ("POST", "/gradio_api/queue/join", {}, {"data": [None], "session_hash": "x" * 65}),
    ],
)
def test_a_malformed_request_is_refused_without_a_word_of_it_in_the_log(
    fake_address: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    method: str,
    route: str,
    headers: dict[str, str],
    body: object,
) -> None:
    if "FILE" in route:
        photo = upload(fake_address, write_photo(tmp_path / "photo.jpg"))
        route = route.replace("FILE", photo["path"])
    reply = httpx.request(method, f"{fake_address}{route}", headers=headers, json=body, timeout=60)
    assert reply.status_code != 500
    assert "Traceback" not in reply.text
    written = "".join(capfd.readouterr())
    assert "Traceback" not in written
    assert "forged" not in written


def test_a_lone_surrogate_and_an_endless_path_are_no_photos(fake_address: str) -> None:
    event = page_event(fake_address)
    for path in ("\ud800", "x" * 5000, "a\nb"):
        question = {"data": [], "fn_index": event, "session_hash": "surrogate"}
        body = json.dumps({**question, "event_data": about(path)})
        headers = {"content-type": "application/json"}
        url = f"{fake_address}/gradio_api/queue"
        httpx.post(f"{url}/join", content=body, headers=headers, timeout=60)
        answer = httpx.get(f"{url}/data?session_hash=surrogate", timeout=60).text
        assert GONE in answer
        assert "xxx" not in answer


def test_a_session_makes_only_so_many_calls_that_it_does_not_read(fake_address: str) -> None:
    event = page_event(fake_address)
    call_body = {
        "data": [],
        "event_data": about(None),
        "fn_index": event,
        "session_hash": "never reads",
    }
    url = f"{fake_address}/gradio_api/queue/join"
    statuses = [httpx.post(url, json=call_body, timeout=60).status_code for _ in range(50)]
    assert statuses[0] == 200
    assert statuses[-1] == 503


def test_a_connection_that_sends_nothing_is_ended(files: VisitorFiles) -> None:
    with serving(FakeModel(), files, silent_seconds=0.2) as address:
        place = (address.removeprefix("http://").split(":")[0], int(address.rpartition(":")[2]))
        for sent in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
            with socket.create_connection(place, timeout=30) as connection:
                connection.sendall(sent)
                assert connection.recv(1) == b""
        assert httpx.get(f"{address}/healthz").status_code == 200


def test_browsers_are_told_what_the_page_may_do(fake_address: str, tmp_path: Path) -> None:
    photo = upload(fake_address, write_photo(tmp_path / "photo.jpg"))["path"]
    page = httpx.get(fake_address).headers
    policy = page["content-security-policy"]
    for rule in ("default-src 'self'", "object-src 'none'", "base-uri 'self'", "frame-ancestors"):
        assert rule in policy
    file = httpx.get(f"{fake_address}/gradio_api/file={photo}").headers
    assert "sandbox" in file["content-security-policy"]
    for headers in (page, file, httpx.get(f"{fake_address}/gradio_api/nothing").headers):
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "script.js", "page.xhtml"])
def test_an_uploaded_page_is_not_shown_as_one(fake_address: str, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("<script>alert(1)</script>")
    path = upload(fake_address, tmp_path / name)["path"]
    headers = httpx.get(f"{fake_address}/gradio_api/file={path}").headers
    assert headers["content-disposition"].startswith("attachment")
    assert headers["content-type"] == "application/octet-stream"
    assert "sandbox" in headers["content-security-policy"]


def test_the_command_line_is_not_held_up_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    write_photo(tmp_path / "b.jpg")
    command = [sys.executable, "-m", "captioner", str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )  # fmt: skip
    assert done.returncode == 1
    assert "a.jpg" in done.stderr
    assert "b.jpg" in done.stdout
