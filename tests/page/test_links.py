"""Links to an example with one of its captions, and the page that they open."""

import pytest
from playwright.sync_api import Page, expect

from tests.page.test_memory import expect_shown, give
from tests.page.visiting import (
    OpenPage,
    count_questions,
    expect_word,
    options,
    picture,
)

CLIPBOARD = ["clipboard-read", "clipboard-write"]


def copy_link(page: Page) -> str:
    page.get_by_role("tab", name="Share").click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#viewer .exported")).to_have_text("Copied.")
    return page.evaluate("navigator.clipboard.readText()")


def test_a_link_opens_the_example_with_its_branch_at_its_word(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address, permissions=CLIPBOARD)
    page.get_by_role("button", name="Sheep").click()
    options(page).nth(1).click()
    page.get_by_role("button", name="Continue with cat").click()
    expect(options(page)).to_have_text(["a", "cat", "sleeps"])
    options(page).nth(2).click()
    expect_word(page, 2)
    link = copy_link(page)
    assert link == f"{fake_address}/#example=sheep&words=a+cat+sleeps&word=3"
    other = open_page(link)
    expect(options(other)).to_have_text(["a", "cat", "sleeps"])
    expect_word(other, 2)
    expect(other.locator("#viewer .origin")).to_have_text("The caption of the link.")
    assert picture(other) == picture(page)


def test_a_link_with_a_caption_of_the_model_needs_no_answer(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    questions = count_questions(page)
    page.goto(f"{fake_address}/#example=coffee&words=a+dog+runs+far&word=2")
    expect_word(page, 1)
    assert questions == []


def test_a_photo_given_after_a_link_was_followed_is_not_lost_to_the_link(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(f"{fake_address}/#example=coffee")
    expect_shown(page)
    give(page)
    page.get_by_role("tab", name="Share").click()
    expect(page.get_by_role("button", name="Forget this photo")).to_be_visible()
    expect(page.get_by_role("button", name="Copy link")).to_be_hidden()
    shown = picture(page)
    page.reload()
    expect_shown(page)
    assert picture(page) == shown


@pytest.mark.parametrize(
    ("fragment", "message"),
    [
        ("example=unknown&words=a+dog", "This link leads to an example that is not here."),
        ("example=..%2F..%2Fetc", "This link could not be read."),
        (f"example=gate&words={'a+' * 200}", "This link could not be read."),
    ],
)
def test_a_link_that_leads_nowhere_says_so_above_an_example(
    open_page: OpenPage, fake_address: str, fragment: str, message: str
) -> None:
    page = open_page(f"{fake_address}/#{fragment}")
    expect(page.locator("#viewer .origin")).to_have_text(message)
    expect(options(page)).to_have_count(4)


def test_a_link_that_leads_nowhere_says_so_on_a_page_that_is_open(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    expect_shown(page)
    page.evaluate("location.hash = '#example=unknown'")
    origin = page.locator("#viewer .origin")
    expect(origin).to_have_text("This link leads to an example that is not here.")


def test_words_of_a_link_are_text_whatever_they_are(open_page: OpenPage, fake_address: str) -> None:
    words = "%3Cimg+src%3Dx+onerror%3Dwindow.isHit%3D1%3E"
    page = open_page(f"{fake_address}/#example=gate&words={words}")
    expect(options(page)).to_have_text(["<img", "src=x", "onerror=window.isHit=1>"])
    assert page.locator("#viewer img[src='x']").count() == 0
    assert page.evaluate("window.isHit") is None
