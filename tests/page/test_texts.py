"""The page's texts and its section about the model, without a browser."""

import html
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

import gradio as gr
import matplotlib as mpl
import pytest

import app
from captioner.captions import CaptionError
from captioner.errors import PhotoError
from captioner.options import DecodingError
from captioner.page import about_section, demo, errors, page_texts, read_texts
from captioner.page.components import COLOUR_MAPS
from captioner.page.errors import PageError
from captioner.page.texts import LANGUAGES
from captioner.visualization import SPOTLIGHT_STRENGTH
from tests.serving import BAD_FILES, FakeModel, answering, write_bad_file

PAGE = Path(str(files("captioner.page")))
SOURCES = [
    part.read_text(encoding="utf-8")
    for folder in (PAGE, PAGE / "static", Path(app.__file__).parent)
    for part in folder.iterdir()
    if part.suffix in (".html", ".js", ".py")
]
REPORT = Path(app.__file__).parent / "checkpoints" / demo.REPORT
ERRORS = {
    code: message
    for kind in (PhotoError, PageError, DecodingError, CaptionError)
    for code, message in kind.MESSAGES.items()
}
"""All that a visitor may get."""


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)[^}]*\}", text))


def test_every_text_is_there_in_each_language_with_the_same_placeholders() -> None:
    english, french = read_texts("en"), read_texts("fr")
    assert english.keys() == french.keys()
    for key in english.keys() - {"errors"}:
        assert placeholders(english[key]) == placeholders(french[key]), key


def test_french_punctuation_never_begins_a_line() -> None:
    texts = read_texts("fr")
    for text in [*texts["errors"].values(), *(texts[key] for key in texts.keys() - {"errors"})]:
        assert not re.search(r" [:;?!»%]|« ", text), text


def test_the_viewer_knows_the_same_languages() -> None:
    script = (PAGE / "static" / "texts.js").read_text(encoding="utf-8")
    assert f"LANGUAGES = {json.dumps(list(LANGUAGES))};" in script


def test_every_text_is_used() -> None:
    made = r"place_(upper|middle|lower)_(left|middle|right)|(about|agree|examples?|page)_\w+|errors"
    unused = [
        key
        for key in read_texts("en")
        if not re.fullmatch(made, key) and not any(f'"{key}"' in source for source in SOURCES)
    ]
    assert unused == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_has_a_text_by_its_code_of_values_that_it_has(language: str) -> None:
    texts = read_texts(language)["errors"]
    for code, message in ERRORS.items():
        assert placeholders(texts[code]) <= placeholders(message), code
    assert ERRORS.keys() <= texts.keys()
    for code in texts.keys() - ERRORS.keys():  # the page's own
        assert any(f'"{code}"' in source for source in SOURCES), code


@pytest.mark.parametrize(("kind", "reason"), BAD_FILES.items())
def test_what_is_wrong_with_a_file_comes_with_a_code_and_no_path(
    tmp_path: Path, kind: str, reason: str
) -> None:
    with answering(FakeModel()) as service:
        view = service.view(str(write_bad_file(tmp_path, kind)))
    assert view is not None
    assert view.error is not None
    assert reason in view.error["message"]
    assert view.error["code"] in PhotoError.MESSAGES
    assert str(tmp_path) not in json.dumps(view.error)
    for language in LANGUAGES:
        text = read_texts(language)["errors"][view.error["code"]]
        assert placeholders(text) <= view.error["values"].keys()


class OddError(ValueError):
    """An error of the library's, with values that JSON does not hold."""

    code = "option_out_of_range"
    values: ClassVar = {"name": "x", "low": Path("a"), "got": float("nan"), "high": ["a", 1]}


def test_any_error_with_a_code_reaches_the_visitor_as_plain_json() -> None:
    data = errors.error_data(OddError("x is wrong"))
    values = {"name": "x", "low": "a", "got": "nan", "high": "a, 1"}
    assert data == {"code": "option_out_of_range", "values": values, "message": "x is wrong"}
    assert errors.error_data(ValueError("No."))["code"] == errors.REQUEST_ERROR


def test_the_viewer_draws_in_the_librarys_colours_and_strength() -> None:
    script = (PAGE / "static" / "palettes.js").read_text(encoding="utf-8")
    steps = re.findall(r"\[(\d+), (\d+), (\d+)\]", script)
    levels = [index / 32 for index in range(33)]
    expected = [
        colour
        for name in COLOUR_MAPS
        for colour in mpl.colormaps[name](levels, bytes=True)[:, :3].tolist()
    ]
    assert [list(map(int, step)) for step in steps] == expected
    assert f"SPOTLIGHT_STRENGTH = {SPOTLIGHT_STRENGTH};" in script


def test_gradio_gets_the_pages_own_texts_and_no_more() -> None:
    tables = page_texts().translations_dict
    assert tables.keys() == {"en", "fr"}
    assert all(key.startswith("page_") for table in tables.values() for key in table)
    assert tables["fr"]["page_title"] == "Ce que voit le modèle"


def written(report: Path) -> str:
    with gr.Blocks(analytics_enabled=False):
        return str(about_section(report).html_template)


def test_the_section_about_the_model_tells_every_score_of_the_report(tmp_path: Path) -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    first, second = report["sets"].values()
    first["scores"]["3"]["CIDEr-D"]["value"] = 77.77
    second["scores"]["3"]["CIDEr-D"]["value"] = 88.88
    first["attention"]["3"]["pointing"]["value"] = 0.123
    first["settings"]["photos"], second["settings"]["photos"] = 4000, 321
    (tmp_path / "val.json").write_text(json.dumps(report), encoding="utf-8")
    section = written(tmp_path / "val.json")
    assert section.count("77.8") == section.count("88.9") == 2
    assert section.count(f">{list(report['sets'])[1]}<") == 2
    assert section.count("12%") == 2
    assert section.count("4321 photos") == 2
    assert section.count("<svg") == 2


def test_the_section_says_when_nothing_was_measured(tmp_path: Path) -> None:
    section = written(tmp_path / "val.json")
    assert "No measured scores come with this checkpoint." in section
    assert "CIDEr" not in section


def test_scores_without_attention_are_told(tmp_path: Path) -> None:
    (report, _) = json.loads(REPORT.read_text(encoding="utf-8"))["sets"].values()
    del report["attention"]
    (tmp_path / "val.json").write_text(json.dumps(report), encoding="utf-8")
    assert "CIDEr-D" in written(tmp_path / "val.json")
    assert "at random" not in written(tmp_path / "val.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"sets": []}',
        b'{"sets": {"a": 1}}',
        b"[" * 100_000,
        b"\xff",
        b"{" + b" " * 2_000_000 + b"}",
        REPORT.read_bytes().replace(b'"value": ', b'"value": 1' + b"0" * 400 + b', "_": '),
        REPORT.read_bytes().replace(b'"value": ', b'"value": "x", "_": '),
        REPORT.read_bytes().replace(b'"photos": ', b'"photos": [], "_": '),
    ],
)
def test_a_report_that_is_none_is_not_told(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A checkpoint may be a stranger's. The page did not start."""
    (tmp_path / "val.json").write_bytes(content)
    assert written(tmp_path / "val.json") == written(tmp_path / "absent.json")
    assert "val.json" in caplog.text


def test_the_name_of_a_data_set_is_not_run_as_a_template(tmp_path: Path) -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    name = "${alert(1)}{{alert(2)}}`<b>"
    report["sets"] = {name: next(iter(report["sets"].values())), "b": report["sets"].popitem()[1]}
    (tmp_path / "val.json").write_text(json.dumps(report), encoding="utf-8")
    section = written(tmp_path / "val.json")
    for run in ("${", "{{", "`", "<b>"):
        assert run not in section
    assert html.unescape(section).count(f">{name}<") == 2


@pytest.mark.parametrize("section", written(REPORT).split("</section>")[:2])
def test_the_section_holds_nothing_that_gradio_would_run_as_a_template(section: str) -> None:
    assert "${" not in section
    assert "{{" not in section
    assert "`" not in section
