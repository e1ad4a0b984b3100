"""The page's texts and its section about the model, without a browser."""

import json
import re
from importlib.resources import files
from pathlib import Path

import gradio as gr
import pytest

import app
from captioner.ui import about_section, page_texts, read_json
from tests.serving import BAD_FILES, MadeUpModel, answering, write_bad_file

SOURCES = [
    part.read_text(encoding="utf-8")
    for folder in (Path(str(files("captioner.ui"))), Path(app.__file__).parent)
    for part in folder.iterdir()
    if part.suffix in (".html", ".js", ".py")
]
REPORT = Path(app.__file__).parent / "checkpoints" / app.REPORT


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def test_every_text_is_there_in_each_language_with_the_same_gaps_to_fill() -> None:
    texts = read_json("texts.json")
    assert texts["en"].keys() == texts["fr"].keys()
    for key, text in texts["en"].items():
        assert placeholders(text) == placeholders(texts["fr"][key]), key


def test_every_text_is_used() -> None:
    made = r"place_(upper|middle|lower)_(left|middle|right)|about_\w+|agree_\w+|page_\w+"
    unused = [
        key
        for key in read_json("texts.json")["en"]
        if not re.fullmatch(made, key) and not any(f'"{key}"' in source for source in SOURCES)
    ]
    assert unused == []


@pytest.mark.parametrize(("kind", "reason"), BAD_FILES.items())
def test_what_is_wrong_with_a_file_has_a_french_message(
    tmp_path: Path, kind: str, reason: str
) -> None:
    with answering(MadeUpModel()) as answers:
        view = answers.view(str(write_bad_file(tmp_path, kind)))
    assert view is not None
    assert reason in view.message
    patterns = [pattern for pattern, _ in read_json("messages.json")["fr"]]
    assert any(re.search(pattern, view.message) for pattern in patterns), view.message


def test_gradio_gets_the_pages_own_texts_and_no_more() -> None:
    tables = page_texts().translations_dict
    assert tables.keys() == {"en", "fr"}
    assert all(key.startswith("page_") for table in tables.values() for key in table)
    assert tables["fr"]["page_photo"] == "Photo"


def written(report: Path) -> str:
    with gr.Blocks(analytics_enabled=False):
        return str(about_section(report, (5, 7)).html_template)


def test_the_section_about_the_model_tells_every_score_of_the_report(tmp_path: Path) -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    report["scores"]["3"]["CIDEr-D"]["value"] = 77.77
    report["attention"]["3"]["pointing"]["value"] = 0.123
    report["settings"]["photos"] = 4321
    (tmp_path / "val.json").write_text(json.dumps(report), encoding="utf-8")
    html = written(tmp_path / "val.json")
    assert html.count("77.8") == 2
    assert html.count("12%") == 2
    assert html.count("4321 photos") == 2
    assert "5 \u00d7 7" in html
    assert html.count("<svg") == 2


def test_the_section_says_when_nothing_was_measured(tmp_path: Path) -> None:
    html = written(tmp_path / "val.json")
    assert "No measured scores come with this checkpoint." in html
    assert "CIDEr" not in html


def test_scores_without_attention_are_told(tmp_path: Path) -> None:
    report = json.loads(REPORT.read_text(encoding="utf-8"))
    del report["attention"]
    (tmp_path / "val.json").write_text(json.dumps(report), encoding="utf-8")
    assert "CIDEr-D" in written(tmp_path / "val.json")
    assert "blindly" not in written(tmp_path / "val.json")


@pytest.mark.parametrize("section", written(REPORT).split("</section>")[:2])
def test_the_section_holds_nothing_that_gradio_would_run_as_a_template(section: str) -> None:
    assert "${" not in section
    assert "{{" not in section
    assert "`" not in section
