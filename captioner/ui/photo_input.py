"""Where a visitor gives a photo. Knows files and what to say of bad ones; knows no model."""

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData
from PIL import Image

from captioner.images import load_image


class PhotoInput(gr.Image):
    """Gradio's photo input, handing its file on unread.

    Gradio's own way decodes the file before any handler runs, and fails there with messages that
    show temporary paths. A handler reads the file with `read_photo`.
    """

    is_template = True  # Gradio's own front end, not a new one

    def preprocess(self, payload: ImageData | None) -> str | None:
        """Give the path of the file on the server, or None where there is no photo."""
        return payload.path if payload else None

    def example_payload(self) -> dict[str, Any]:
        """Name a file in the endpoint's description that is nobody's; Gradio's is a web address."""
        return {"path": "photo.jpg", "meta": {"_type": "gradio.FileData"}, "orig_name": "photo.jpg"}


def read_photo(path: str | None) -> Image.Image:
    """Read a visitor's photo as `load_image` does, with errors that are fit for the visitor.

    Args:
        path: what `PhotoInput` gives.

    Returns:
        Upright RGB.

    Raises:
        ValueError: there is no photo, or it is not one, is damaged, or is too small or too large.
            The message names no path of the server.
    """
    if not path:
        raise ValueError("There is no photo yet. Choose one, and it will be captioned.")
    try:
        return load_image(path)
    except FileNotFoundError as error:
        raise ValueError("The photo is no longer on the server. Choose it again.") from error
    except ValueError as error:
        message = str(error).replace(str(Path(path)), "This file").replace(path, "This file")
        raise ValueError(f"{message}.") from error
