"""What the browser keeps: photo and caption come back after a reload, and to the server."""

import re
import shutil
from pathlib import Path

from playwright.sync_api import Page, expect

from captioner.page import VisitorFiles
from tests.page.visiting import (
    HOPPER,
    OpenPage,
    canvas,
    choose,
    count_questions,
    expect_word,
    options,
    picture,
)
from tests.serving import write_bad_file

KEPT = """() => new Promise((resolve) => {
  const opening = indexedDB.open("caption-viewer");
  opening.onsuccess = () => {
    const read = opening.result.transaction("last").objectStore("last").get("story");
    read.onsuccess = () => {
      const { shown, current } = read.result ?? {};
      resolve(`${shown?.caption.caption}/${current}`);
    };
  };
})"""

CHANGE = """(change) => new Promise((resolve) => {
  const opening = indexedDB.open("caption-viewer");
  opening.onsuccess = () => {
    const store = opening.result.transaction("last", "readwrite").objectStore("last");
    const read = store.get("story");
    read.onsuccess = () => {
      eval(change)(read.result);
      store.put(read.result, "story").onsuccess = resolve;
    };
  };
})"""


def wait_until_kept(page: Page, story: str) -> None:
    """Wait until the browser has kept a caption and the place of its current word: "a dog/1"."""
    for _ in range(300):
        if page.evaluate(KEPT) == story:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"kept is {page.evaluate(KEPT)}, not {story}")


def give(page: Page, photo: Path = HOPPER) -> None:
    """Give a photo, and wait until it is captioned."""
    choose(page, photo)
    expect_shown(page)


def expect_shown(page: Page) -> None:
    """Wait until a photo is there, with the map of a word."""
    expect(canvas(page)).to_have_attribute("data-word", re.compile(r"\d"))


def branch(page: Page, index: int) -> None:
    """Rewrite the caption from a word on."""
    options(page).nth(index).click()
    page.get_by_role("button", name="Continue with cat").click()
    expect(page.locator("#viewer .origin")).to_contain_text("Continued from “cat”")


def test_a_reload_brings_photo_branch_and_way_back_without_the_model(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    give(page)
    page.get_by_role("radio", name="Grid").check()
    branch(page, 1)
    options(page).nth(2).click()
    expect_word(page, 2)
    before = picture(page)
    wait_until_kept(page, "a cat sleeps/2")
    questions = count_questions(page)
    page.reload()
    expect_word(page, 2)
    expect(options(page)).to_have_text(["a", "cat", "sleeps"])
    assert picture(page) == before
    expect(page.get_by_role("radio", name="Grid")).to_be_checked()
    page.get_by_role("button", name="Undo").click()
    expect(options(page)).to_have_text(["a", "dog", "runs", "far"])
    assert questions == []


def test_what_comes_back_can_be_asked_about_though_the_server_has_forgotten_the_photo(
    open_page: OpenPage, fake_address: str, files: VisitorFiles
) -> None:
    page = open_page(fake_address)
    give(page)
    wait_until_kept(page, "a dog runs far/0")
    page.reload()
    expect(options(page)).to_have_count(4)
    for folder in files.uploads.iterdir():
        shutil.rmtree(folder)
    branch(page, 1)
    branch(page, 2)
    expect(options(page)).to_have_text(["a", "cat", "cat", "sleeps"])


def test_an_example_comes_back_with_its_branch(open_page: OpenPage, fake_address: str) -> None:
    page = open_page(fake_address)
    page.get_by_role("button", name="Sheep").click()
    branch(page, 1)
    wait_until_kept(page, "a cat sleeps/1")
    before = picture(page)
    page.reload()
    expect_word(page, 1)
    expect(options(page)).to_have_text(["a", "cat", "sleeps"])
    assert picture(page) == before


def test_a_photo_that_failed_is_not_kept(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    expect(options(page)).to_have_count(4)
    choose(page, write_bad_file(tmp_path, "text.jpg"))
    expect(page.locator("#viewer .message")).to_contain_text("not a photo")
    page.reload()
    expect(options(page)).to_have_count(4)
    expect(page.locator("#viewer .message")).not_to_contain_text("not a photo")


def test_a_visitor_can_make_the_browser_forget(open_page: OpenPage, fake_address: str) -> None:
    page = open_page(fake_address)
    expect_shown(page)
    example = picture(page)
    give(page)
    branch(page, 1)
    wait_until_kept(page, "a cat sleeps/1")
    page.get_by_role("tab", name="Share").click()
    expect(page.locator("#viewer .sharing")).to_contain_text("Your browser keeps the last photo")
    page.get_by_role("button", name="Forget this photo").click()
    expect(page.locator("#viewer .exported")).to_contain_text("Photo forgotten")
    expect(options(page)).to_have_count(0)
    expect(page.get_by_role("button", name="Forget this photo")).to_be_hidden()
    page.reload()
    expect_shown(page)
    assert picture(page) == example


def test_what_another_release_kept_is_left_out_where_it_has_no_place_any_more(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    give(page)
    wait_until_kept(page, "a dog runs far/0")
    page.evaluate(CHANGE, "story => { story.appearance.palette = 'magma'; }")
    page.reload()
    expect_shown(page)
    expect(page.get_by_role("radio", name="Spotlight")).to_be_checked()
    page.wait_for_timeout(1000)  # the page keeps what it shows a moment after it shows it
    page.evaluate(CHANGE, "story => { delete story.shown.caption.words[0].alternatives; }")
    page.reload()
    expect_shown(page)
    expect(page.locator("#viewer [aria-pressed=true]")).to_have_count(1)  # an example


def test_a_browser_that_lets_nothing_be_kept_keeps_nothing(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    page.add_init_script(
        "Object.defineProperty(window, 'indexedDB', { get() { throw new Error('denied'); } });"
    )
    page.reload()
    expect(options(page)).to_have_count(4)
    give(page)
    branch(page, 1)
    page.reload()
    expect(options(page)).to_have_text(["a", "dog", "runs", "far"])
