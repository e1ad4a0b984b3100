"""Where everything is, in the browser: in windows of many sizes; and gestures on the photo."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.visiting import (
    LAPTOP,
    PHONE,
    OpenPage,
    canvas,
    example,
    expect_captioned,
    expect_word,
    open_tab,
    open_with_photo,
    options,
    picture,
)

LANDSCAPE = {"width": 844, "height": 390}
LARGE = {"width": 2560, "height": 1440}
ZOOMED = {"width": 640, "height": 400}
"""A laptop's window at 200 %."""
SHIFTS = """() => {
    window.shifted = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
}"""  # noqa: E501
SMALL_TARGETS = """() => [...document.querySelectorAll(
    "#viewer button, #viewer input:not(.file), #viewer summary, #viewer a, #viewer [role=option]")]
    .filter((part) => part.checkVisibility())
    .map((part) => [part, (part.closest("label") ?? part).getBoundingClientRect()])
    .filter(([, box]) => box.width < 24 || box.height < 24)
    .map(([part, box]) => `${part.outerHTML.slice(0, 80)} ${box.width} x ${box.height}`)"""


def boxes(page: Page, *parts: str) -> list[dict[str, float]]:
    """Where parts of the viewer are on the screen."""
    found = [page.locator(f"#viewer {part}").bounding_box() for part in parts]
    return [dict(box) for box in found if box]  # pyright: ignore


def test_on_a_laptop_caption_photo_film_and_word_are_seen_without_scrolling(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address, viewport=LAPTOP)
    found = boxes(page, ".caption", ".stage", ".film", ".doubt", ".word", ".alternatives")
    assert len(found) == 6
    assert all(box["y"] >= 0 and box["y"] + box["height"] <= LAPTOP["height"] for box in found)
    for name in ("captions", "tree", "own", "share"):
        open_tab(page, name)
        (panel,) = boxes(page, f"[data-panel={name}]")
        assert panel["y"] < LAPTOP["height"] / 2
        assert page.evaluate("window.scrollY") == 0


def test_on_a_large_screen_the_photo_takes_a_third_of_it(
    open_page: OpenPage, fake_address: str
) -> None:
    """It took 6 % of 2560 x 1440 pixels."""
    page = open_page(fake_address, viewport=LARGE)
    example(page, "pavilion").click()
    expect_captioned(page)
    (photo,) = boxes(page, ".stage canvas")
    assert photo["width"] * photo["height"] > 0.35 * 2560 * 1440
    assert photo["y"] + photo["height"] < 1440


@pytest.mark.parametrize("size", [PHONE, LANDSCAPE, ZOOMED], ids=str)
def test_a_small_screen_shows_the_stage_and_the_film_lies_right_below_it(
    open_page: OpenPage, fake_address: str, size: dict[str, int]
) -> None:
    page = open_page(fake_address, viewport=size)
    caption, stage, film = boxes(page, ".caption", ".stage", ".film")
    assert caption["y"] + caption["height"] <= size["height"]
    assert stage["y"] < 0.7 * size["height"]
    assert stage["height"] <= size["height"]
    assert 0 <= film["y"] - stage["y"] - stage["height"] < 40
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_an_example_chosen_on_a_low_screen_brings_the_photo_into_view(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address, viewport=LANDSCAPE)
    example(page, "sheep").click()
    expect(page.locator("#viewer .stage")).to_be_in_viewport(ratio=0.98)
    expect(page.locator("#viewer .caption")).to_be_in_viewport(ratio=0.98)


def test_a_tab_chosen_on_a_phone_leaves_some_of_the_photo_and_shows_its_panel(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address, viewport=PHONE)
    page.locator("#viewer .tabs").scroll_into_view_if_needed()
    open_tab(page, "captions")
    panel = page.locator("#viewer [data-panel=captions]")
    expect(panel).to_be_in_viewport(ratio=0.3)
    (film,) = boxes(page, ".film")
    assert film["y"] + film["height"] > 0


@pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=str)
def test_nothing_moves_from_the_first_paint_to_the_first_caption(
    open_page: OpenPage, fake_address: str, size: dict[str, int]
) -> None:
    """Layout shift was 0.63."""
    page = open_page(fake_address, viewport=size)
    page.evaluate(SHIFTS)
    page.wait_for_timeout(500)
    assert page.evaluate("window.shifted") < 0.1


@pytest.mark.parametrize("size", [PHONE, LAPTOP], ids=str)
def test_every_target_is_large_enough_for_a_finger(
    open_page: OpenPage, fake_address: str, size: dict[str, int]
) -> None:
    page = open_page(fake_address, viewport=size)
    small = page.evaluate(SMALL_TARGETS)
    for name in ("captions", "own", "share"):
        open_tab(page, name)
        if name == "captions":
            page.get_by_text("Settings", exact=True).click()
        small += page.evaluate(SMALL_TARGETS)
    assert not small


def test_holding_the_photo_shows_it_bare_and_asks_about_no_region(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address)
    drawn = picture(page)
    (photo,) = boxes(page, ".stage canvas")
    page.mouse.move(photo["x"] + photo["width"] * 0.7, photo["y"] + photo["height"] * 0.7)
    page.mouse.down()
    page.wait_for_timeout(700)
    bare = picture(page)
    assert bare != drawn
    page.mouse.up()
    assert picture(page) == drawn
    expect(page.locator("#viewer .region")).to_be_hidden()
    page.locator("#viewer .stage").focus()
    page.keyboard.down("p")
    assert picture(page) == bare
    page.keyboard.up("p")
    assert picture(page) == drawn
    canvas(page).click()
    expect(page.locator("#viewer .region")).to_be_visible()


def test_a_question_about_a_region_is_answered_in_sight_whatever_tab_is_open(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address)
    open_tab(page, "share")
    canvas(page).click()
    expect(page.locator("#viewer .region")).to_be_in_viewport()


def swipe(page: Page, across: float) -> None:
    """Move a finger over the photo, as the browser's own input."""
    (photo,) = boxes(page, ".stage canvas")
    x, y = photo["x"] + photo["width"] / 2, photo["y"] + photo["height"] / 2
    session = page.context.new_cdp_session(page)
    for kind, at in (("Start", 0.0), ("Move", across / 2), ("Move", across), ("End", across)):
        points = [] if kind == "End" else [{"x": x + at, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})


def test_a_swipe_on_the_photo_steps_and_asks_about_no_region(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address, viewport=PHONE, has_touch=True, is_mobile=True)
    swipe(page, -120)
    expect_word(page, 1)
    swipe(page, -120)
    expect_word(page, 2)
    swipe(page, 120)
    expect_word(page, 1)
    expect(page.locator("#viewer .region")).to_be_hidden()


def test_states_are_seen_in_the_visitors_own_colours(
    open_page: OpenPage, fake_address: str
) -> None:
    """Where a browser replaces all colours, backgrounds and shadows tell nothing."""
    page = open_with_photo(open_page, fake_address, forced_colors="active")
    outline = "part => getComputedStyle(part).outlineStyle"
    assert options(page).nth(0).evaluate(outline) == "solid"
    assert options(page).nth(2).evaluate(outline) == "none"
    checked, other = (
        page.locator(f"#viewer [value={name}] + span").evaluate(
            "part => getComputedStyle(part).backgroundColor"
        )
        for name in ("spotlight", "viridis")
    )
    assert checked != other


def test_a_new_photo_is_captioned_with_the_page_scrolled_anywhere(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address, viewport=PHONE)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.evaluate("document.querySelector('#viewer [data-example=gate]').click()")
    expect_captioned(page)
    expect(page.locator("#viewer .stage")).to_be_in_viewport()
