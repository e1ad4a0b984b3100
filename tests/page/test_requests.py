"""Other captions, in the browser: branches, the visitor's own, settings; and importance."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from captioner import DecodingOptions, ImageCaptioningModel
from captioner.page import EXAMPLES, VisitorFiles, read_texts
from captioner.page.errors import PageError
from tests.page.visiting import (
    HOPPER,
    OPPOSITE_LOOKS,
    OpenPage,
    canvas,
    choose,
    count_questions,
    example,
    expect_captioned,
    expect_word,
    look_name,
    open_tab,
    open_with_photo,
    options,
    picture,
    status,
)
from tests.serving import FakeModel, serving

FOUND = ["a dog runs far", "a dog runs far again", "a dog runs far again again"]


def expect_caption(page: Page, caption: str) -> None:
    expect(options(page)).to_have_text(caption.split())


def score(page: Page, text: str) -> None:
    open_tab(page, "own")
    page.get_by_label("Write a caption").fill(text)
    page.get_by_role("button", name="Score", exact=True).click()


def continue_with(page: Page, word: str) -> None:
    open_tab(page, "word")
    page.get_by_role("button", name=f"Continue with {word}").click()


def test_a_word_of_several_parts_is_one_word(open_page: OpenPage, files: VisitorFiles) -> None:
    texts = ["a", "coffee pot", "falls"]
    with serving(FakeModel(*texts), files) as address:
        page = open_with_photo(open_page, address)
        expect(options(page)).to_have_text(texts)
        expect(page.locator("#viewer .film span")).to_have_text(texts)
        options(page).nth(1).click()
        expect(page.locator("#viewer .word")).to_have_text("coffee pot")
        options(page).nth(2).click()
        continue_with(page, "cat")
        expect(options(page)).to_have_text(["a", "coffee pot", "cat", "sleeps"])


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_an_alternative_rewrites_the_rest_and_undo_brings_the_old_caption_back(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, **look)
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_hidden()
    options(page).nth(1).click()
    expect(page.locator("#viewer [data-alternative] b")).to_have_text(["20%", "under 1%"])
    continue_with(page, "cat")
    expect_caption(page, "a cat sleeps")
    expect_word(page, 1)
    expect(options(page).nth(1)).to_be_focused()
    expect(page.locator("#viewer .origin")).to_have_text("Continued from “cat” in place of “dog”.")
    options(page).nth(2).click()
    continue_with(page, "cat")
    expect_caption(page, "a cat cat sleeps")
    undo.click()
    expect_caption(page, "a cat sleeps")
    expect_word(page, 2)
    undo.click()
    expect_caption(page, FOUND[0])
    expect_word(page, 1)
    expect(undo).to_be_hidden()


def test_many_branches_are_undone_at_once(open_page: OpenPage, fake_address: str) -> None:
    page = open_with_photo(open_page, fake_address)
    for place in (3, 2, 1):
        options(page).nth(place).click()
        continue_with(page, "cat")
        expect(options(page)).to_have_count(place + 2)
    page.get_by_role("button", name="Back to the first").click()
    expect_caption(page, FOUND[0])
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()


def test_a_branch_is_the_librarys(
    open_page: OpenPage, address: str, model: ImageCaptioningModel
) -> None:
    page = open_page(address)
    choose(page, HOPPER)
    expect_captioned(page)
    first = model.generate_caption(HOPPER)
    options(page).nth(5).click()
    word = first.words[5].alternatives[0][0]
    page.locator("#viewer [data-alternative]").first.click()
    branched = model.branch(HOPPER, first, 5, word)
    expect(options(page)).to_have_text([part.text for part in branched.words])
    expect_word(page, 5)


def test_a_word_that_cannot_be_used_leaves_the_caption_and_says_why(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address)
    page.locator("#viewer .alternatives summary").click()  # it is folded: under 1 %
    continue_with(page, "<b>x</b>")
    trouble = page.locator("#viewer .story .origin")
    expect(trouble).to_have_text("word must be one that the model knows, got '<b>x</b>'")
    expect(status(page)).to_contain_text("word must be one")
    expect_caption(page, FOUND[0])
    continue_with(page, "cat")
    expect_caption(page, "cat sleeps")
    expect(trouble).to_have_text("Continued from “cat” in place of “a”.")


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_a_visitors_own_caption_is_shown_and_scored(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, **look)
    score(page, "the zyx is happy")
    expect_caption(page, "the zyx is happy")
    expect(options(page).nth(1)).to_have_attribute("aria-label", "zyx, unknown to the model")
    expect(options(page).nth(0)).to_have_attribute("aria-label", "the, 50% sure")
    verdict = page.locator("#viewer .verdict")
    likelier = (
        "Both surprise the model as much as choosing among 1.6 equally likely words each time."
    )
    expect(page.locator("#viewer .likelier")).to_have_text(likelier)
    expect(verdict).to_contain_text("Unknown to the model: zyx.")
    options(page).nth(1).click()
    expect_word(page, 1)
    expect(page.locator("#viewer .sure b")).to_have_text("60% sure of a word it does not know")
    page.get_by_role("button", name="Undo").click()
    expect_caption(page, FOUND[0])


def test_own_words_that_are_none_or_too_many_leave_the_caption(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address)
    verdict = page.locator("#viewer .verdict")
    score(page, "   ")
    expect(verdict).to_have_text("Type a caption first.")
    score(page, "dog " * 41)
    expect(verdict).to_have_text("A caption here must have at most 40 words, got 41.")
    expect_caption(page, FOUND[0])


def test_own_words_are_scored_as_the_library_scores_them(
    open_page: OpenPage, address: str, model: ImageCaptioningModel
) -> None:
    page = open_page(address)
    choose(page, HOPPER)
    expect_captioned(page)
    score(page, "a woman in a blue harpsichord")
    judged = model.score_caption(HOPPER, "a woman in a blue harpsichord")
    expect(options(page)).to_have_text([word.text for word in judged.words])
    expect(page.locator("#viewer .verdict")).to_contain_text("Unknown to the model: harpsichord.")
    for option, word in zip(options(page).all(), judged.words, strict=True):
        shade = float(option.evaluate("chip => chip.style.getPropertyValue('--sure')"))
        assert shade == pytest.approx(word.probability, abs=1e-3)


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_one_of_more_captions_is_chosen(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, **look)
    others = page.locator("#viewer .others button")
    expect(others.locator("span")).to_have_text(FOUND)
    expect(others.locator("b")).to_have_text(["score -0.50", "score -1.50", "score -2.50"])
    expect(others.nth(0)).to_have_attribute("aria-current", "true")
    questions = count_questions(page)
    open_tab(page, "captions")
    others.nth(1).click()
    expect_caption(page, FOUND[1])
    expect(others.nth(1)).to_have_attribute("aria-current", "true")
    expect(others.nth(1)).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    expect_caption(page, FOUND[0])
    assert questions == []


def test_settings_change_the_captions_and_are_reset(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel
) -> None:
    page = open_with_photo(open_page, fake_address)
    others = page.locator("#viewer .others button")
    open_tab(page, "captions")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_role("slider", name="Captions").fill("5")
    expect(others).to_have_count(5)
    expect(page.locator("#viewer .origin")).to_have_text("Captioned with your settings.")
    page.get_by_role("slider", name="Beam size").fill("7")
    page.get_by_role("slider", name="Maximum length").fill("12")
    page.wait_for_function("document.querySelectorAll('#viewer [data-busy]').length === 0")
    page.get_by_role("slider", name="Length penalty").fill("1.2")
    expect(others).to_have_count(5)
    page.get_by_role("radio", name="Sampling").check()
    expect(page.get_by_role("slider", name="Beam size")).to_be_hidden()
    expect(options(page).last).to_have_text("seed0")
    drawn = fake_model.seen_options[-1]
    assert (drawn.temperature, drawn.top_p, drawn.max_length) == (0.8, 0.9, 12)
    assert drawn.length_penalty == 1.2
    page.get_by_role("button", name="Sample again").click()
    expect(options(page).last).to_have_text("seed1")
    page.get_by_role("button", name="Reset").click()
    expect(others).to_have_count(3)
    expect_caption(page, FOUND[0])
    assert fake_model.seen_options[-1] == DecodingOptions(num_captions=3)
    expect(page.get_by_role("slider", name="Maximum length")).to_have_value("30")


def test_branches_follow_the_settings_and_the_next_photo_starts_from_defaults(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel
) -> None:
    texts = read_texts("en")
    page = open_with_photo(open_page, fake_address)
    open_tab(page, "captions")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_role("slider", name="Beam size").fill("4")
    expect(page.locator("#viewer .origin")).to_have_text("Captioned with your settings.")
    continue_with(page, "cat")
    expect_caption(page, "cat sleeps")
    assert fake_model.seen_options[-1].beam_size == 4
    choose(page, Path(EXAMPLES["sheep"]["path"]))
    expect(page.locator("#viewer .origin")).to_have_text(
        f"{texts['origin_own']} {texts['origin_reset']}"
    )
    expect(page.locator("#viewer [name=beam_size]")).to_have_value("3")
    continue_with(page, "cat")
    expect_caption(page, "cat sleeps")
    assert fake_model.seen_options[-1].beam_size == 3


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_the_map_changes_to_importance_and_its_agreement_with_attention_is_shown(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_with_photo(open_page, fake_address, **look)
    before = picture(page)
    questions = count_questions(page)
    page.locator("#viewer [value=importance]").check()
    evidence = page.locator("#viewer .evidence")
    expect(evidence).to_contain_text("hardly agree here (correlation -0.07)")
    expect(evidence).to_contain_text(
        "Hiding the upper middle lowers this word\u2019s probability by 24 percentage points"
    )
    expect(canvas(page)).to_have_attribute(
        "aria-label",
        "Where hiding a region lowers the probability of “a” most: at the upper middle",
    )
    assert picture(page) != before
    options(page).nth(2).click()
    expect(evidence).to_contain_text("Hiding the upper right")
    options(page).nth(0).click()
    page.locator("#viewer [value=attention]").check()
    expect(evidence).to_contain_text("Most at the upper left")
    assert picture(page) == before
    page.locator("#viewer [value=importance]").check()
    assert len(questions) == 1, "it is measured once"


def test_importance_is_what_the_library_measures(
    open_page: OpenPage, address: str, model: ImageCaptioningModel
) -> None:
    page = open_page(address)
    choose(page, HOPPER)
    expect_captioned(page)
    page.locator("#viewer [value=importance]").check()
    occlusion = model.occlusion(HOPPER, model.generate_caption(HOPPER))
    clear = [index for index, drops in enumerate(occlusion.drops) if drops.max() > 0.06]
    assert clear, "hiding a part of the photo costs some word more than 5 points"
    for index in clear:
        options(page).nth(index).click()
        said = page.locator("#viewer .evidence")
        expect(said).to_contain_text("correlation")
        value = float(said.inner_text().split("correlation ")[1].split(")")[0])
        assert value == pytest.approx(occlusion.agreements[index], abs=0.011)


def test_a_late_answer_is_not_shown_over_a_newer_one(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel
) -> None:
    page = open_with_photo(open_page, fake_address)
    fake_model.seconds = 0.6
    continue_with(page, "cat")
    score(page, "first words")
    score(page, "second words")
    expect_caption(page, "second words")
    page.wait_for_timeout(1500)
    expect_caption(page, "second words")


def test_an_answer_about_a_photo_that_is_gone_is_not_shown(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel
) -> None:
    page = open_with_photo(open_page, fake_address)
    fake_model.seconds = 0.6
    score(page, "old words")
    example(page, "sheep").click()
    expect_caption(page, FOUND[0])
    page.wait_for_timeout(1500)
    expect_caption(page, FOUND[0])
    expect(page.locator("#viewer .origin")).to_contain_text("own caption.")


def test_a_fault_leaves_the_caption_and_the_next_question_is_answered(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel
) -> None:
    page = open_with_photo(open_page, fake_address)
    fake_model.fault = RuntimeError("a secret of the server")
    continue_with(page, "cat")
    expect(page.locator("#viewer .origin")).to_have_text(PageError.MESSAGES["fault"])
    expect_caption(page, FOUND[0])
    assert "secret" not in page.locator("body").inner_text()
    fake_model.fault = None
    score(page, "good again")
    expect_caption(page, "good again")


def test_a_server_that_cannot_be_reached_leaves_the_caption(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address)

    def refuse(route: Route) -> None:
        route.fulfill(status=503, body="{}")

    page.route("**/queue/join*", refuse)
    continue_with(page, "cat")
    expect(page.locator("#viewer .origin")).to_have_text(PageError.MESSAGES["queue_full"])
    expect_caption(page, FOUND[0])
    page.unroute("**/queue/join*")
    score(page, "back again")
    expect_caption(page, "back again")


def test_a_photo_is_encoded_once_for_all_requests(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    encoded = fake_model.encoded
    photo = tmp_path / "own.jpg"
    photo.write_bytes(HOPPER.read_bytes() + b"\0")
    choose(page, photo)
    expect_captioned(page)
    continue_with(page, "cat")
    expect_caption(page, "cat sleeps")
    page.locator("#viewer [value=importance]").check()
    expect(page.locator("#viewer .evidence")).to_contain_text("correlation")
    score(page, "own words")
    expect_caption(page, "own words")
    assert fake_model.encoded == encoded + 1


def test_an_example_shows_its_caption_without_the_server(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel
) -> None:
    page = open_page(fake_address)
    fake_model.fault = RuntimeError("the model has gone")
    example(page, "pavilion").click()
    expect_caption(page, FOUND[0])
    expect_word(page, 0)
    page.wait_for_timeout(1500)
    expect_caption(page, FOUND[0])
