"""The viewer: a photo, its caption, and where the model looked for each word.

One component of HTML, CSS and JavaScript, kept in files of those kinds beside this one. It gets
everything once, as small JSON and a JPEG; stepping through the words asks the server for nothing.
"""

from importlib.resources import files
from typing import Any, NamedTuple

import gradio as gr
from gradio.data_classes import FileData, GradioModel
from gradio.processing_utils import save_pil_to_cache
from PIL import Image

LONGEST_SIDE = 1024
"""Pixels. Larger photos are scaled down to this for the viewer."""


class View(NamedTuple):
    """What the viewer shows: a captioned photo, or a message, or nothing."""

    photo: Image.Image | None = None
    """Upright RGB."""
    caption: dict[str, Any] | None = None
    """As `Caption.to_json` gives it."""
    message: str = ""
    """Why there is no caption, for the visitor."""


class ViewerData(GradioModel):
    """A view as the browser gets it."""

    photo: FileData | None = None
    caption: dict[str, Any] | None = None
    message: str = ""


class CaptionViewer(gr.HTML):
    """Shows a caption word by word, with the attention of each word on the photo."""

    data_model = ViewerData

    def __init__(self, value: View | None = None, **settings: Any) -> None:
        """Make an empty viewer; settings are those of gr.HTML."""
        super().__init__(
            value,
            html_template=_asset("viewer.html"),
            css_template=_asset("viewer.css"),
            js_on_load=_asset("viewer.js"),
            apply_default_css=False,
            **settings,
        )

    # Gradio types gr.HTML's value as str, and lets a subclass with a data_model have its own.
    def preprocess(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, payload: ViewerData | None
    ) -> None:
        """Take nothing from the browser: the viewer is for looking only."""

    def postprocess(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, value: View | None
    ) -> ViewerData | None:
        """Turn a view into JSON, with its photo as a file in the cache."""
        if value is None:
            return None
        photo = None
        if value.photo is not None:
            photo = FileData(
                path=save_pil_to_cache(_for_screen(value.photo), self.GRADIO_CACHE, format="jpeg"),
                mime_type="image/jpeg",
            )
        return ViewerData(photo=photo, caption=value.caption, message=value.message)

    def api_info(self) -> dict[str, Any]:
        """Describe the value as JSON schema."""
        return ViewerData.model_json_schema()


def _for_screen(image: Image.Image) -> Image.Image:
    """Scale a photo down and leave out what the camera wrote beside its pixels, such as places."""
    image = image.copy()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    image.info = {}
    image.getexif().clear()
    return image


def _asset(name: str) -> str:
    return (files("captioner.ui") / name).read_text(encoding="utf-8")
