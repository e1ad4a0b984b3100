"""Asking the photo, in the browser: which words looked at a place."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.visiting import (
    OPPOSITE_LOOKS,
    OpenPage,
    canvas,
    count_requests,
    expect_word,
    look_name,
    open_with_photo,
    options,
    picture,
    status,
)


def click_cell(page: Page, row: int, col: int) -> None:
    """Click on a cell of the 4 x 4 grid, as it lies on the photo."""
    box = canvas(page).bounding_box()
    assert box is not None
    place = {"x": box["width"] * (col + 0.5) / 4, "y": box["height"] * (row + 0.5) / 4}
    canvas(page).click(position=place)  # pyright: ignore[reportArgumentType]


def lit(page: Page) -> list[float]:
    return [
        float(part.evaluate("chip => chip.style.getPropertyValue('--attention')"))
        for part in options(page).all()
    ]


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_a_click_on_the_photo_lights_up_the_words_that_looked_there(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, **look)
    requests = count_requests(page)
    before = picture(page)
    shade = options(page).nth(2).evaluate("chip => getComputedStyle(chip).backgroundColor")
    click_cell(page, 0, 2)
    assert lit(page) == [0, 0, 1, 0]
    lit_shade = options(page).nth(2).evaluate("chip => getComputedStyle(chip).backgroundColor")
    assert lit_shade != shade
    expect(page.locator("#viewer .attending span").first).to_have_text("runs")
    expect(page.locator("#viewer .attending b").first).to_have_text("100%")
    expect(page.locator("#viewer .share")).to_contain_text("all 16 regions")
    expect(options(page).nth(2)).to_have_attribute("aria-label", "runs, 100% of its attention here")
    expect(status(page)).to_contain_text("At the upper middle, most: runs, 100%")
    assert picture(page) != before
    click_cell(page, 0, 2)  # the same place again: done
    expect(page.locator("#viewer .region")).to_be_hidden()
    expect(options(page).nth(2)).to_have_attribute("aria-label", "runs, 70% sure")
    assert picture(page) == before
    assert requests == []


def test_the_photo_is_asked_by_keyboard_as_well(open_page: OpenPage, fake_address: str) -> None:
    page = open_with_photo(open_page, fake_address)
    requests = count_requests(page)
    stage = page.get_by_role("application")
    stage.focus()
    page.keyboard.press("ArrowRight")  # begins where the current word looked most
    assert lit(page) == [1, 0, 0, 0]
    page.keyboard.press("ArrowRight")
    assert lit(page) == [0, 1, 0, 0]
    expect(status(page)).to_contain_text("most: dog, 100%")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # the edge
    assert lit(page) == [1, 0, 0, 0]
    page.keyboard.press("ArrowDown")
    assert lit(page) == [0, 0, 0, 0]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer .region")).to_be_hidden()
    expect(stage).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect_word(page, 1)
    expect(options(page).nth(1)).to_be_focused()
    assert requests == []


def test_a_word_listed_for_a_region_is_shown_and_the_list_closes(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address)
    click_cell(page, 0, 3)
    page.get_by_role("button", name="Go to far, 100% of its attention here").click()
    expect_word(page, 3)
    expect(page.locator("#viewer .region")).to_be_hidden()
    click_cell(page, 2, 2)
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#viewer .region")).to_be_hidden()


def test_a_click_beside_the_photo_lists_nothing(open_page: OpenPage, fake_address: str) -> None:
    page = open_with_photo(open_page, fake_address)
    page.locator("#viewer .stage").click(position={"x": 3, "y": 100})
    expect(page.locator("#viewer .region")).to_be_hidden()


def test_a_click_on_an_empty_viewer_lists_nothing(plain_page: Page) -> None:
    page = plain_page
    page.locator("caption-viewer").evaluate("viewer => { viewer.value = {}; }")
    page.locator(".stage").click()
    expect(page.locator(".region")).to_be_hidden()
    assert page.get_by_role("application").get_attribute("tabindex") == "-1"
