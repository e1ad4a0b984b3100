"""Example photos to choose from: thumbnails with names, as buttons."""

import base64
import html
import io
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

THUMBNAIL_SIZE = (160, 120)
"""Most pixels of a thumbnail, across and down."""


def example_buttons(photos: dict[str, Path], **settings: Any) -> gr.Dataset:
    """Make a button for each photo. Its click gives a handler the photo's index.

    Gradio's own example thumbnails have no name that a screen reader could say.

    Args:
        photos: files, by the name a visitor reads.
        **settings: more of gr.Dataset's.
    """
    return gr.Dataset(
        components=[gr.HTML(visible=False)],
        samples=[[_button(name, path)] for name, path in photos.items()],
        type="index",
        layout="gallery",
        **settings,
    )


def _button(name: str, path: Path) -> str:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail(THUMBNAIL_SIZE)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt=""><span>{html.escape(name)}</span>'
