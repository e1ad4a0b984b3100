"""Looking at a caption in the browser: hovering, the film, and how the maps are drawn."""

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
    pixel,
)

YELLOW, VIOLET = (253, 231, 37), (68, 1, 84)
"""Viridis's highest and lowest."""


def cell(page: Page, row: int, col: int, inside: float = 0.2) -> list[int]:
    """A pixel of a 4 x 4 grid's cell, away from the mark at its centre."""
    return pixel(page, (col + inside) / 4, (row + inside) / 4)


def set_strength(page: Page, percent: int) -> None:
    page.get_by_role("slider", name="Opacity").fill(str(percent))


def film(page: Page):
    return page.get_by_role("group", name="All words at a glance").get_by_role("button")


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_hovering_shows_a_word_and_its_number_and_leaving_brings_the_current_one_back(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, **look)
    requests = count_requests(page)
    before = picture(page)
    options(page).nth(2).hover()
    expect(page.locator("#viewer .word")).to_have_text("runs")
    expect(canvas(page)).to_have_attribute("data-word", "2")
    expect(options(page).nth(0)).to_have_attribute("aria-selected", "true")
    tip = "chip => getComputedStyle(chip, '::after').content"
    assert options(page).nth(2).evaluate(tip) == '"70%"'
    assert picture(page) != before
    page.locator("#viewer .hint").hover()
    expect(page.locator("#viewer .word")).to_have_text("a")
    expect_word(page, 0)
    assert picture(page) == before
    assert options(page).nth(2).evaluate(tip) in ("none", "normal")
    assert requests == []


def test_every_word_says_its_probability_to_screen_readers_and_is_shaded_by_it(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address)
    names = [option.get_attribute("aria-label") for option in options(page).all()]
    assert names == [
        "a, 50% sure",
        "dog, 60% sure, read off the photo",
        "runs, 70% sure",
        "far, 80% sure, read off the photo",
    ]
    shades = [
        option.evaluate("chip => getComputedStyle(chip).backgroundColor")
        for option in options(page).all()
    ]
    assert len(set(shades)) == 4


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_the_film_shows_every_words_map_and_a_click_goes_there(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, **look)
    requests = count_requests(page)
    expect(film(page)).to_have_text(["a", "dog", "runs", "far"])
    drawn = film(page).locator("canvas").evaluate_all("all => all.map((one) => one.toDataURL())")
    assert len(set(drawn)) == 4
    film(page).nth(3).click()
    expect_word(page, 3)
    expect(film(page).nth(3)).to_have_attribute("aria-current", "true")
    film(page).nth(3).focus()
    page.keyboard.press("Home")
    expect_word(page, 0)
    assert requests == []


def test_a_grid_shows_the_regions_as_they_are(open_page: OpenPage, fake_address: str) -> None:
    page = open_with_photo(open_page, fake_address)
    requests = count_requests(page)
    page.get_by_role("radio", name="Viridis").check()
    set_strength(page, 100)
    assert cell(page, 0, 0, 0.9) != cell(page, 0, 0)  # smooth
    page.get_by_role("radio", name="Grid").check()
    for inside in (0.1, 0.9):
        assert cell(page, 0, 0, inside) == pytest.approx(YELLOW, abs=2)
        assert cell(page, 0, 1, inside) == pytest.approx(VIOLET, abs=2)
    page.get_by_role("radio", name="Smooth").check()
    assert cell(page, 0, 0, 0.9) != cell(page, 0, 0)
    assert requests == []


def test_colours_are_those_of_the_library(open_page: OpenPage, fake_address: str) -> None:
    page = open_with_photo(open_page, fake_address)
    page.get_by_role("radio", name="Grid").check()
    page.get_by_role("radio", name="Viridis").check()
    set_strength(page, 100)
    assert cell(page, 0, 0) == pytest.approx(YELLOW, abs=2)
    assert cell(page, 2, 2) == pytest.approx(VIOLET, abs=2)


def test_a_spotlight_leaves_what_was_looked_at_and_dims_the_rest(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address)
    expect(page.get_by_role("radio", name="Spotlight")).to_be_checked()
    page.get_by_role("radio", name="Grid").check()
    set_strength(page, 0)
    photo = [cell(page, 0, 0), cell(page, 2, 2)]
    set_strength(page, 100)
    assert cell(page, 0, 0) == photo[0]
    assert cell(page, 2, 2) == [0, 0, 0]
    set_strength(page, 30)
    assert 0 < sum(cell(page, 2, 2)) < sum(photo[1])


def test_the_maps_peak_is_marked_with_a_ring_that_follows_the_word(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address, viewport={"width": 1600, "height": 1200})
    page.get_by_role("radio", name="Grid").check()
    page.get_by_role("radio", name="Viridis").check()
    set_strength(page, 100)
    white = """canvas => {
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        let [x, y, count] = [0, 0, 0];
        for (let i = 0; i < data.length; i += 4) {
            if (data[i] + data[i + 1] + data[i + 2] < 760) continue;
            x += (i / 4) % canvas.width;
            y += Math.floor(i / 4 / canvas.width);
            count += 1;
        }
        return [x / count / canvas.width, y / count / canvas.height, count];
    }"""
    for index in (1, 2):
        options(page).nth(index).click()
        expect_word(page, index)
        x, y, count = canvas(page).evaluate(white)
        assert count > 20
        assert x == pytest.approx((index + 0.5) / 4, abs=0.05)
        assert y == pytest.approx(0.125, abs=0.05)


def test_the_map_is_told_in_words_too(open_page: OpenPage, fake_address: str) -> None:
    page = open_with_photo(open_page, fake_address)
    label = "Where the model looked for “a”: most at the upper left"
    expect(canvas(page)).to_have_attribute("aria-label", label)
    said = "Most at the upper left: 100% of its attention, 16 times the average."
    expect(page.locator("#viewer .evidence")).to_have_text(said)


def test_a_fade_is_left_out_for_those_who_want_less_motion(
    open_page: OpenPage, fake_address: str
) -> None:
    step = """() => {
        document.querySelectorAll("#viewer [role=option]")[1].click();
        return document.querySelector("#viewer .stage canvas").dataset.word ?? "fading";
    }"""
    assert open_with_photo(open_page, fake_address).evaluate(step) == "1"
    moving = open_with_photo(open_page, fake_address, reduced_motion="no-preference")
    assert moving.evaluate(step) == "fading"
    expect_word(moving, 1)
