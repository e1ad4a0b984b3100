"""The tour of the viewer, which is offered and never in the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.page.plain import open_plain_page, plain_value
from tests.page.visiting import PHONE

TITLES = [
    "A caption, word by word",
    "Where the model looked",
    "What else it considered",
    "Ask about a part of the photo",
]
"""And of the visitor's own photo, where the page takes photos."""


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    with open_plain_page(browser, tmp_path, plain_value("a dog runs")) as page:
        yield page


def offer(page: Page) -> Locator:
    return page.get_by_role("button", name="Take the tour")


def callout(page: Page) -> Locator:
    return page.get_by_role("dialog")


def test_the_tour_is_offered_once_and_found_again(page: Page) -> None:
    expect(callout(page)).to_be_hidden()
    expect(offer(page)).to_have_text("Take the tour")
    offer(page).click()
    for place, title in enumerate(TITLES, 1):
        expect(callout(page)).to_have_accessible_name(f"{place} of {len(TITLES)}: {title}")
        expect(callout(page)).to_be_focused()
        said = callout(page).locator(".says").inner_text()
        expect(page.locator(".announcer")).to_have_text(said)
        name = "Done" if title == TITLES[-1] else "Next"
        page.get_by_role("button", name=name, exact=True).click()
    expect(callout(page)).to_be_hidden()
    expect(offer(page)).to_be_focused()
    page.reload()
    expect(offer(page)).to_have_text("?")
    offer(page).click()
    expect(callout(page)).to_be_visible()


def test_keys_lead_through_the_tour_and_end_it(page: Page) -> None:
    offer(page).click()
    page.keyboard.press("ArrowRight")
    expect(callout(page)).to_contain_text(TITLES[1])
    page.keyboard.press("ArrowLeft")
    expect(callout(page)).to_contain_text(TITLES[0])
    expect(page.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(callout(page)).to_be_hidden()
    expect(offer(page)).to_be_focused()


def test_the_page_stays_as_it_is_and_can_be_used_during_the_tour(page: Page) -> None:
    places = """() => [".words", ".stage", ".tabs", ".hint"].map((part) => {
        const { x, y, width, height } = document.querySelector(part).getBoundingClientRect();
        return [x, y + window.scrollY, width, height];
    })"""
    before = page.evaluate(places)
    offer(page).click()
    assert page.evaluate(places) == before
    page.get_by_role("option").nth(2).click()
    expect(page.locator(".reading .word")).to_have_text("runs")
    expect(callout(page)).to_be_visible()


def test_the_tour_opens_the_tab_it_is_about(page: Page) -> None:
    page.get_by_role("tab", name="Share").click()
    offer(page).click()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Word")).to_have_attribute("aria-selected", "true")


def test_every_callout_fits_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    with open_plain_page(browser, tmp_path, plain_value("a dog runs"), viewport=PHONE) as page:
        offer(page).click()
        for _ in TITLES:
            expect(callout(page)).to_be_in_viewport(ratio=1)
            page.keyboard.press("ArrowRight")
        expect(callout(page)).to_be_hidden()


def test_a_browser_that_keeps_nothing_offers_the_tour_each_time(page: Page) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new Error('denied'); } });"
    )
    page.reload()
    offer(page).click()
    expect(callout(page)).to_be_visible()
    page.reload()
    expect(offer(page)).to_have_text("Take the tour")
