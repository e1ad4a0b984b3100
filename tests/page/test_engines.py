"""The page in Firefox and WebKit: every action is written once, for both."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.page.engines import ENGINES, Engine, Visits, wait_for
from tests.page.visiting import HOPPER

UPLOAD = "#viewer .file"
WORD = "#viewer [role=option]"
COMING = "#viewer [data-coming]"
STAGE = "#viewer .stage canvas"
ALTERNATIVE = "#viewer [data-alternative=cat]"
ATTENDING = "#viewer .attending li"
SHARE = "#viewer [data-tab=share]"
COPY = "#viewer [data-export=copy]"
DATA = "#viewer [data-export=json]"
EXPORTED = "#viewer .exported"
CAPTION = ["a", "dog", "runs", "far"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:setting remote_server_addr:DeprecationWarning"  # which Selenium does itself
)


@pytest.fixture(scope="module", params=ENGINES)
def visit(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Visits]:
    with ENGINES[request.param](tmp_path_factory.mktemp("home")) as visit:
        yield visit


@pytest.fixture
def engine(visit: Visits, fake_address: str) -> Iterator[Engine]:
    """The page with a captioned photo, on its first word. No script may fail there."""
    with visit() as engine:
        engine.open(fake_address)
        wait_for(lambda: texts(engine, WORD), CAPTION)  # of an example
        engine.run(
            """word => {
                window.faults = [];
                addEventListener("error", event => faults.push(event.message));
                addEventListener("unhandledrejection", event => faults.push(String(event.reason)));
                for (const old of document.querySelectorAll(word)) old.dataset.old = "";
            }""",
            WORD,
        )
        engine.give_file(UPLOAD, HOPPER)
        wait_for(lambda: texts(engine, f"{WORD}:not([data-old])"), CAPTION)
        wait_for(lambda: texts(engine, COMING), [])
        engine.click(WORD)
        wait_for(lambda: shown_word(engine), "0")
        yield engine
        assert engine.run("() => window.faults") == []


def texts(engine: Engine, selector: str) -> list[str]:
    """Of all elements that match and are seen."""
    return engine.run(
        """selector => [...document.querySelectorAll(selector)]
            .filter(element => element.checkVisibility())
            .map(element => element.textContent.trim())""",
        selector,
    )


def shown_word(engine: Engine) -> str:
    """The index of the word whose map lies on the photo."""
    return engine.run("selector => document.querySelector(selector).dataset.word", STAGE)


def picture(engine: Engine) -> str:
    """All pixels of the photo and its map."""
    return engine.run("selector => document.querySelector(selector).toDataURL()", STAGE)


def nth(selector: str, place: int) -> str:
    """The match at a place, from 1, among its siblings."""
    return f"{selector}:nth-child({place})"


def test_a_click_on_a_word_draws_its_map(engine: Engine) -> None:
    seen = [picture(engine)]
    for index in (1, 3):
        engine.click(nth(WORD, index + 1))
        wait_for(lambda: shown_word(engine), str(index))
        wait_for(lambda: picture(engine) in seen, False)
        seen.append(picture(engine))


def test_an_alternative_rewrites_the_rest_of_the_caption(engine: Engine) -> None:
    engine.click(nth(WORD, 2))
    wait_for(lambda: shown_word(engine), "1")
    engine.click(ALTERNATIVE)
    wait_for(lambda: texts(engine, WORD), ["a", "cat", "sleeps"])


def test_a_click_on_the_photo_lists_the_words_that_attend_there(engine: Engine) -> None:
    """The second word attends to the second of four cells in the first row."""
    engine.click(STAGE, 0.375, 0.125)
    wait_for(lambda: [text[:3] for text in texts(engine, ATTENDING)[:1]], ["dog"])


def test_the_caption_is_copied(engine: Engine) -> None:
    engine.click(SHARE)
    engine.click(COPY)
    wait_for(lambda: texts(engine, EXPORTED), ["Copied."])
    engine.run(
        """() => {
            const field = document.createElement("textarea");
            document.body.append(field);
            field.focus();
        }"""
    )
    engine.paste()
    wait_for(lambda: engine.run("() => document.activeElement.value"), "a dog runs far")


def test_the_data_are_saved(engine: Engine) -> None:
    engine.click(SHARE)
    engine.click(DATA)
    wait_for(lambda: texts(engine, EXPORTED), ["Saved grace_hopper-caption.json."])
    saved = engine.downloads / "grace_hopper-caption.json"
    wait_for(lambda: is_whole(saved), True)
    assert json.loads(saved.read_text(encoding="utf-8"))["caption"] == "a dog runs far"


def is_whole(path: Path) -> bool:
    """Whether a file of JSON is there to its end."""
    return path.exists() and path.read_text(encoding="utf-8").rstrip().endswith("}")
