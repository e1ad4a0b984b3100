"""What the page's tests with and without a browser share: the page, served with the model."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import captioner
from captioner.page import VisitorFiles
from tests.page.plain import open_plain_page, plain_value
from tests.page.visiting import OpenPage
from tests.serving import FakeModel, serving

expect.set_options(timeout=45_000)


@pytest.fixture(scope="module")
def model() -> captioner.ImageCaptioningModel:
    return captioner.load_model()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VisitorFiles]:
    """Where all servers here keep files: Gradio has one such place for a process."""
    with VisitorFiles(tmp_path_factory.mktemp("server")) as files:
        yield files


@pytest.fixture(scope="module")
def address(model: captioner.ImageCaptioningModel, files: VisitorFiles) -> Iterator[str]:
    with serving(model, files) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    assert program, "these tests need Chromium: install it, or name it in CHROMIUM"
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", *camera]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served_fake_model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def fake_model(served_fake_model: FakeModel) -> Iterator[FakeModel]:
    """The model behind `fake_address`; whatever a test makes of it, the next finds it well."""
    yield served_fake_model
    served_fake_model.fault, served_fake_model.seconds = None, 0.0


@pytest.fixture(scope="module")
def fake_address(served_fake_model: FakeModel, files: VisitorFiles) -> Iterator[str]:
    with serving(served_fake_model, files) as address:
        yield address


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens the page as a new visitor. None of them may hear from another host, or fail."""
    requests: list[str] = []
    faults: list[str] = []
    contexts = []

    def refused(message: str) -> None:
        if "Content Security Policy" in message:
            faults.append(message)

    def open_page(address: str, **settings: object) -> Page:
        settings = {"reduced_motion": "reduce", **settings}
        context = browser.new_context(**settings)  # pyright: ignore[reportArgumentType]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(45_000)
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: refused(message.text))
        page.goto(address)
        expect(page.locator("#viewer .stage canvas[data-word]")).to_be_visible()
        allowed.append(address.partition("#")[0])
        return page

    allowed = ["data:", "blob:"]
    yield open_page
    for context in contexts:
        context.close()
    assert [url for url in requests if not url.startswith(tuple(allowed))] == []
    assert faults == []


@pytest.fixture
def plain_page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The element in a page of its own, with a caption from a file. Python serves files alone."""
    with open_plain_page(browser, tmp_path, plain_value("a dog runs", "a")) as page:
        yield page
