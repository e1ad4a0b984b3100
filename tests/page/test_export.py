"""Taking things away from the page, in the browser: text to the clipboard, and files."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from playwright.sync_api import Page, expect

from captioner.images import load_image
from captioner.page import VisitorFiles
from captioner.visualization import animate
from tests.page.visiting import (
    HOPPER,
    OPPOSITE_LOOKS,
    OpenPage,
    choose,
    count_requests,
    expect_captioned,
    expect_word,
    look_name,
    open_tab,
    open_with_photo,
    options,
)
from tests.serving import FakeModel, serving, write_bad_file

CLIPBOARD = ["clipboard-read", "clipboard-write"]


def take(page: Page, name: str, folder: Path) -> Path:
    """Download what a button gives."""
    with page.expect_download() as download:
        open_tab(page, "share")
        page.get_by_role("button", name=name, exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    expect(page.locator("#viewer .exported")).to_have_text(f"Saved {path.name}.")
    return path


def clipboard(page: Page) -> str:
    return page.evaluate("navigator.clipboard.readText()")


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_the_caption_and_its_html_are_copied(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, permissions=CLIPBOARD, **look)
    open_tab(page, "share")
    page.get_by_role("button", name="Copy caption").click()
    expect(page.locator("#viewer .exported")).to_have_text("Copied.")
    assert clipboard(page) == "a dog runs far"
    open_tab(page, "share")
    page.get_by_role("button", name="Copy as alt text").click()
    html = '<img src="grace_hopper.jpg" alt="a dog runs far">'
    expect(page.get_by_label("HTML with the caption")).to_have_value(html)
    assert clipboard(page) == html


def test_html_in_a_caption_is_escaped_in_its_alternative_text(
    open_page: OpenPage, files: VisitorFiles
) -> None:
    model = FakeModel('"><script>alert(1)</script>', "&", "it's")
    with serving(model, files) as address:
        page = open_with_photo(open_page, address, permissions=CLIPBOARD)
        open_tab(page, "share")
        page.get_by_role("button", name="Copy as alt text").click()
        field = page.get_by_label("HTML with the caption")
        expect(field).to_be_visible()
        html = field.input_value()
        parsed = page.evaluate(
            """html => {
                const page = new DOMParser().parseFromString(html, "text/html");
                const [image] = page.images;
                const [parts, scripts] = [page.body.children.length, page.scripts.length];
                return [parts, scripts, image.alt, image.attributes.length];
            }""",
            html,
        )
    assert parsed == [1, 0, str(model.caption(model.texts)), 2]


def test_without_leave_to_copy_the_text_is_selected(open_page: OpenPage, fake_address: str) -> None:
    page = open_with_photo(open_page, fake_address)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error()); }")
    open_tab(page, "share")
    page.get_by_role("button", name="Copy caption").click()
    expect(page.locator("#viewer .exported")).to_have_text("Selected: copy it with your keyboard.")
    assert page.evaluate("getSelection().toString()") == "a dog runs far"


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_a_picture_is_what_is_seen_at_the_photos_size(
    open_page: OpenPage, fake_address: str, tmp_path: Path, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, **look)
    requests = count_requests(page)
    page.get_by_role("radio", name="Viridis").check()
    page.get_by_role("radio", name="Grid").check()
    page.get_by_role("slider", name="Opacity").fill("100")
    options(page).nth(2).click()
    expect_word(page, 2)
    path = take(page, "Image (PNG)", tmp_path)
    assert path.name == "grace_hopper-3.png"
    with Image.open(path) as image:
        assert image.size == (512, 600)
        assert image.getpixel((256 + 20, 20))[:3] == pytest.approx((253, 231, 37), abs=2)  # pyright: ignore
        assert image.getpixel((20, 20))[:3] == pytest.approx((68, 1, 84), abs=2)  # pyright: ignore
    assert requests == []


def test_a_contact_sheet_holds_the_photo_and_every_word(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_with_photo(open_page, fake_address)
    page.get_by_role("radio", name="Viridis").check()
    page.get_by_role("radio", name="Grid").check()
    page.get_by_role("slider", name="Opacity").fill("100")
    path = take(page, "Contact sheet", tmp_path)
    assert path.name == "grace_hopper-sheet.png"
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape[1] > 4 * 250
    assert pixels.shape[0] > 2 * 300
    # One cell of sixteen is yellow in each of the four words' pictures.
    cell = 320 * (320 * 512 / 600) / 16
    yellow = (abs(pixels - (253, 231, 37)).max(axis=2) < 4).sum()
    assert yellow == pytest.approx(4 * cell, rel=0.15)


@pytest.mark.parametrize("colours", ["Viridis", "Spotlight"])
def test_an_animation_steps_through_the_words(
    open_page: OpenPage, fake_address: str, tmp_path: Path, colours: str
) -> None:
    page = open_with_photo(open_page, fake_address)
    page.get_by_role("radio", name=colours).check()
    path = take(page, "Animation (GIF)", tmp_path)
    assert path.name == "grace_hopper-words.gif"
    with Image.open(path) as image:
        assert image.format == "GIF"
        frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]
    assert len({frame.tobytes() for frame in frames}) == 5  # the photo, and four words
    model = FakeModel()
    expected = animate(load_image(HOPPER), model.caption(model.texts), colours.lower())
    for frame, drawn in zip(frames, expected, strict=True):
        difference = np.abs(np.asarray(frame).astype(int) - np.asarray(drawn))
        assert difference.mean() < 8  # what 256 colours leave


def test_the_data_is_the_endpoints_with_what_has_been_measured(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_with_photo(open_page, fake_address)
    model = FakeModel()
    data = json.loads(take(page, "Data (JSON)", tmp_path).read_text(encoding="utf-8"))
    assert data == {"photo": "grace_hopper.jpg", **model.caption(model.texts).to_json()}
    page.locator("#viewer [value=importance]").check()
    expect(page.locator("#viewer .evidence")).to_contain_text("correlation")
    data = json.loads(take(page, "Data (JSON)", tmp_path).read_text(encoding="utf-8"))
    expected = model.occlusion(None, model.caption(model.texts)).to_json()  # pyright: ignore
    assert data["occlusion"] == expected


def test_nothing_can_be_taken_while_there_is_no_caption(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    choose(page, write_bad_file(tmp_path, "text.jpg"))
    expect(page.locator("#viewer .viewer")).to_have_attribute("data-state", "failed")
    open_tab(page, "share")
    names = ("Copy caption", "Copy as alt text", "Image (PNG)", "Contact sheet", "Animation (GIF)")
    for name in names:
        expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()
    open_tab(page, "own")
    expect(page.get_by_label("Write a caption")).to_be_disabled()
    choose(page, HOPPER)
    expect_captioned(page)
    open_tab(page, "share")
    expect(page.get_by_role("button", name="Image (PNG)", exact=True)).to_be_enabled()
