"""The viewer: a photo, its caption, and where the model looked for each word.

One component of HTML, CSS and JavaScript, kept in files of those kinds beside this one. It gets
everything of a photo once, as small JSON and a JPEG; stepping through the words and asking the
photo need nothing of the server. For other words it asks, with its event `ask`.
"""

import json
from importlib.resources import files
from typing import Any, NamedTuple

import gradio as gr
import matplotlib as mpl
from gradio.data_classes import FileData, GradioModel
from gradio.processing_utils import save_bytes_to_cache, save_pil_to_cache
from PIL import Image

from captioner.ui.texts import read_json
from captioner.visualization import SPOTLIGHT_STRENGTH

LONGEST_SIDE = 1024
"""Pixels. Larger photos are scaled down to this for the viewer."""
SCRIPTS = ("state", "texts", "drawing", "stepping", "asking", "telling", "taking", "viewer")
"""Files of JavaScript that are one program, in this order."""
COLOUR_MAPS = ("viridis", "magma")
ANCHORS = 33
"""Colours of a map that the browser gets; it mixes those between."""


class Waiting(NamedTuple):
    """A place in the line."""

    before: int
    """How many are before it."""
    seconds: int
    """An estimate of how long it takes, at least."""


class View(NamedTuple):
    """What the viewer shows: a captioned photo, a message, an answer, or nothing."""

    photo: Image.Image | None = None
    """Upright RGB."""
    of: str | None = None
    """The photo's path, as the photo input names it."""
    name: str = ""
    """The photo's file name, as the visitor knows it."""
    captions: list[dict[str, Any]] | None = None
    """As `Caption.to_json` gives them, best first."""
    message: str = ""
    """Why there is no caption, for the visitor."""
    waiting: Waiting | None = None
    """Why there is none yet."""
    answer: dict[str, Any] | None = None
    """As `Answers.answer` gives it, without an animation."""
    animation: bytes | None = None
    """A GIF."""


class ViewerData(GradioModel):
    """A view as the browser gets it."""

    photo: FileData | None = None
    of: str | None = None
    name: str = ""
    captions: list[dict[str, Any]] | None = None
    message: str = ""
    waiting: dict[str, int] | None = None
    answer: dict[str, Any] | None = None
    animation: FileData | None = None


class CaptionViewer(gr.HTML):
    """Shows a caption word by word, with the attention of each word on the photo."""

    data_model = ViewerData

    # No parameter may have a name that stands in quotes in the script, such as "settings": Gradio
    # would take it for an event, and copy the model with every page that it serves.
    def __init__(self, value: View | None = None, **kwargs: Any) -> None:
        """Make an empty viewer; kwargs are those of gr.HTML."""
        super().__init__(
            value,
            html_template=_asset("viewer.html"),
            css_template=_asset("viewer.css"),
            js_on_load=_script(),
            apply_default_css=False,
            **kwargs,
        )

    # Gradio types gr.HTML's value as str, and lets a subclass with a data_model have its own.
    def preprocess(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, payload: ViewerData | None
    ) -> None:
        """Take nothing from the browser: what it asks comes as an event."""

    def postprocess(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, value: View | None
    ) -> ViewerData | None:
        """Turn a view into JSON, with its pictures as files in the cache."""
        if value is None:
            return None
        photo = animation = None
        if value.photo is not None:
            shown = for_screen(value.photo)
            path = save_pil_to_cache(shown, self.GRADIO_CACHE, format="jpeg")
            photo = FileData(path=path, mime_type="image/jpeg")
        if value.animation is not None:
            path = save_bytes_to_cache(value.animation, "caption.gif", self.GRADIO_CACHE)
            animation = FileData(path=path, mime_type="image/gif")
        files = {"photo": photo, "animation": animation}
        waiting = value.waiting._asdict() if value.waiting else None
        return ViewerData(**{**value._asdict(), **files, "waiting": waiting})

    def api_info(self) -> dict[str, Any]:
        """Describe the value as JSON schema."""
        return ViewerData.model_json_schema()


def for_screen(image: Image.Image) -> Image.Image:
    """Scale a photo down and leave out what the camera wrote beside its pixels, such as places."""
    image = image.copy()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    image.info = {}
    image.getexif().clear()
    return image


def _script() -> str:
    """The program, with the texts and colours it needs as constants before it."""
    data = {
        "TEXTS": read_json("texts.json"),
        "MESSAGES": read_json("messages.json"),
        "COLOURS": {name: _colours(name) for name in COLOUR_MAPS},
        "SPOTLIGHT_STRENGTH": SPOTLIGHT_STRENGTH,
    }
    constants = [f"const {name} = {json.dumps(value)};" for name, value in data.items()]
    return "\n".join([*constants, *(_asset(f"{name}.js") for name in SCRIPTS)])


def _colours(name: str) -> list[list[int]]:
    levels = [index / (ANCHORS - 1) for index in range(ANCHORS)]
    return mpl.colormaps[name](levels, bytes=True)[:, :3].tolist()


def _asset(name: str) -> str:
    return (files("captioner.ui") / name).read_text(encoding="utf-8")
