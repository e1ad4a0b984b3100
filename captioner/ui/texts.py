"""The page's texts, in English and French: files of JSON beside this module.

A browser chooses by its own language. `texts.json` holds what the page says of itself;
`messages.json` tells again in other languages what the library and the handlers say in English.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import gradio as gr

LANGUAGES = ("en", "fr")


@cache
def read_json(name: str) -> dict[str, Any]:
    """Read a file of texts."""
    return json.loads((files("captioner.ui") / name).read_text(encoding="utf-8"))


def page_texts() -> gr.I18n:
    """Make what Gradio needs to show its own parts of the page in the browser's language."""
    texts: dict[str, dict[str, str]] = {}
    for language, table in read_json("texts.json").items():
        own = {key: text for key, text in table.items() if key.startswith("page_")}
        own["page_heading"] = f"<h1>{own['page_title']}</h1><p>{own['page_lead']}</p>"
        own["page_bottom"] = f"<p>{own['page_footnote']}</p>"
        texts[language] = own
    return gr.I18n(**texts)
