"""The page's handlers and endpoint, without a browser."""

import asyncio
import os
import re
import socket
import time
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import app
from captioner import ImageCaptioningModel
from captioner.page import (
    EXAMPLES,
    CaptionService,
    CaptionViewer,
    View,
    VisitorFiles,
    demo,
    read_texts,
)
from captioner.page.texts import LANGUAGES
from tests.page.over_http import call, upload
from tests.page.visiting import HOPPER
from tests.serving import (
    BAD_FILES,
    FakeModel,
    answering,
    serving,
    write_bad_file,
    write_photo,
)

ROOT = Path(app.__file__).parent


def test_the_endpoint_gives_what_the_library_gives(
    address: str, model: ImageCaptioningModel
) -> None:
    client = Client(address, verbose=False)
    for photo in (example["path"] for example in EXAMPLES.values()):
        answer = client.predict(photo=handle_file(photo), api_name="/caption")
        assert answer == model.generate_caption(photo).to_json()


def test_the_endpoint_answers_over_plain_http(address: str, model: ImageCaptioningModel) -> None:
    photo = HOPPER
    stream = call(address, upload(address, photo))
    assert stream.startswith("event: complete\ndata: ")
    answer = httpx.Response(200, content=stream.split("data: ", 1)[1]).json()
    assert answer == [model.generate_caption(photo).to_json()]


def test_there_is_one_public_endpoint_and_it_names_no_other_host(address: str) -> None:
    information = httpx.get(f"{address}/gradio_api/info").json()
    assert list(information["named_endpoints"]) == ["/caption"]
    assert information["unnamed_endpoints"] == {}
    parameters = information["named_endpoints"]["/caption"]["parameters"]
    assert [parameter["parameter_name"] for parameter in parameters] == ["photo"]
    assert "http" not in str([parameter["example_input"] for parameter in parameters])


def test_the_endpoint_says_what_is_wrong_when_there_is_no_photo(address: str) -> None:
    stream = call(address, None)
    assert stream.startswith("event: error")
    assert "There is no photo yet" in stream


def test_the_page_opens_on_a_photo_that_the_released_model_captions_rightly(
    model: ImageCaptioningModel,
) -> None:
    caption = model.generate_caption(next(iter(EXAMPLES.values()))["path"])
    assert str(caption).startswith("two giraffes")
    assert caption.familiarity is not None
    assert caption.familiarity > 0.1


@pytest.mark.parametrize(("kind", "reason"), BAD_FILES.items())
def test_the_endpoint_says_what_is_wrong_with_a_file(
    address: str, tmp_path: Path, kind: str, reason: str
) -> None:
    client = Client(address, verbose=False)
    with pytest.raises(AppError, match=reason) as caught:
        client.predict(photo=handle_file(str(write_bad_file(tmp_path, kind))), api_name="/caption")
    assert "/" not in str(caught.value)


def test_a_fault_is_not_explained_to_a_program(tmp_path: Path, files: VisitorFiles) -> None:
    model = FakeModel()
    photo = write_photo(tmp_path / "photo.jpg")
    with serving(model, files) as address:
        model.fault = RuntimeError("a secret of the server")
        stream = call(address, upload(address, photo))
    assert stream.startswith("event: error")
    assert "secret" not in stream


def test_a_handler_gives_the_photo_and_its_captions_the_usual_one_first(
    model: ImageCaptioningModel,
) -> None:
    photo = HOPPER
    with answering(model) as service:
        view = service.view(str(photo))
        caption = asyncio.run(service.caption(str(photo)))
    assert view is not None
    assert view.photo is not None
    assert view.photo.size == (512, 600)
    assert view.captions is not None
    assert view.captions[0] == caption
    assert len({caption["caption"] for caption in view.captions}) == 3
    assert view.name == "grace_hopper.jpg"
    assert view.error is None


def test_a_view_of_no_photo_says_that_there_is_none() -> None:
    async def views(service: CaptionService) -> list[View]:
        return [view async for view in service.respond({"kind": "view"})]

    with answering(FakeModel()) as service:
        (view,) = asyncio.run(views(service))
    assert view.error is not None
    assert view.error["code"] == "no_photo"


@pytest.mark.parametrize(("kind", "reason"), BAD_FILES.items())
def test_a_handler_tells_a_visitor_what_is_wrong(tmp_path: Path, kind: str, reason: str) -> None:
    path = str(write_bad_file(tmp_path, kind))
    with answering(FakeModel()) as service:
        view = service.view(path)
        with pytest.raises(ValueError, match=reason):
            asyncio.run(service.caption(path))
    assert view is not None
    assert view.captions is None
    assert view.error is not None
    assert reason in view.error["message"]
    assert str(tmp_path) not in str(view.error)


def test_a_photo_that_was_purged_is_asked_for_again(tmp_path: Path) -> None:
    with answering(FakeModel()) as service:
        view = service.view(str(tmp_path / "gone.jpg"))
    assert view is not None
    assert view.error is not None
    assert view.error["code"] == "gone"


def test_the_viewer_gets_a_small_photo_without_what_the_camera_noted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "A camera", 6
    Image.new("RGB", (3000, 1500)).save(tmp_path / "a.jpg", exif=exif, comment=b"at home")
    with answering(FakeModel()) as service:
        view = service.view(str(tmp_path / "a.jpg"))
    with gr.Blocks(analytics_enabled=False):
        viewer = CaptionViewer()
    data = viewer.postprocess(view)
    assert data is not None
    assert data.photo is not None
    with Image.open(data.photo.path) as shown:
        assert shown.size == (512, 1024)
        assert not shown.getexif()
        assert "comment" not in shown.info
    assert viewer.postprocess(None) is None
    shown = viewer.postprocess(View(error={"code": "gone"}))
    assert shown is not None
    assert shown.error == {"code": "gone"}


def test_every_example_is_credited_and_named_in_each_language() -> None:
    folder = Path(next(iter(EXAMPLES.values()))["path"]).parent
    assert {path.stem for path in folder.glob("*.jpg")} == set(EXAMPLES)
    credits = (folder / "CREDITS.md").read_text(encoding="utf-8")
    for name, example in EXAMPLES.items():
        assert example["group"] in ("right", "wrong")
        (row,) = (line for line in credits.splitlines() if f"`{name}.jpg`" in line)
        for part in ("author", "licence"):
            assert example[part] in row
        assert example["source"].startswith("http")
        for language in LANGUAGES:
            assert read_texts(language)[f"example_{name}"]


def test_the_example_photos_are_small_and_hold_nothing_but_pixels() -> None:
    for example in EXAMPLES.values():
        assert Path(example["path"]).stat().st_size < 90_000
        with Image.open(example["path"]) as photo:
            assert max(photo.size) <= 800
            assert not photo.getexif()


def test_a_photo_is_captioned_until_it_is_swept_and_examples_always(tmp_path: Path) -> None:
    with (
        VisitorFiles(tmp_path, max_age_seconds=3600) as files,
        serving(FakeModel(), files) as page,
    ):
        photo = upload(page, write_photo(tmp_path / "photo.jpg"))
        while not list(files.examples.rglob("examples.json")):
            time.sleep(0.05)
        examples = [{"path": str(path)} for path in files.examples.rglob("*.jpg")]
        assert len(examples) == 2 * len(EXAMPLES)  # with thumbnails
        for given in (photo, *examples):
            assert call(page, given).startswith("event: complete")
        os.utime(str(photo["path"]), (0, 0))
        files.make_room(0)
        assert "no longer on the server" in call(page, photo)
        for given in examples:
            assert call(page, given).startswith("event: complete")


def test_the_page_asks_nothing_of_other_hosts(
    monkeypatch: pytest.MonkeyPatch, files: VisitorFiles
) -> None:
    hosts: set[str] = set()
    resolve = socket.getaddrinfo

    def record(host: str, *arguments: object, **more: object) -> object:
        hosts.add(host.decode() if isinstance(host, bytes) else str(host))
        return resolve(host, *arguments, **more)  # pyright: ignore

    monkeypatch.delenv("GRADIO_ANALYTICS_ENABLED", raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", record)
    with serving(FakeModel(), files) as address:
        page = httpx.get(address).text
        assert httpx.get(f"{address}/monitoring/summary").status_code != 200
        assert httpx.get(f"{address}/gradio_api/file={ROOT / 'app.py'}").status_code == 404
    assert hosts <= {"127.0.0.1", "localhost", "0.0.0.0"}
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    others = set(re.findall(r"https?://([^/\"'\s]+)", page))
    assert all(host.startswith(("127.0.0.1", "localhost")) for host in others), others
    assert demo.TITLE in page


def test_sharing_is_off_unless_asked_for() -> None:
    assert not app.parse_args([]).share
    assert app.parse_args(["--share"]).share
    assert app.parse_args([]).host == "127.0.0.1"
