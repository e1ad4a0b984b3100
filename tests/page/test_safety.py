"""What comes from outside does no harm: text, file names, and what is sent past the page."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect

from captioner import ImageCaptioningModel
from captioner.page import EXAMPLES, VisitorFiles
from tests.page.over_http import join
from tests.page.visiting import (
    HOPPER,
    OPPOSITE_LOOKS,
    OpenPage,
    choose,
    expect_captioned,
    look_name,
    open_tab,
    open_with_photo,
    options,
    picture,
    status,
)
from tests.serving import FakeModel, serving

MARKUP = "<img src=x onerror='window.broken=1'>"
TEMPLATES = "${window.broken=2} {{window.broken}}"


def expect_unbroken(page: Page) -> None:
    """Nothing has run, and nothing has become part of the page, of what was put in."""
    assert page.evaluate("window.broken") is None
    assert (
        page.locator("#viewer img:not(.examples img), #viewer script, #viewer iframe").count() == 0
    )


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_markup_in_a_visitors_own_words_stays_text(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, **look)
    text = f"{MARKUP} {TEMPLATES}"
    open_tab(page, "own")
    page.get_by_label("Write a caption").fill(text)
    page.get_by_role("button", name="Score", exact=True).click()
    expect(options(page)).to_have_text(text.split())
    page.locator("#viewer [value=importance]").check()
    expect(page.locator("#viewer .evidence")).to_contain_text("correlation")
    open_tab(page, "share")
    page.get_by_role("button", name="Copy as alt text").click()
    page.get_by_role("application").click()
    expect_unbroken(page)


def test_a_word_that_looks_like_html_stays_text(open_page: OpenPage, files: VisitorFiles) -> None:
    words = (MARKUP, "${window.broken=2}", "{{broken}}")
    with serving(FakeModel(*words), files) as address:
        page = open_with_photo(open_page, address)
        expect(options(page)).to_have_text(list(words))
        expect(page.locator("#viewer [data-alternative] span").nth(1)).to_have_text("<b>x</b>")
        expect(page.locator("#viewer .others span").first).to_contain_text(MARKUP[:20])
        expect_unbroken(page)


@pytest.mark.parametrize("name", ["<img src=x onerror='window.broken=1'>.jpg", "${1}{{2}}\"'&.jpg"])
def test_a_file_name_stays_text(
    open_page: OpenPage, fake_address: str, tmp_path: Path, name: str
) -> None:
    page = open_page(fake_address, permissions=["clipboard-read", "clipboard-write"])
    (tmp_path / name).write_bytes(HOPPER.read_bytes())
    choose(page, tmp_path / name)
    expect_captioned(page)
    open_tab(page, "share")
    page.get_by_role("button", name="Copy as alt text").click()
    field = page.get_by_label("HTML with the caption")
    expect(field).to_be_visible()
    assert field.input_value().count("<") == 1
    expect_unbroken(page)


def test_a_file_name_from_a_server_gone_wrong_stays_text(
    open_page: OpenPage, fake_address: str
) -> None:
    """The server cleans file names; the page does not rely on it."""
    page = open_page(fake_address, permissions=["clipboard-read", "clipboard-write"])

    def rename(route: Route) -> None:
        body = route.fetch().text().replace('grace_hopper.jpg\\"', "x")
        body = body.replace('"name":"grace_hopper.jpg"', '"name":"\\"><b onclick=x>.jpg"')
        route.fulfill(body=body, content_type="text/event-stream")

    page.route("**/queue/data*", rename)
    choose(page, HOPPER)
    expect_captioned(page)
    open_tab(page, "share")
    page.get_by_role("button", name="Copy as alt text").click()
    html = page.get_by_label("HTML with the caption").input_value()
    assert html == '<img src="%22%3E%3Cb%20onclick%3Dx%3E.jpg" alt="a dog runs far">'


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": 99}, "position must be from 0 to "),
        ({"position": "1"}, "position must be a whole number"),
        ({"word": "zyxzyx"}, "The model does not know the word"),
        ({"word": MARKUP}, "The model does not know the word"),
        ({"caption": {"words": 3}}, "it needs words"),
        ({"options": {"beam_size": 10_000}}, "beam_size must be from 1 to 10"),
        ({"kind": "reboot"}, "kind must be one of"),
    ],
)
def test_a_question_that_was_changed_on_its_way_gets_a_message(
    open_page: OpenPage, address: str, change: dict[str, Any], message: str
) -> None:
    page = open_page(address)
    choose(page, HOPPER)
    expect_captioned(page)
    before = options(page).all_text_contents()

    def tamper(route: Route) -> None:
        data = json.loads(route.request.post_data or "{}")
        data["event_data"] = {**data["event_data"], **change}
        route.continue_(post_data=json.dumps(data))

    page.route("**/queue/join*", tamper)
    page.locator("#viewer [data-alternative]").first.click()
    expect(page.locator("#viewer .origin")).to_contain_text(message)
    expect(status(page)).to_contain_text(message)
    expect(options(page)).to_have_text(before)
    expect_unbroken(page)


@pytest.mark.parametrize(
    "event", [None, 7, "x", [], {}, {"kind": []}, {"kind": "score", "id": "<b>"}, {"id": [1]}]
)
def test_anything_at_all_may_be_sent_and_gets_a_message(address: str, event: Any) -> None:
    stream = join(address, None, event)
    assert "Traceback" not in stream
    assert '"success":true' in stream.replace(" ", "")
    assert '"message":' in stream


def test_two_visitors_see_their_own_photos_and_captions(
    open_page: OpenPage, address: str, model: ImageCaptioningModel
) -> None:
    photos = {name: EXAMPLES[name]["path"] for name in ("sheep", "hopper")}
    pages = {name: open_page(address) for name in photos}
    asked: dict[str, set[str]] = {name: set() for name in photos}

    def note(name: str, request: Request) -> None:
        if request.url.endswith("/queue/join"):
            asked[name].add(request.post_data_json["event_data"]["photo"])

    for name, page in pages.items():
        page.on("request", partial(note, name))
        choose(page, Path(photos[name]))
    for name, page in pages.items():
        caption = model.generate_caption(photos[name])
        expect(status(page)).to_have_text(f"Caption: {caption}")
        expect_captioned(page)
    for page in pages.values():
        page.locator("#viewer [data-alternative]").first.click(no_wait_after=True)
    for page in pages.values():
        expect(page.locator("#viewer .origin")).to_contain_text("Continued from")
        page.locator("#viewer [value=importance]").check(no_wait_after=True)
    for name, page in pages.items():
        first = model.generate_caption(photos[name])
        branched = model.branch(photos[name], first, 0, first.words[0].alternatives[0][0])
        expect(options(page)).to_have_text([word.text for word in branched.words])
        expect(page.locator("#viewer .evidence")).to_contain_text(
            re.compile("correlation|changes little")
        )
    assert picture(pages["sheep"]) != picture(pages["hopper"])
    assert [len(paths) for paths in asked.values()] == [1, 1]
    assert asked["sheep"] != asked["hopper"]
