"""Two captions of a photo side by side."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.plain import answer, open_plain_page, plain_value, requests
from tests.serving import FakeModel


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    with open_plain_page(browser, tmp_path, plain_value("a dog runs", "a cat")) as page:
        page.get_by_role("tab", name="Compare").click()
        yield page


def expect_rows(page: Page, rows: list[str]) -> None:
    expect(page.locator(".compare tbody tr")).to_have_text(rows)


def test_own_words_are_compared_with_the_models_caption(page: Page) -> None:
    own = {**FakeModel().caption(["a", "big", "dog", "sleeps"]).to_json(), "perplexity": 12.4}
    answer(page, score={"caption": own})
    page.get_by_label("Write a caption").fill("a big dog sleeps")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Caption A", exact=True)).to_have_value("a dog runs")
    expect(page.get_by_label("Caption B", exact=True)).to_have_value("a big dog sleeps")
    rows = ["a50%a50%", "First differs here", "\u2013big60%", "dog60%dog70%", "runs70%sleeps80%"]
    expect_rows(page, rows)
    said = "Caption A surprises the model less: as much as choosing among 1.6 equally likely words"
    expect(page.locator(".likelier")).to_contain_text(said)
    expect(page.locator(".announcer")).to_contain_text(said)


def test_any_two_captions_that_were_seen_are_compared(page: Page) -> None:
    expect_rows(page, ["a50%a50%", "First differs here", "dog60%cat60%", "runs70%\u2013"])
    page.get_by_label("Caption B", exact=True).select_option("a dog runs")
    expect_rows(page, ["a50%a50%", "dog60%dog60%", "runs70%runs70%"])
    expect(page.locator(".likelier")).to_contain_text("Both surprise the model as much")


def test_the_maps_stand_in_pairs_and_follow_the_look_of_the_large_one(page: Page) -> None:
    maps = page.locator(".compare canvas")
    expect(maps).to_have_count(5)
    pixels = "canvases => canvases.map((canvas) => canvas.toDataURL())"
    first_a, second_a, dog, cat, _ = before = maps.evaluate_all(pixels)
    assert (first_a, dog) == (second_a, cat), "the same attention looks the same"
    assert first_a != dog
    page.locator("[name=palette][value=viridis]").check()
    assert all(one != other for one, other in zip(before, maps.evaluate_all(pixels), strict=True))


def test_a_word_of_either_is_shown_on_the_photo(page: Page) -> None:
    page.get_by_role("button", name="Caption A: runs").click()
    expect(page.locator(".stage canvas")).to_have_attribute("data-word", "2")
    cat = page.get_by_role("button", name="Caption B: cat")
    cat.click()
    expect(page.locator(".words [role=option]")).to_have_text(["a", "cat"])
    expect(page.locator(".stage canvas")).to_have_attribute("data-word", "1")
    expect(cat).to_be_focused()
    expect(page.get_by_label("Caption A", exact=True)).to_have_value("a dog runs")
    assert requests(page) == []


def test_one_caption_alone_is_not_compared(browser: Browser, tmp_path: Path) -> None:
    with open_plain_page(browser, tmp_path, plain_value("a dog runs")) as page:
        page.get_by_role("tab", name="Compare").click()
        expect(page.locator(".compare")).to_be_hidden()
