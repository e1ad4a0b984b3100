"""A page saved for others: one file, opened without a server or a network."""

import re
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from captioner.page import VisitorFiles
from tests.page.test_memory import give
from tests.page.visiting import HOPPER, OpenPage
from tests.serving import FakeModel, serving


def save_page(page: Page, folder: Path) -> Path:
    page.get_by_role("tab", name="Share").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Page (HTML)").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def open_saved(browser: Browser, path: Path, faults: list[str]) -> Page:
    """Open a saved page; what it requests or stumbles on is a fault."""
    page = browser.new_page(reduced_motion="reduce", locale="en-US")

    def note(url: str) -> None:
        if not url.startswith(("data:", "blob:", path.as_uri())):
            faults.append(url)

    page.on("request", lambda request: note(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.goto(path.as_uri())
    expect(page.locator(".stage canvas")).to_have_attribute("data-word", re.compile(r"\d"))
    return page


def test_a_saved_page_steps_through_the_words_with_their_maps(
    open_page: OpenPage, fake_address: str, browser: Browser, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    give(page)
    path = save_page(page, tmp_path)
    assert path.name == "grace_hopper-caption.html"
    assert path.stat().st_size < 600_000
    faults: list[str] = []
    saved = open_saved(browser, path, faults)
    expect(saved.get_by_role("option")).to_have_text(["a", "dog", "runs", "far"])
    assert saved.title() == "a dog runs far"
    canvas = saved.locator(".stage canvas")
    pictures = []
    saved.get_by_role("option", selected=True).focus()
    saved.keyboard.press("Home")
    for place in range(4):
        if place:
            saved.keyboard.press("ArrowRight")
        expect(canvas).to_have_attribute("data-word", str(place))
        pictures.append(canvas.evaluate("canvas => canvas.toDataURL()"))
    assert len(set(pictures)) == 4
    saved.get_by_role("button", name="Continue with cat").click()
    expect(saved.locator(".origin")).to_contain_text("This is a saved page")
    saved.close()
    assert faults == []


def test_a_large_photo_is_saved_small(
    open_page: OpenPage, fake_address: str, browser: Browser, tmp_path: Path
) -> None:
    large = tmp_path / "large.jpg"
    Image.effect_noise((3000, 2000), 80).convert("RGB").save(large, quality=95)
    page = open_page(fake_address)
    give(page, large)
    faults: list[str] = []
    saved = open_saved(browser, save_page(page, tmp_path), faults)
    size = saved.evaluate(
        """async () => {
            const data = JSON.parse(document.querySelector("#caption-viewer-shared").textContent);
            const photo = new Image();
            photo.src = data.photo;
            await photo.decode();
            return [photo.naturalWidth, photo.naturalHeight];
        }"""
    )
    saved.close()
    assert size == [1024, 683]
    assert faults == []


def test_names_and_words_in_a_saved_page_are_text_whatever_they_are(
    open_page: OpenPage, files: VisitorFiles, browser: Browser, tmp_path: Path
) -> None:
    hostile = "</script><img src=x onerror=alert(1)><script>alert(2)</script><!--"
    photo = tmp_path / "<img src=x onerror=alert(3)>.jpg"
    photo.write_bytes(HOPPER.read_bytes())
    with serving(FakeModel(hostile, "<!--", "<script>"), files) as address:
        page = open_page(address)
        give(page, photo)
        path = save_page(page, tmp_path)
    faults: list[str] = []
    saved = open_saved(browser, path, faults)
    expect(saved.get_by_role("option").first).to_have_text(hostile)
    assert saved.locator("img").count() == 0
    saved.close()
    assert faults == []
