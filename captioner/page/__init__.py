"""The page: its components, its service in front of the model, its middleware and its texts.

Imported by app.py alone, so that the library needs no Gradio.
"""

from captioner.page.about import about_section
from captioner.page.components import CaptionViewer, PhotoInput, View
from captioner.page.examples import EXAMPLES, start_examples
from captioner.page.line import Line
from captioner.page.service import CaptionService
from captioner.page.texts import page_texts, read_texts
from captioner.page.visitor_files import VisitorFiles

__all__ = [
    "EXAMPLES",
    "CaptionService",
    "CaptionViewer",
    "Line",
    "PhotoInput",
    "View",
    "VisitorFiles",
    "about_section",
    "page_texts",
    "read_texts",
    "start_examples",
]
