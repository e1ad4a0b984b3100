"""New captions: their words arrive one by one, and then one of them is shown."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.plain import open_plain_page, plain_value

START, LATER = datetime(2030, 1, 1), datetime(2030, 1, 2)
WORD_MS = 350
Choose = Callable[..., Page]


@pytest.fixture
def choose_example(browser: Browser, tmp_path: Path) -> Iterator[Choose]:
    """Opens a page where time stands still, and chooses an example: the photo added most to dog."""
    pages: list[Any] = []

    def choose(motion: str = "no-preference", chosen: bool = True) -> Page:
        opened = open_plain_page(browser, tmp_path, plain_value("an owl"), reduced_motion=motion)
        page = opened.__enter__()
        pages.append(opened)
        page.clock.install(time=START)
        page.clock.pause_at(LATER)
        value = plain_value("a dog runs")
        value["captions"][0]["words"][1]["blind"] = 0
        page.evaluate(
            "value => { document.querySelector('caption-viewer').value = value; }",
            {**value, "of": "2", "chosen": chosen},
        )
        return page

    yield choose
    for opened in pages:
        opened.__exit__(None, None, None)


def expect_arrived(page: Page, words: list[str], shown: str) -> None:
    expect(page.locator("[role=option]:not([data-coming])")).to_have_text(words)
    expect(page.locator(".film button:not([data-coming])")).to_have_text(words)
    expect(page.locator("[role=option][aria-selected=true]")).to_have_text(shown)
    expect(page.locator(".reading .word")).to_have_text(shown)


def test_the_words_of_a_chosen_example_arrive_one_by_one(choose_example: Choose) -> None:
    page = choose_example()
    expect_arrived(page, ["a"], "a")
    page.clock.run_for(WORD_MS)
    expect_arrived(page, ["a", "dog"], "dog")
    page.clock.run_for(WORD_MS)
    expect_arrived(page, ["a", "dog", "runs"], "runs")
    page.clock.run_for(WORD_MS)
    expect_arrived(page, ["a", "dog", "runs"], "dog")
    page.clock.run_for(10 * WORD_MS)
    expect_arrived(page, ["a", "dog", "runs"], "dog")


def test_a_key_ends_the_arrival_and_does_what_it_does(choose_example: Choose) -> None:
    page = choose_example()
    page.keyboard.press("Shift")
    expect_arrived(page, ["a", "dog", "runs"], "dog")
    page.locator("[role=option][aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    expect_arrived(page, ["a", "dog", "runs"], "runs")
    page.clock.run_for(10 * WORD_MS)
    expect_arrived(page, ["a", "dog", "runs"], "runs")


def test_a_click_ends_the_arrival_and_chooses_its_word(choose_example: Choose) -> None:
    page = choose_example()
    page.get_by_role("option").first.click()
    expect_arrived(page, ["a", "dog", "runs"], "a")


def test_another_photo_ends_the_arrival_of_the_first(choose_example: Choose) -> None:
    page = choose_example()
    page.evaluate(
        "value => { document.querySelector('caption-viewer').value = value; }",
        {**plain_value("two dogs run"), "of": "3"},
    )
    page.clock.run_for(10 * WORD_MS)
    expect_arrived(page, ["two", "dogs", "run"], "two")


@pytest.mark.parametrize(("motion", "chosen"), [("reduce", True), ("no-preference", False)])
def test_without_motion_and_at_the_opening_the_caption_rests_at_once(
    choose_example: Choose, motion: str, chosen: bool
) -> None:
    expect_arrived(choose_example(motion, chosen), ["a", "dog", "runs"], "dog")
