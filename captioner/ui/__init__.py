"""What the page is made of: where a photo goes in, and where its caption is read word by word.

Imported by app.py alone, so that the library needs no Gradio.
"""

from captioner.ui.about import about_section
from captioner.ui.answers import Answers
from captioner.ui.examples import choose_script, example_buttons, example_views
from captioner.ui.line import Line
from captioner.ui.photo_input import PhotoInput
from captioner.ui.texts import page_texts, read_json
from captioner.ui.viewer import CaptionViewer, View
from captioner.ui.visitor_files import VisitorFiles

__all__ = [
    "Answers",
    "CaptionViewer",
    "Line",
    "PhotoInput",
    "View",
    "VisitorFiles",
    "about_section",
    "choose_script",
    "example_buttons",
    "example_views",
    "page_texts",
    "read_json",
]
