"""The page under a finger: Chromium as a phone, with a touch screen and no mouse."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.visiting import HOPPER, PHONE, OpenPage, canvas, choose, expect_word, options


@pytest.fixture
def phone(open_page: OpenPage, fake_address: str) -> Page:
    """The page with a captioned photo, on its first word."""
    page = open_page(fake_address, viewport=PHONE, has_touch=True, is_mobile=True)
    choose(page, HOPPER)
    expect(options(page)).to_have_count(4)
    options(page).first.tap()
    expect_word(page, 0)
    return page


def swipe(page: Page, across: int) -> None:
    """Move a finger over the middle of the photo, so many pixels to the right."""
    canvas(page).scroll_into_view_if_needed()
    box = canvas(page).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, *places: float) -> None:
        points = [{"x": place, "y": y} for place in places]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", x)
    for part in range(1, 5):
        touch("touchMove", x + across * part / 4)
    touch("touchEnd")


def test_a_tap_on_a_word_draws_its_map(phone: Page) -> None:
    options(phone).nth(2).tap()
    expect_word(phone, 2)


def test_a_tap_on_the_photo_lists_the_words_that_attend_there(phone: Page) -> None:
    """The second word attends to the second of four cells in the first row."""
    box = canvas(phone).bounding_box()
    assert box is not None
    canvas(phone).tap(position={"x": 0.375 * box["width"], "y": 0.125 * box["height"]})
    expect(phone.locator("#viewer .attending li").first).to_contain_text("dog")


def test_a_swipe_over_the_photo_steps(phone: Page) -> None:
    swipe(phone, -120)
    expect_word(phone, 1)
    swipe(phone, -120)
    expect_word(phone, 2)
    swipe(phone, 120)
    expect_word(phone, 1)
    expect(phone.locator("#viewer .attending")).to_be_hidden()
