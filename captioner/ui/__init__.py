"""What the page is made of: where a photo goes in, and where its caption is read word by word.

Imported by app.py alone, so that the library needs no Gradio.
"""

from captioner.ui.examples import example_buttons
from captioner.ui.photo_input import PhotoInput, read_photo
from captioner.ui.viewer import CaptionViewer, View

__all__ = ["CaptionViewer", "PhotoInput", "View", "example_buttons", "read_photo"]
