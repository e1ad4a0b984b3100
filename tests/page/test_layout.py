"""The page for everybody, in the browser: sizes, schemes, languages, keyboards, screen readers."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import app
from captioner.page import VisitorFiles, demo, read_texts
from tests.page.visiting import (
    HOPPER,
    LAPTOP,
    LOOKS,
    OPPOSITE_LOOKS,
    PHONE,
    OpenPage,
    canvas,
    choose,
    example,
    expect_captioned,
    look_name,
    open_tab,
    open_with_photo,
    options,
    serious,
)
from tests.serving import BAD_FILES, FakeModel, serving, write_bad_file

LONG = "a man in a black hat and a white shirt is standing in front of a large brick wall"
CONTROLS = """() => [...document.querySelectorAll(
    "#viewer button, #viewer input, #viewer textarea, #viewer summary, #viewer [tabindex='0']")]
    .filter((part) => part.checkVisibility() && !part.disabled && part.tabIndex >= 0)
    .map((part) => part.className + "|" + (part.name ?? "") + "|" + part.textContent)"""


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_axe_finds_nothing_serious_in_any_state(
    open_page: OpenPage, fake_address: str, tmp_path: Path, look: dict[str, object]
) -> None:
    page = open_page(fake_address, **look)
    problems = {"example": serious(page)}
    choose(page, write_bad_file(tmp_path, "text.jpg"))
    expect(page.locator("#viewer .message")).to_contain_text("not a photo")
    problems["failed"] = serious(page)
    choose(page, HOPPER)
    expect_captioned(page)
    problems["done"] = serious(page)
    open_tab(page, "own")
    page.get_by_label("Write a caption").fill("the zyx")
    page.keyboard.press("Enter")
    expect(options(page)).to_have_count(2)
    problems["own caption"] = serious(page)
    open_tab(page, "captions")
    page.get_by_text("Settings", exact=True).click()
    problems["captions and settings"] = serious(page)
    open_tab(page, "share")
    page.get_by_role("button", name="Copy as alt text").click()
    problems["share"] = serious(page)
    open_tab(page, "word")
    page.locator("#viewer [value=importance]").check()
    expect(page.locator("#viewer .evidence")).to_contain_text("correlation")
    problems["importance"] = serious(page)
    open_tab(page, "tree")
    problems["tree"] = serious(page)
    canvas(page).click()
    expect(page.locator("#viewer .region")).to_be_visible()
    problems["region"] = serious(page)
    assert not any(problems.values()), problems


@pytest.mark.parametrize("locale", ["en-US", "fr-FR"])
@pytest.mark.parametrize("look", LOOKS[::2], ids=look_name)
def test_nothing_overflows_and_nothing_moves_when_words_arrive(
    open_page: OpenPage, files: VisitorFiles, look: dict[str, object], locale: str
) -> None:
    """Neither with a caption of 18 words nor with what is rewritten after it."""
    with serving(FakeModel(*LONG.split()), files) as address:
        page = open_page(address, **look, locale=locale)
        names = [".caption", ".stage", ".film", ".transport", ".look", ".tabs"]
        place = f"""() => {json.dumps(names)}.map((name) => {{
            const part = document.querySelector("#viewer " + name);
            return [name, part.offsetTop, part.offsetWidth, part.offsetHeight];
        }})"""
        page.evaluate("document.fonts.ready")
        before = page.evaluate(place)
        choose(page, HOPPER)
        expect_captioned(page)
        assert page.evaluate(place) == before
        expect(canvas(page)).to_be_in_viewport()
        options(page).nth(4).click()
        page.locator("#viewer [data-alternative]").first.click()
        expect(page.locator("#viewer .undo")).to_be_visible()
        assert page.evaluate(place) == before
        page.locator("#viewer [value=importance]").check()
        expect(page.locator("#viewer .evidence")).to_contain_text("corr")
        canvas(page).click()
        assert page.evaluate(place) == before
        width = look["viewport"]["width"]  # pyright: ignore[reportIndexIssue]
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [340, 700])
def test_the_page_fits_a_frame_of_another_page(
    open_page: OpenPage, fake_address: str, width: int
) -> None:
    page = open_page(fake_address)
    frame = f"<iframe src='{fake_address}' style='width: {width}px; height: 640px'></iframe>"
    page.set_content(f"<!doctype html><title>Another page</title>{frame}")
    inside = page.frame_locator("iframe")
    inside.get_by_role("button", name="Sheep").click()
    expect(inside.locator("#viewer .stage canvas[data-word]")).to_be_visible()
    options = inside.locator("#viewer [role=option]")
    options.first.focus()
    page.keyboard.press("ArrowRight")
    expect(options.nth(1)).to_be_focused()
    overflow = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.frames[1].evaluate(overflow) == 0


def test_the_word_stands_beside_the_photo_on_a_laptop_and_the_photo_is_seen_whole(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address, viewport=LAPTOP)
    word, photo = page.locator("#viewer .word"), page.locator("#viewer .stage")
    boxes = word.bounding_box(), photo.bounding_box()
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["x"] >= boxes[1]["x"] + boxes[1]["width"]
    assert boxes[1]["y"] + boxes[1]["height"] <= LAPTOP["height"]
    assert float(word.evaluate("part => parseFloat(getComputedStyle(part).fontSize)")) >= 30


def test_every_control_can_be_reached_with_the_tabulator(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_with_photo(open_page, fake_address)
    describe = """() => {
        const part = document.activeElement;
        return part.className + "|" + (part.name ?? "") + "|" + part.textContent;
    }"""
    open_tab(page, "captions")
    page.get_by_text("Settings", exact=True).click()
    open_tab(page, "share")
    page.get_by_role("button", name="Copy as alt text").click()
    expect(page.get_by_label("HTML with the caption")).to_be_visible()
    wanted, reached = set(), set()
    for tab in ("word", "captions", "own", "share"):
        open_tab(page, tab)
        wanted |= set(page.evaluate(CONTROLS))
        if tab == "word":
            page.locator("#viewer .choose").focus()
        for _ in range(60 if tab == "word" else 25):
            reached.add(page.evaluate(describe))
            page.keyboard.press("Tab")
    # Of radio buttons with one name, the arrow keys reach the others.
    radios = ("source", "shape", "scale", "palette", "method", "eyes")
    assert not [control for control in wanted - reached if control.split("|")[1] not in radios]


def test_every_control_has_a_name(open_page: OpenPage, fake_address: str) -> None:
    page = open_with_photo(open_page, fake_address)
    open_tab(page, "captions")
    page.get_by_text("Settings", exact=True).click()
    nameless = page.locator("#viewer").aria_snapshot()
    for line in nameless.splitlines():
        kind, _, rest = line.strip().removeprefix("- ").partition(" ")
        if kind in ("button", "slider", "radio", "textbox", "option", "img", "application"):
            assert rest.startswith('"'), line


def test_a_french_browser_reads_french(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address, locale="fr-FR")
    expect(page.get_by_role("heading", name="Ce que voit le modèle")).to_be_visible()
    expect(page.get_by_role("button", name="Choisir une photo")).to_be_visible()
    expect(example(page, "coffee").get_by_role("img", name="Café")).to_be_visible()
    expect(page.locator("#about")).to_contain_text("Ses erreurs")
    expect(page.locator("#about")).not_to_contain_text("What it gets wrong")
    choose(page, HOPPER)
    expect_captioned(page)
    expect(page.locator("#viewer .sure b")).to_have_text("sûr à 50 %")
    expect(page.get_by_role("button", name="Mot suivant")).to_be_visible()
    expect(page.locator("#viewer .viewer")).to_have_attribute("lang", "fr")
    expect(page.get_by_role("listbox")).to_have_attribute("lang", "en")
    assert "__i18n__" not in page.locator("body").inner_text()
    english = {text for text in flat("en") if " " in text and "{" not in text}
    shown = page.locator("#viewer").inner_text()
    assert not [text for text in english if text in shown and text not in flat("fr")]


def flat(language: str) -> list[str]:
    return [text for text in read_texts(language).values() if isinstance(text, str)]


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_french_visitor_is_told_in_french_what_is_wrong(
    open_page: OpenPage, address: str, tmp_path: Path, kind: str
) -> None:
    page = open_page(address, locale="fr-FR")
    choose(page, write_bad_file(tmp_path, kind))
    message = page.locator("#viewer .message")
    expect(page.locator("#viewer .viewer")).to_have_attribute("data-state", "failed")
    words = {"dot.png": "pixels", "bomb.png": "pixels", "phone.heic": "HEIC"}
    expect(message).to_contain_text(words.get(kind, "fichier"))
    texts = read_texts("fr")["errors"].values()
    patterns = [re.sub(r"\\\{\w+\\\}", ".+", re.escape(text)) for text in texts]
    assert any(re.fullmatch(pattern, message.inner_text()) for pattern in patterns)


def test_a_browser_of_another_language_reads_english(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address, locale="de-DE")
    expect(page.get_by_role("heading", name=demo.TITLE)).to_be_visible()
    expect(page.get_by_role("button", name="Choose a photo")).to_be_visible()
    expect(page.locator("#about")).to_contain_text("What it gets wrong")


@pytest.mark.parametrize("look", OPPOSITE_LOOKS, ids=look_name)
def test_about_tells_the_measured_scores(
    open_page: OpenPage, fake_address: str, look: dict[str, object]
) -> None:
    page = open_page(fake_address, **look)
    about = page.locator("#about")
    report = json.loads((Path(app.__file__).parent / "checkpoints" / "val.json").read_text())
    for name in ("BLEU-4", "CIDEr-D"):
        row = about.get_by_role("row").filter(has_text=name)
        for scores in (of_set["scores"]["3"] for of_set in report["sets"].values()):
            expect(row).to_contain_text(f"{scores[name]['value']:.1f}")
    expect(about.get_by_role("img")).to_be_visible()
    expect(about).to_contain_text("regions")


def test_the_first_paint_asks_for_no_caption(open_page: OpenPage, fake_address: str) -> None:
    asked: list[str] = []

    def note(page: Page) -> None:
        page.on("request", lambda request: asked.append(request.url))

    page = open_page(fake_address, viewport=PHONE)
    note(page)
    page.reload()
    expect(page.locator("#viewer .viewer")).to_be_visible()
    assert not [url for url in asked if "queue/join" in url]
