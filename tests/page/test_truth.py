"""What the viewer claims about a caption, in a plain page: it is what the data say, and no more."""

import io
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.serving import FakeModel

Data = dict[str, Any]
VIEWER = "document.querySelector('caption-viewer')"
YELLOW = (253, 231, 37)
"""Viridis's highest."""


def caption(*texts: str, familiarity: float | None = 0.25, **words: list[Any]) -> Data:
    """A caption, with values of its words in place of the fake model's."""
    data = FakeModel().caption(texts).to_json()
    data["familiarity"] = familiarity
    for key, values in words.items():
        for word, value in zip(data["words"], values, strict=True):
            word[key] = value
    return data


def show(page: Page, *captions: Data) -> None:
    """Give the viewer captions of another photo, found by the model, and go to the first word."""
    value = {"of": "2", "photo": {"url": "photo.jpg"}, "captions": captions, "example": True}
    page.evaluate(f"value => {{ {VIEWER}.value = value; }}", value)
    expect(page.get_by_role("option")).to_have_count(len(captions[0]["words"]))
    go_to(page, 0)


def answer(page: Page, **result: Any) -> Data:
    """Answer the viewer's last request; gives the request."""
    page.wait_for_function("window.requests.length")
    request = page.evaluate("window.requests.pop()")
    page.evaluate(
        f"answer => {{ {VIEWER}.value = {{ answer }}; }}", {"id": request["id"], **result}
    )
    return request


def go_to(page: Page, index: int) -> None:
    page.get_by_role("option").nth(index).click()
    expect(page.locator(".stage canvas")).to_have_attribute("data-word", str(index))


def edge(chip: Locator) -> list[tuple[int, ...]]:
    """The colours along a chip's lower edge."""
    photo = Image.open(io.BytesIO(chip.screenshot())).convert("RGB")
    return [
        photo.getpixel((x, photo.height - 4))  # pyright: ignore[reportReturnType]
        for x in range(12, photo.width - 12)
    ]


@pytest.mark.parametrize("look", ["light", "dark", "forced"])
def test_along_a_chips_edge_habit_is_hatched_and_what_the_photo_added_is_solid(
    plain_page: Page, look: str
) -> None:
    page = plain_page
    page.emulate_media(forced_colors="active" if look == "forced" else "none")
    page.evaluate(f"document.body.classList.toggle('dark', {str(look == 'dark').lower()})")
    show(page, caption("the", "congregation", probability=[0.5, 0.8], blind=[None, 0.4]))
    colours = edge(page.get_by_role("option").nth(1))
    part = [colours[round(len(colours) * share)] for share in (0.5, 0.6, 0.7)]
    assert len(set(part)) == 1, "the photo's share is solid"
    solid = part[0]
    hatched = colours[: round(len(colours) * 0.3)]
    assert solid in hatched
    assert 0.2 < sum(colour == solid for colour in hatched) / len(hatched) < 0.7
    assert solid not in colours[round(len(colours) * 0.9) :]
    assert solid not in edge(page.get_by_role("option").nth(0)), "nothing is known, nothing shown"


def test_the_panel_says_what_the_photo_added_and_nothing_where_that_is_unknown(
    plain_page: Page,
) -> None:
    page = plain_page
    show(
        page,
        caption("a", "dog", "runs", probability=[0.85, 0.41, 0.6], blind=[0.79, 0.45, None]),
    )
    habit = page.locator(".habit")
    expect(habit).to_have_text("Would say it anyway: 79%. The photo added 6 points.")
    go_to(page, 1)
    expect(habit).to_have_text(
        "Would say it anyway: 45%. Without the photo it would be likelier by 4 points."
    )
    go_to(page, 2)
    expect(habit).to_have_text("")


def test_a_word_that_was_read_off_the_photo_is_marked_and_explained(plain_page: Page) -> None:
    page = plain_page
    show(page, caption("a", "dog", recognized=[0.4, 0.6]))
    plain, read = page.get_by_role("option").all()
    expect(plain).to_have_attribute("aria-label", "a, 50% sure")
    expect(read).to_have_attribute("aria-label", "dog, 60% sure, read off the photo")
    expect(plain.locator(".mark")).to_have_count(0)
    expect(read.locator(".mark")).to_be_visible()
    expect(page.locator(".read")).to_have_text("")
    go_to(page, 1)
    expect(page.locator(".read")).to_have_text(
        "Read off the photo: the encoder recognized it where the model looked."
    )


def test_closed_eyes_show_what_the_model_says_of_no_photo_and_opening_them_brings_all_back(
    plain_page: Page,
) -> None:
    page = plain_page
    seen = caption("a", "dog", "runs", probability=[0.5, 0.5, 0.5], blind=[0.5, 0, 0.1])
    show(page, caption("a", "cat"), seen)
    page.get_by_role("tab", name="Captions").click()
    page.locator("[data-caption='1']").click()
    page.get_by_role("tab", name="Word").click()
    go_to(page, 2)
    page.get_by_label("Opacity").fill("100")
    before = page.locator(".stage canvas").evaluate("canvas => canvas.toDataURL()")
    page.get_by_role("radio", name="Eyes closed").check()
    request = answer(page, caption=caption("a", "man", familiarity=None))
    assert request["kind"] == "blind"
    expect(page.get_by_role("option")).to_have_text(["a", "man"])
    expect(page.locator(".origin")).to_contain_text("without any photo")
    expect(page.locator(".origin")).to_contain_text("40% of the probability")
    expect(page.locator(".level")).to_have_text("")
    expect(page.get_by_role("button", name="Undo")).to_be_hidden()
    expect(page.locator(".alternatives button")).to_have_count(0)
    expect(page.locator(".stage canvas")).to_have_attribute("data-word", "0")
    colours = page.locator(".stage canvas").evaluate(
        """canvas => [0.2, 0.4, 0.6, 0.8].map(share => [...canvas.getContext("2d").getImageData(
            canvas.width / 2, share * canvas.height, 1, 1).data])"""
    )
    for red, green, blue, _ in colours:  # the photo is covered, and no map is on it
        assert (red, green, blue) == pytest.approx((113, 113, 122), abs=12)
    page.locator(".stage").click()
    expect(page.locator(".region")).to_be_hidden()
    page.get_by_role("radio", name="Eyes open").check()
    expect(page.get_by_role("option")).to_have_text(["a", "dog", "runs"])
    expect(page.locator(".stage canvas")).to_have_attribute("data-word", "2")
    assert page.locator(".stage canvas").evaluate("canvas => canvas.toDataURL()") == before
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("option")).to_have_text(["a", "cat"])
    assert page.evaluate("window.requests") == []


def test_closing_the_eyes_closes_a_region_and_exports_nothing(plain_page: Page) -> None:
    page = plain_page
    page.locator(".stage").click()
    expect(page.locator(".region")).to_be_visible()
    page.get_by_role("radio", name="Eyes closed").check()
    answer(page, caption=caption("a", "man", familiarity=None))
    expect(page.locator(".reading")).to_be_visible()
    expect(page.locator(".region")).to_be_hidden()
    page.get_by_role("tab", name="Share").click()
    copy = page.get_by_role("button", name="Copy caption")
    expect(copy).to_be_disabled()
    page.get_by_role("radio", name="Eyes open").check()
    expect(copy).to_be_enabled()


def test_eyes_that_cannot_be_closed_open_again_with_the_reason(plain_page: Page) -> None:
    page = plain_page
    page.get_by_role("radio", name="Eyes closed").check()
    answer(page, error={"code": "fault", "values": {}, "message": "fault"})
    expect(page.get_by_role("radio", name="Eyes open")).to_be_checked()
    expect(page.locator(".origin")).to_contain_text("Something went wrong")
    expect(page.get_by_role("option")).to_have_text(["a", "dog", "runs"])


def test_a_model_that_does_not_know_what_is_habit_has_no_eyes_to_close(plain_page: Page) -> None:
    page = plain_page
    expect(page.locator(".eyes")).to_be_visible()
    show(page, caption("a", "dog", blind=[None, None]))
    expect(page.locator(".eyes")).to_be_hidden()


@pytest.mark.parametrize(
    ("familiarity", "strip", "sure"),
    [
        (0.4, "Like the photos it learned from", "50% sure"),
        (0.05, "Unlike most photos it learned from", "50% sure"),
        (
            0.0299,
            "Stranger than 97 of 100 photos it learned from: expect things that are not there",
            "The model\u2019s own estimate: 50%",
        ),
        (
            0.002,
            "Stranger than nearly all photos it learned from: expect things that are not there",
            "The model\u2019s own estimate: 50%",
        ),
        (None, "", "50% sure"),
    ],
)
def test_the_strip_says_how_familiar_the_photo_is_and_how_much_to_believe(
    plain_page: Page, familiarity: float | None, strip: str, sure: str
) -> None:
    page = plain_page
    show(page, caption("a", "dog", familiarity=familiarity, recognized=[0, 0]))
    expect(page.locator(".level")).to_have_text(strip)
    expect(page.locator(".sure b")).to_have_text(sure)
    label = "a, " + sure[0].lower() + sure[1:]
    expect(page.get_by_role("option").first).to_have_attribute("aria-label", label)


def test_the_line_of_doubt_lies_below_the_film_and_leads_to_its_words(plain_page: Page) -> None:
    page = plain_page
    show(page, caption("a", "dog", "runs", entropy=[0.2, 2.2, 3.1]))
    points = page.locator(".doubt circle")
    expect(points).to_have_count(3)
    centres = [
        [box["x"] + box["width"] / 2 for part in parts.all() if (box := part.bounding_box())]
        for parts in (points, page.locator(".film button"))
    ]
    assert centres[0] == pytest.approx(centres[1], abs=1)
    heights = [box["y"] for part in points.all() if (box := part.bounding_box())]
    assert heights == sorted(heights, reverse=True)
    expect(page.locator(".torn")).to_have_text(
        "Nearly certain here: one word has most of the probability."
    )
    page.locator(".doubt g").nth(1).click()
    expect(page.locator(".word")).to_have_text("dog")
    expect(page.locator(".doubt [data-current]")).to_have_attribute("data-index", "1")
    expect(page.locator(".torn")).to_have_text(
        "Uncertain here, as if between about 9 equally likely words."
    )
    expect(page.locator(".doubt")).to_have_attribute(
        "aria-label",
        "How uncertain the model was at each word, in equally likely words: a 1, dog 9, runs 22",
    )
    show(page, caption("a", "dog", entropy=[None, None]))  # as it was saved before
    expect(points).to_have_count(0)
    expect(page.locator(".torn")).to_have_text("")


def test_the_line_of_doubt_scrolls_with_the_film(plain_page: Page) -> None:
    page = plain_page
    page.set_viewport_size({"width": 360, "height": 700})
    show(page, caption(*["word"] * 30))
    go_to(page, 29)
    assert page.locator(".film").evaluate("film => film.scrollLeft") > 100
    last = page.locator(".film button").last.bounding_box()
    point = page.locator(".doubt circle").last.bounding_box()
    assert last is not None
    assert point is not None
    assert point["x"] + point["width"] / 2 == pytest.approx(last["x"] + last["width"] / 2, abs=2)


OTHERS = [["man", 0.4], ["girl", 0.1], ["lady", 0.004], ["boy", 0.002]]


def test_candidates_are_ranked_with_the_chosen_one_and_the_end_among_them(
    plain_page: Page,
) -> None:
    page = plain_page
    show(
        page,
        caption(
            "a",
            "woman",
            probability=[0.9, 0.3],
            alternatives=[[], OTHERS],
            ending=[0, 0.2],
        ),
    )
    expect(page.locator(".after")).to_have_text("")
    go_to(page, 1)
    listed = page.locator(".alternatives > li:not(.rest)")
    expect(listed.locator("span")).to_have_text(["man", "woman", "end of the caption", "girl"])
    expect(listed.locator("small")).to_have_text(["likelier here, but its sentence lost", "chosen"])
    expect(page.locator(".alternatives summary")).to_have_text("2 more under 1%")
    lady = page.get_by_role("button", name="Continue with lady")
    expect(lady).to_be_hidden()
    page.locator(".alternatives summary").click()
    expect(lady).to_be_visible()
    expect(page.locator(".after")).to_have_text("Then the caption ends: 75%.")


def test_the_end_is_chosen_like_a_word_where_there_are_words_before_it(plain_page: Page) -> None:
    page = plain_page
    show(page, caption("a", "dog", "runs", ending=[0.1, 0.1, 0.1]))
    end = page.get_by_role("button", name="End the caption here, 10%")
    expect(page.locator("[data-kind=end]")).to_have_count(1)
    expect(end).to_have_count(0)
    go_to(page, 2)
    end.click()
    request = answer(page, caption=caption("a", "dog"))
    assert (request["kind"], request["text"]) == ("score", "a dog")
    expect(page.get_by_role("option")).to_have_text(["a", "dog"])
    expect(page.locator(".origin")).to_have_text("Ended after “dog”.")
    expect(page.get_by_role("option").nth(1)).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("option")).to_have_text(["a", "dog", "runs"])


def test_no_sentence_is_said_to_have_lost_that_the_settings_rule_out(plain_page: Page) -> None:
    page = plain_page
    texts = ("a", "dog", "runs", "a", "dog", "swims")
    others: list[Any] = [[] for _ in texts]
    others[5] = [["runs", 0.5], ["sits", 0.4]]
    show(page, caption(*texts, probability=[0.1] * 6, alternatives=others))
    go_to(page, 5)
    expect(page.locator(".alternatives small")).to_have_text(
        [
            "likelier here, but the settings rule it out",  # the trigram was there before
            "likelier here, but its sentence lost",
            "chosen",
        ]
    )


def test_no_sentence_is_said_to_have_lost_to_a_word_that_the_visitor_chose(
    plain_page: Page,
) -> None:
    page = plain_page
    unlikely: Data = {"probability": [0.1, 0.1], "alternatives": [[["the", 0.4]], [["cat", 0.4]]]}
    show(page, caption("a", "dog", **unlikely))
    notes = page.locator(".alternatives small")
    expect(notes).to_have_text(["likelier here, but its sentence lost", "chosen"])
    page.get_by_role("button", name="Continue with the").click()
    answer(page, caption=caption("the", "dog", **unlikely))
    expect(notes).to_have_text(["likelier here", "your choice"])
    go_to(page, 1)
    expect(notes).to_have_text(["likelier here, but its sentence lost", "chosen"])


def set_look(page: Page, *names: str) -> None:
    for name in names:
        page.get_by_role("radio", name=name, exact=True).check()
    page.get_by_label("Opacity").fill("100")


def brightest(page: Page) -> list[int]:
    """The first of the 2 x 2 cells, away from the mark at its centre."""
    return page.locator(".stage canvas").evaluate(
        """canvas => [...canvas.getContext("2d").getImageData(
            canvas.width / 20, canvas.height / 20, 1, 1).data].slice(0, 3)"""
    )


def test_on_one_scale_the_same_colour_is_the_same_attention_and_its_numbers_say_how_much(
    plain_page: Page,
) -> None:
    page = plain_page
    alphas = [[[0.28, 0.24], [0.24, 0.24]], [[0.97, 0.01], [0.01, 0.01]]]
    show(page, {**caption("a", "dog", alpha=alphas), "grid": [2, 2]})
    set_look(page, "Grid", "Viridis", "Each word")
    scale = page.locator(".scale span")
    expect(scale).to_have_text(["24%", "28% of its attention"])
    assert brightest(page) == pytest.approx(YELLOW, abs=2)
    set_look(page, "One scale")
    expect(scale).to_have_text(["0%", "97% of its attention"])
    assert brightest(page) != pytest.approx(YELLOW, abs=60)
    go_to(page, 1)
    expect(scale).to_have_text(["0%", "97% of its attention"])
    assert brightest(page) == pytest.approx(YELLOW, abs=2)


def test_a_verdict_is_given_only_where_hiding_a_region_costs_more_than_five_points(
    plain_page: Page,
) -> None:
    page = plain_page
    alphas = [[[0.7, 0.1], [0.1, 0.1]]] * 3
    show(page, {**caption("a", "dog", "runs", alpha=alphas), "grid": [2, 2]})
    page.get_by_role("radio", name="Importance").check()
    drops = [[[drop, 0], [0, 0]] for drop in (0.03, 0.05, 0.06)]
    request = answer(page, occlusion={"drops": drops, "agreements": [1, 1, 1], "agreement": 1})
    assert request["kind"] == "occlusion"
    evidence = page.locator(".evidence")
    little = "Hiding any one part changes little: {} percentage points at most."
    expect(evidence).to_have_text(little.format(3))
    expect(page.locator(".scale span")).to_have_text(["0", "5 points"])
    go_to(page, 1)
    expect(evidence).to_have_text(little.format(5))
    go_to(page, 2)
    expect(evidence).to_have_text(
        "Attention and importance agree well here (correlation 1.00). "
        "Hiding the upper left lowers this word\u2019s probability by 6 percentage points."
    )


def test_importance_is_measured_once_and_attention_is_shown_where_that_fails(
    plain_page: Page,
) -> None:
    page = plain_page
    page.get_by_role("radio", name="Importance").check()
    for opacity in ("20", "80"):
        page.get_by_label("Opacity").fill(opacity)
    answer(page, error={"code": "fault", "values": {}, "message": "fault"})
    assert page.evaluate("window.requests") == []
    expect(page.get_by_role("radio", name="Attention")).to_be_checked()
    expect(page.locator(".evidence")).to_contain_text("of its attention")
    expect(page.locator(".origin")).to_contain_text("Something went wrong")
    page.get_by_role("radio", name="Importance").check()
    assert len(page.evaluate("window.requests")) == 1
