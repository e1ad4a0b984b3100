"""The page as a visitor meets it, in real Chromium: giving photos, and stepping through words."""

import base64
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import expect

import app
from captioner import ImageCaptioningModel
from captioner.page import VisitorFiles
from captioner.page.errors import PageError
from tests.page.visiting import (
    HOPPER,
    OpenPage,
    canvas,
    choose,
    count_questions,
    count_requests,
    expect_word,
    options,
    picture,
    pixel,
    status,
)
from tests.serving import (
    BAD_FILES,
    FakeModel,
    serving,
    write_bad_file,
    write_photo,
)


def test_a_photo_is_captioned_and_stepping_through_its_words_asks_nothing_of_the_server(
    open_page: OpenPage, address: str, model: ImageCaptioningModel
) -> None:
    page = open_page(address)
    asked = count_questions(page)
    choose(page, HOPPER)
    expect_word(page, 0)
    caption = model.generate_caption(HOPPER)
    expect(options(page)).to_have_text([word.text for word in caption.words])
    expect(status(page)).to_have_text(f"Caption: {caption}")
    assert len(asked) == 1, "the photo must be captioned exactly once"

    requests = count_requests(page)
    options(page).first.focus()
    pictures = []
    for index, word in enumerate(caption.words):
        expect_word(page, index)
        expect(options(page).nth(index)).to_be_focused()
        expect(page.locator("#viewer .word")).to_have_text(word.text)
        expect(page.locator("#viewer .sure b")).to_contain_text("% sure")
        expect(page.locator("#viewer .alternatives span")).to_have_text(
            [text for text, _ in word.alternatives]
        )
        pictures.append(picture(page))
        page.keyboard.press("ArrowRight")
    assert all(before != after for before, after in pairwise(pictures))
    page.keyboard.press("Home")
    expect_word(page, 0)
    assert picture(page) == pictures[0]
    page.keyboard.press("End")
    expect_word(page, len(caption.words) - 1)
    page.keyboard.press("ArrowLeft")
    expect_word(page, len(caption.words) - 2)
    assert requests == []


def test_buttons_slider_and_clicks_step(open_page: OpenPage, fake_address: str) -> None:
    page = open_page(fake_address)
    expect(page.get_by_role("button", name="Next word")).to_be_disabled()
    choose(page, HOPPER)
    expect_word(page, 0)
    page.get_by_role("button", name="Next word").click()
    expect_word(page, 1)
    expect(status(page)).to_have_text("dog")
    page.get_by_role("button", name="Previous word").click()
    expect_word(page, 0)
    slider = page.get_by_role("slider", name="Word", exact=True)
    slider.fill("4")
    expect_word(page, 3)
    expect(slider).to_have_attribute("aria-valuetext", "far, word 4 of 4")
    slider.press("ArrowLeft")
    expect_word(page, 2)
    options(page).nth(1).click()
    expect_word(page, 1)
    expect(slider).to_have_value("2")
    expect(page.locator("#viewer .sure b")).to_have_text("60% sure")
    expect(page.locator("#viewer .alternatives b")).to_have_text(["20%", "under 1%"])


def test_playing_goes_through_all_words_and_stops(open_page: OpenPage, fake_address: str) -> None:
    page = open_page(fake_address, reduced_motion="no-preference")
    choose(page, HOPPER)
    expect_word(page, 0)
    # Every word is noted as it is drawn: a slow machine may not look while one stands.
    canvas(page).evaluate(
        """canvas => {
            window.drawn = [];
            const note = () => canvas.dataset.word && window.drawn.push(canvas.dataset.word);
            new MutationObserver(note).observe(canvas, {attributeFilter: ["data-word"]});
        }"""
    )
    options(page).first.focus()
    page.keyboard.press("Space")
    page.wait_for_function("window.drawn.includes('3')")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert page.evaluate("window.drawn") == ["1", "2", "3"]
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("window.drawn.length > 3")
    assert page.evaluate("window.drawn[3]") == "0"
    page.wait_for_function("window.drawn.length > 6")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


@pytest.mark.parametrize("size", [(240, 400), (400, 240)])
def test_the_overlay_lies_where_the_model_looked(
    open_page: OpenPage, fake_address: str, tmp_path: Path, size: tuple[int, int]
) -> None:
    """Viridis is yellow where attention is high and violet where it is low."""
    page = open_page(fake_address)
    choose(page, write_photo(tmp_path / "photo.png", size))
    expect_word(page, 0)
    box = canvas(page).bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.02)
    for index in range(4):
        options(page).nth(index).click()
        expect_word(page, index)
        cells = [pixel(page, (col + 0.5) / 4, 0.125) for col in range(4)]
        greens = [green - blue for _, green, blue in cells]
        assert greens.index(max(greens)) == index


def test_an_example_is_captioned_on_a_click(
    open_page: OpenPage, address: str, model: ImageCaptioningModel
) -> None:
    page = open_page(address)
    asked = count_questions(page)
    for name in ("Lion", "Tower at dusk"):
        page.get_by_role("button", name=name).click()
        caption = model.generate_caption(app.EXAMPLES[name])
        expect(status(page)).to_have_text(f"Caption: {caption}")
        expect_word(page, 0)
    assert len(asked) == 2, "each photo must be captioned exactly once"


def test_a_webcam_picture_is_captioned(open_page: OpenPage, address: str) -> None:
    page = open_page(address, permissions=["camera"])
    asked = count_questions(page)
    page.get_by_role("button", name="Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    # Gradio takes no picture before the camera's first frame, and says nothing of it.
    page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")
    page.get_by_role("button", name="capture photo").click()
    expect_word(page, 0)
    assert len(asked) == 1


def test_a_pasted_picture_is_captioned(open_page: OpenPage, address: str, tmp_path: Path) -> None:
    page = open_page(address, permissions=["clipboard-read", "clipboard-write"])
    asked = count_questions(page)
    photo = base64.b64encode(write_photo(tmp_path / "photo.png").read_bytes()).decode()
    page.evaluate(
        """async (data) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const blob = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        photo,
    )
    page.get_by_role("button", name="Paste from clipboard").click()
    expect_word(page, 0)
    assert len(asked) == 1


def test_a_dropped_picture_is_captioned(open_page: OpenPage, address: str, tmp_path: Path) -> None:
    page = open_page(address)
    asked = count_questions(page)
    photo = base64.b64encode(write_photo(tmp_path / "photo.png").read_bytes()).decode()
    transfer = page.evaluate_handle(
        """(data) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "photo.png", { type: "image/png" }));
            return transfer;
        }""",
        photo,
    )
    target = page.get_by_role("button", name="Drop an image file here to upload")
    target.dispatch_event("drop", {"dataTransfer": transfer})
    expect_word(page, 0)
    assert len(asked) == 1


def test_bad_files_are_explained_and_the_next_photo_is_captioned(
    open_page: OpenPage, address: str, tmp_path: Path
) -> None:
    page = open_page(address)
    viewer = page.locator("#viewer .viewer")
    for kind, reason in BAD_FILES.items():
        choose(page, write_bad_file(tmp_path, kind))
        expect(page.locator("#viewer .message")).to_contain_text(reason)
        expect(status(page)).to_contain_text(reason)
        expect(viewer).to_have_attribute("data-state", "failed")
        assert str(tmp_path.parent) not in page.locator("body").inner_text()
        choose(page, HOPPER)
        expect_word(page, 0)
    page.get_by_role("button", name="Remove Image").click()
    expect(viewer).to_have_attribute("data-state", "empty")
    expect(options(page)).to_have_count(0)


def test_a_file_of_more_than_10_mb_is_refused_and_the_next_photo_is_captioned(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    large = tmp_path / "large.jpg"
    large.write_bytes(HOPPER.read_bytes() + bytes(11_000_000))
    choose(page, large)
    expect(page.get_by_test_id("toast-body")).to_contain_text("10")
    choose(page, HOPPER)
    expect_word(page, 0)


def test_a_fault_is_not_explained_and_the_next_photo_is_captioned(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel
) -> None:
    page = open_page(fake_address)
    fake_model.fault = RuntimeError("a secret of the server")
    choose(page, HOPPER)
    expect(page.locator("#viewer .message")).to_have_text(PageError.MESSAGES["fault"])
    assert "secret" not in page.locator("body").inner_text()
    fake_model.fault = None
    choose(page, HOPPER)
    expect_word(page, 0)


def test_a_word_that_looks_like_html_stays_text(open_page: OpenPage, files: VisitorFiles) -> None:
    words = ("<img src=x onerror='window.broken=1'>", "${window.broken=2}", "{{broken}}")
    with serving(FakeModel(*words), files) as address:
        page = open_page(address)
        choose(page, HOPPER)
        expect_word(page, 0)
        expect(options(page)).to_have_text(list(words))
        expect(page.locator("#viewer .alternatives span").nth(1)).to_have_text("<b>x</b>")
        assert page.locator("#viewer img").count() == 0
        assert page.evaluate("window.broken") is None


def test_two_visitors_see_their_own_captions(
    open_page: OpenPage, address: str, model: ImageCaptioningModel
) -> None:
    pages = {name: open_page(address) for name in ("Lion", "Grace Hopper")}
    for name, page in pages.items():
        page.get_by_role("button", name=name).click(no_wait_after=True)
    for name, page in pages.items():
        caption = model.generate_caption(app.EXAMPLES[name])
        expect(status(page)).to_have_text(f"Caption: {caption}")
        expect_word(page, 0)
    assert picture(pages["Lion"]) != picture(pages["Grace Hopper"])


def test_the_space_bar_pauses_too(open_page: OpenPage, fake_address: str) -> None:
    page = open_page(fake_address)
    choose(page, HOPPER)
    expect_word(page, 0)
    requests = count_requests(page)
    options(page).first.focus()
    page.keyboard.press("Space")
    expect_word(page, 1)
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    page.wait_for_timeout(1500)
    index = canvas(page).get_attribute("data-word")
    assert index in ("1", "2")
    page.wait_for_timeout(1500)
    expect_word(page, int(index))
    assert requests == []


def test_of_two_photos_given_in_a_hurry_the_later_one_is_shown(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    page.locator("#viewer .viewer").evaluate(
        """viewer => {
            window.states = [];
            const note = () => window.states.push(viewer.dataset.state);
            new MutationObserver(note).observe(viewer, {attributeFilter: ["data-state"]});
        }"""
    )
    fake_model.seconds = 1.0
    page.locator("#photo input[type=file]").set_input_files(HOPPER)
    page.wait_for_function("window.states.includes('looking')")
    choose(page, write_photo(tmp_path / "later.png", (400, 200)))
    expect_word(page, 0)
    page.wait_for_timeout(3000)
    box = canvas(page).bounding_box()
    assert page.evaluate("window.states.filter((state) => state === 'done').length") == 1
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(2, rel=0.02)


def test_examples_are_captioned_by_the_model_that_is_served(
    open_page: OpenPage, files: VisitorFiles
) -> None:
    """Another checkpoint, with the same page and cache, never shows captions of the one before."""
    for words in (("old", "words"), ("new", "words", "here")):
        with serving(FakeModel(*words), files) as address:
            page = open_page(address)
            page.get_by_role("button", name="Lion").click()
            expect(options(page)).to_have_text(list(words))
            expect(page.locator("#viewer .others button")).to_have_count(3)
            page.close()


def test_a_click_on_an_example_shows_it_again_as_it_was(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    page.get_by_role("button", name="Lion").click()
    expect_word(page, 0)
    expect(page.locator("#viewer .others button")).to_have_count(3)
    page.locator("#viewer .alternatives button").first.click()
    expect(options(page)).to_have_text(["cat", "sleeps"])
    page.get_by_role("button", name="Lion").click()
    expect(options(page)).to_have_text(["a", "dog", "runs", "far"])
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    expect(page.locator("#viewer .others button")).to_have_count(3)
