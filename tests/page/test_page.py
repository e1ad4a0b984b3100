"""The page as a visitor meets it, in real Chromium: giving photos, and stepping through words."""

from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import expect

from captioner import ImageCaptioningModel
from captioner.page import EXAMPLES, VisitorFiles
from captioner.page.errors import PageError
from tests.page.visiting import (
    HOPPER,
    OpenPage,
    canvas,
    choose,
    count_questions,
    count_requests,
    example,
    expect_captioned,
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
    expect_captioned(page)
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
        expect(page.locator("#viewer [data-alternative] span:first-child")).to_have_text(
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


def test_buttons_and_clicks_on_words_and_on_the_film_step(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    page.get_by_role("button", name="Next word").click()
    expect_word(page, 1)
    expect(status(page)).to_have_text("dog")
    expect(page.locator("#viewer .count")).to_have_text("2 / 4")
    page.get_by_role("button", name="Previous word").click()
    expect_word(page, 0)
    film = page.locator("#viewer .film button")
    film.nth(3).click()
    expect_word(page, 3)
    expect(film.nth(3)).to_have_attribute("aria-current", "true")
    options(page).nth(1).click()
    expect_word(page, 1)
    expect(film.nth(1)).to_have_attribute("aria-current", "true")
    expect(page.locator("#viewer .sure b")).to_have_text("60% sure")
    expect(page.locator("#viewer [data-alternative] b")).to_have_text(["20%", "under 1%"])


def test_playing_goes_through_all_words_and_stops(open_page: OpenPage, fake_address: str) -> None:
    page = open_page(fake_address, reduced_motion="no-preference")
    choose(page, HOPPER)
    expect_captioned(page)
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
    page.get_by_role("radio", name="Viridis").check()
    expect_captioned(page)
    box = canvas(page).bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.02)
    for index in range(4):
        options(page).nth(index).click()
        expect_word(page, index)
        cells = [pixel(page, (col + 0.5) / 4, 0.125) for col in range(4)]
        greens = [green - blue for _, green, blue in cells]
        assert greens.index(max(greens)) == index


def test_an_example_is_captioned_and_credited_on_a_click_without_the_server(
    open_page: OpenPage, address: str, model: ImageCaptioningModel
) -> None:
    page = open_page(address)
    asked = count_questions(page)
    for name in ("sheep", "pavilion"):
        example(page, name).click()
        caption = model.generate_caption(EXAMPLES[name]["path"])
        expect(status(page)).to_have_text(f"Caption: {caption}")
        expect(page.locator("#viewer .stage canvas[data-word]")).to_be_visible()
        expect(example(page, name)).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#viewer .credit")).to_contain_text(EXAMPLES[name]["author"])
    link = page.locator("#viewer .credit").get_by_role("link")
    assert link.get_attribute("href") == EXAMPLES["pavilion"]["source"]
    expect(page.locator("#viewer .credit")).to_contain_text("CC BY 2.0")
    assert asked == []
    choose(page, HOPPER)
    expect(page.locator("#viewer .credit")).to_be_empty()
    expect(example(page, "pavilion")).to_have_attribute("aria-pressed", "false")


def test_the_page_opens_on_the_first_example(open_page: OpenPage, fake_address: str) -> None:
    page = open_page(fake_address)
    expect(options(page)).to_have_text(["a", "dog", "runs", "far"])
    expect(example(page, next(iter(EXAMPLES)))).to_have_attribute("aria-pressed", "true")


def test_bad_files_are_explained_and_the_next_photo_is_captioned(
    open_page: OpenPage, address: str, tmp_path: Path
) -> None:
    page = open_page(address)
    viewer = page.locator("#viewer .viewer")
    reasons = {**BAD_FILES, "phone.heic": "HEIC"}
    for kind, reason in reasons.items():
        choose(page, write_bad_file(tmp_path, kind))
        expect(page.locator("#viewer .message")).to_contain_text(reason)
        expect(status(page)).to_contain_text(reason)
        expect(viewer).to_have_attribute("data-state", "failed")
        assert str(tmp_path.parent) not in page.locator("body").inner_text()
        choose(page, HOPPER)
        expect_captioned(page)


def test_a_file_of_more_than_10_mb_is_refused_and_the_next_photo_is_captioned(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    large = tmp_path / "large.tiff"  # Chromium reads no TIFF: it is sent as it is
    large.write_bytes(b"II*\0" + bytes(11_000_000))
    choose(page, large)
    expect(page.locator("#viewer .message")).to_have_text(
        "This file is too large. The limit is 10 MB."
    )
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    choose(page, HOPPER)
    expect_captioned(page)


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
    expect_captioned(page)


def test_a_word_that_looks_like_html_stays_text(open_page: OpenPage, files: VisitorFiles) -> None:
    words = ("<img src=x onerror='window.broken=1'>", "${window.broken=2}", "{{broken}}")
    with serving(FakeModel(*words), files) as address:
        page = open_page(address)
        choose(page, HOPPER)
        expect_captioned(page)
        expect(options(page)).to_have_text(list(words))
        expect(page.locator("#viewer [data-alternative] span").nth(1)).to_have_text("<b>x</b>")
        assert page.locator("#viewer img:not(.examples img)").count() == 0
        assert page.evaluate("window.broken") is None


def test_the_space_bar_pauses_too(open_page: OpenPage, fake_address: str) -> None:
    page = open_page(fake_address)
    choose(page, HOPPER)
    expect_captioned(page)
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
    choose(page, HOPPER)
    page.wait_for_function("window.states.includes('looking')")
    choose(page, write_photo(tmp_path / "later.png", (400, 200)))
    expect_captioned(page)
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
            expect(options(page)).to_have_text(list(words))
            expect(page.locator("#viewer .others button")).to_have_count(3)
            page.close()


def test_a_click_on_an_example_shows_it_again_as_it_was(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    example(page, "sheep").click()
    expect_captioned(page)
    expect(page.locator("#viewer .others button")).to_have_count(3)
    page.locator("#viewer [data-alternative]").first.click()
    expect(options(page)).to_have_text(["cat", "sleeps"])
    example(page, "sheep").click()
    expect(options(page)).to_have_text(["a", "dog", "runs", "far"])
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    expect(page.locator("#viewer .others button")).to_have_count(3)
