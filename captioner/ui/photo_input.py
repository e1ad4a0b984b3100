"""Where a visitor gives a photo. Reads none."""

from typing import Any

import gradio as gr
from gradio.data_classes import ImageData


class PhotoInput(gr.Image):
    """Gradio's photo input, handing its file on unread and unchecked.

    Gradio's own way decodes the file before any handler runs, and fails there with messages that
    show temporary paths. The path is the request's word: `VisitorFiles.read` says what it is worth.
    """

    is_template = True  # Gradio's own front end, not a new one

    def preprocess(self, payload: ImageData | None) -> str | None:
        """Give the path that the request names, or None where there is no photo."""
        return payload.path if payload else None

    def example_payload(self) -> dict[str, Any]:
        """Name a file in the endpoint's description that is nobody's; Gradio's is a web address."""
        return {"path": "photo.jpg", "meta": {"_type": "gradio.FileData"}, "orig_name": "photo.jpg"}
