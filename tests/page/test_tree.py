"""The beam tree: what the search weighed at each word, and continuing from any of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.page.plain import answer, open_plain_page, plain_value, requests
from tests.serving import FakeModel


def candidate(text: str, parent: int, probability: float, fate: str = "kept") -> dict[str, Any]:
    fates = {"kept": fate != "dropped", "ended": not text, "best": fate == "best"}
    return {"text": text, "parent": parent, "probability": probability, "logprob": -1.0, **fates}


STEPS = [
    [candidate("a", -1, 0.6, "best"), candidate("two", -1, 0.3), candidate("the", -1, 0.004)],
    [candidate("dog", 0, 0.5, "best"), candidate("dogs", 1, 0.8), candidate("cat", 0, 0.1)],
    [candidate("runs", 0, 0.4, "best"), candidate("run", 1, 0.6), candidate("", 0, 0.2, "dropped")],
    [candidate("", 0, 0.9, "best"), candidate("", 1, 0.7)],
]


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    with open_plain_page(browser, tmp_path, plain_value("a dog runs")) as page:
        answer(page, tree={"tree": {"steps": STEPS}})
        yield page


def open_tree(page: Page) -> None:
    page.get_by_role("tab", name="Search").click()
    expect(nodes(page)).to_have_count(11)


def nodes(page: Page) -> Locator:
    return page.locator(".tree-sheet button")


def node(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def test_the_tree_is_fetched_when_its_tab_is_opened_and_again_for_other_settings(
    page: Page,
) -> None:
    assert requests(page) == []
    open_tree(page)
    page.get_by_role("tab", name="Word").click()
    page.get_by_role("tab", name="Search").click()
    (request,) = requests(page)
    assert (request["kind"], request["options"]["beam_size"]) == ("tree", 3)
    page.get_by_role("tab", name="Captions").click()
    page.get_by_text("Settings").click()
    page.locator("[name=beam_size]").fill("5")
    page.get_by_role("tab", name="Search").click()
    expect(nodes(page)).to_have_count(11)
    assert requests(page)[-1]["options"]["beam_size"] == 5


def test_words_tell_their_probability_and_what_became_of_them(page: Page) -> None:
    open_tree(page)
    for name in (
        "Word 1: a, 60%, won",
        "Word 1: the, under 1%, kept",
        "Word 3: end, 20%, dropped",
        "Word 4: end, 90%, won",
    ):
        expect(node(page, name)).to_be_visible()
    ribbons = page.locator(".tree-sheet path").evaluate_all(
        "all => all.map((one) => [Number(one.getAttribute('stroke-width')), one.dataset.fate])"
    )
    assert max(ribbons) == [pytest.approx(24 * 0.9), "best"]
    assert min(ribbons) == [1, "kept"], "even a hardly likely word has a ribbon"
    labelled = page.get_by_role("group", name="The search found: a dog runs")
    expect(labelled).to_be_visible()


def test_a_caption_continues_from_a_word_of_another_sentence(page: Page) -> None:
    found = FakeModel().caption(("two", "dogs", "sleep")).to_json()
    answer(page, captions={"captions": [found]})
    open_tree(page)
    node(page, "Word 2: dogs, 80%, kept").click()
    expect(page.locator(".words [role=option]")).to_have_text(["two", "dogs", "sleep"])
    expect(page.locator(".stage canvas")).to_have_attribute("data-word", "1")
    expect(page.locator(".origin")).to_have_text("Continued from “dogs”.")
    assert requests(page)[-1]["prefix"] == "two dogs"
    shown = page.locator(".tree-sheet [data-shown]")
    expect(shown).to_have_text(["two30%", "dogs80%"])
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".words [role=option]")).to_have_text(["a", "dog", "runs"])
    expect(shown).to_have_text(["a60%", "dog50%", "runs40%", "end90%"])


def test_a_caption_ends_where_the_search_might_have_ended_it(page: Page) -> None:
    answer(page, score={"caption": FakeModel().caption(("a", "dog")).to_json()})
    open_tree(page)
    node(page, "Word 3: end, 20%, dropped").click()
    expect(page.locator(".words [role=option]")).to_have_text(["a", "dog"])
    expect(page.locator(".origin")).to_have_text("Ended after “dog”.")
    assert requests(page)[-1]["text"] == "a dog"


def test_a_word_of_the_caption_shown_is_gone_to_without_the_server(page: Page) -> None:
    open_tree(page)
    node(page, "Word 2: dog, 50%, won").click()
    expect(page.locator(".stage canvas")).to_have_attribute("data-word", "1")
    assert [request["kind"] for request in requests(page)] == ["tree"]


def test_arrows_lead_through_the_tree_and_not_through_the_caption(page: Page) -> None:
    open_tree(page)
    page.get_by_role("tab", name="Search").focus()
    for _ in range(2):  # over the button that enlarges it
        page.keyboard.press("Tab")
    expect(node(page, "Word 1: a, 60%, won")).to_be_focused()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    expect(node(page, "Word 2: dogs, 80%, kept")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(node(page, "Word 3: run, 60%, kept")).to_be_focused()
    expect(page.locator(".stage canvas")).to_have_attribute("data-word", "0")


def test_the_tree_opens_large_and_comes_back(page: Page) -> None:
    open_tree(page)
    page.get_by_role("button", name="Enlarge").click()
    expect(page.get_by_role("dialog").locator(nodes(page))).to_have_count(11)
    last = node(page, "Word 4: end, 90%, won")
    expect(last).to_be_in_viewport(ratio=1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("tabpanel").locator("> .tree-view")).to_be_visible()
    page.get_by_role("button", name="Enlarge").click()
    node(page, "Word 1: a, 60%, won").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".words [role=option]").first).to_be_focused()


def test_a_tree_that_failed_is_tried_again_and_sampling_has_none(page: Page) -> None:
    error = {"code": "fault", "values": {}, "message": ""}
    answer(page, tree={"error": error})
    page.get_by_role("tab", name="Search").click()
    expect(page.locator(".tree-message")).to_contain_text("Something went wrong")
    page.get_by_role("tab", name="Captions").click()
    answer(page, tree={"tree": {"steps": STEPS}})
    open_tree(page)
    page.get_by_role("tab", name="Captions").click()
    page.get_by_text("Settings").click()
    page.locator("[name=method][value=sampling]").check()
    page.get_by_role("tab", name="Search").click()
    expect(page.locator(".tree-message")).to_contain_text("The tree shows beam search")
    expect(nodes(page)).to_have_count(0)
