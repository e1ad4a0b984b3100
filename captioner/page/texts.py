"""The page's texts, in English and French: one file of JSON for each language, in `locales`.

A browser chooses by its own language. What a visitor reads of an error is under `errors`, by its
code.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import gradio as gr

LANGUAGES = ("en", "fr")


@cache
def read_texts(language: str) -> dict[str, Any]:
    """Read the texts of a language, by key."""
    file = files("captioner.page") / "locales" / f"{language}.json"
    return json.loads(file.read_text(encoding="utf-8"))


def page_texts() -> gr.I18n:
    """Make what Gradio needs to show its own parts of the page in the browser's language.

    Gradio's own words are in French by themselves, such as those of its loader, except for messages
    that its scripts hold in English alone: "Connection Lost", "Connection errored out". They belong
    to calls of its front end, which the page does not make; see `static/gradio.js`.
    """
    texts: dict[str, dict[str, str]] = {}
    for language in LANGUAGES:
        own = {k: text for k, text in read_texts(language).items() if k.startswith("page_")}
        own["page_heading"] = f"<h1>{own['page_title']}</h1><p>{own['page_lead']}</p>"
        own["page_bottom"] = f"<p>{own['page_footnote']}</p>"
        texts[language] = own
    return gr.I18n(**texts)
