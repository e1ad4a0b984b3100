"""A plain page with the viewer's element, a caption from a file, and answers prepared for it."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.page.visiting import HOPPER
from tests.serving import FakeModel

PLAIN_PAGE = """<!doctype html>
<html lang="en">
<title>A plain page</title>
<caption-viewer></caption-viewer>
<script type="module">
  import "./page/static/viewer.js";
  const viewer = document.querySelector("caption-viewer");
  window.requests = [];
  window.answers = {};
  viewer.addEventListener("request", ({ detail }) => {
    window.requests.push(detail);
    const answer = window.answers[detail.kind];
    if (answer) queueMicrotask(() => { viewer.value = { answer: { id: detail.id, ...answer } }; });
  });
  viewer.value = await (await fetch("value.json")).json();
</script>
</html>
"""


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def plain_value(*texts: str) -> dict[str, Any]:
    """A photo with the captions of the fake model, as the element is given it."""
    model = FakeModel()
    captions = [model.caption(text.split()).to_json() for text in texts]
    value = {"of": "1", "name": "photo.jpg", "photo": {"url": "photo.jpg"}, "captions": captions}
    return {**value, "example": True}


@contextmanager
def open_plain_page(
    browser: Browser, folder: Path, value: dict[str, Any], **settings: Any
) -> Iterator[Page]:
    """The element in a page of its own. Python serves files alone, and the page keeps requests.

    What is put into `window.answers`, by the kind of request, is answered.

    Args:
        folder: for the page's files.
        value: the element's first.
        **settings: of the browser's context.
    """
    package = Path(str(package_files("captioner.page")))
    for name in ("static", "locales"):
        shutil.copytree(package / name, folder / "page" / name)
    shutil.copy(HOPPER, folder / "photo.jpg")
    (folder / "value.json").write_text(json.dumps(value))
    (folder / "index.html").write_text(PLAIN_PAGE)
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        context = browser.new_context(
            **{"locale": "en-US", "reduced_motion": "reduce", **settings}  # pyright: ignore[reportArgumentType]
        )
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        expect(page.locator(".stage canvas")).to_have_attribute("data-word", "0")
        yield page
        context.close()
        server.shutdown()
    assert faults == []


def answer(page: Page, **answers: Any) -> None:
    """Answer requests of these kinds from now on."""
    page.evaluate("answers => Object.assign(window.answers, answers)", answers)


def requests(page: Page) -> list[dict[str, Any]]:
    """The element's requests to the server."""
    return page.evaluate("window.requests")
