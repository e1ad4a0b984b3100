"""The page's components: where a photo goes in, and where its caption is read word by word.

The viewer is a custom element, `static/viewer.js`, which knows no Gradio; `static/gradio.js` sends
its requests and hands it the answers, which the component here makes. It gets everything of a photo
once, as small JSON and a JPEG: stepping through the words needs nothing of the server.
"""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr
from gradio.data_classes import FileData, GradioModel, ImageData
from gradio.processing_utils import save_bytes_to_cache, save_pil_to_cache
from PIL import Image

from captioner.page.own_files import OWN_ROUTE
from captioner.page.uploads import MAX_UPLOAD_BYTES

LONGEST_SIDE = 1024
"""Pixels. Larger photos are scaled down to this for the viewer."""
COLOUR_MAPS = ("viridis",)

ELEMENT = "<caption-viewer></caption-viewer>"
CONNECT = """
const root = (window.gradio_config.root ?? "").replace(/\\/$/, "");
import(root + MODULE).then(({ connect }) => {
  const viewer = element.querySelector("caption-viewer");
  connect(viewer, root, "request", { maxBytes: MAX_BYTES, examples: EXAMPLES });
});
""".replace("MODULE", json.dumps(f"{OWN_ROUTE}static/gradio.js")).replace(
    "MAX_BYTES", json.dumps(MAX_UPLOAD_BYTES)
)
"""What Gradio runs when it has put the element on the page."""


class Waiting(NamedTuple):
    """A place in the line."""

    before: int
    """How many are before it."""
    seconds: int
    """An estimate of how long it takes, at least."""


class View(NamedTuple):
    """What the viewer shows: a captioned photo, an error, an answer, or nothing."""

    photo: Image.Image | None = None
    """Upright RGB."""
    of: str | None = None
    """The photo's path, as the photo input names it."""
    name: str = ""
    """The photo's file name, as the visitor knows it."""
    captions: list[dict[str, Any]] | None = None
    """As `Caption.to_json` gives them, best first."""
    error: dict[str, Any] | None = None
    """Why there is no caption, as `error_data` gives it."""
    waiting: Waiting | None = None
    """Why there is none yet."""
    answer: dict[str, Any] | None = None
    """As `CaptionService.answers` gives it, without an animation."""
    animation: bytes | None = None
    """A GIF."""


class ViewerData(GradioModel):
    """A view as the browser gets it."""

    photo: FileData | None = None
    of: str | None = None
    name: str = ""
    captions: list[dict[str, Any]] | None = None
    error: dict[str, Any] | None = None
    waiting: dict[str, int] | None = None
    answer: dict[str, Any] | None = None
    animation: FileData | None = None


class CaptionViewer(gr.HTML):
    """Shows a caption word by word, with the attention of each word on the photo."""

    data_model = ViewerData

    # No parameter may have a name that stands in quotes in CONNECT: Gradio would take it for an
    # event, and copy the model with every page that it serves. "value" is Gradio's own.
    def __init__(
        self, value: View | None = None, examples: Path | None = None, **kwargs: Any
    ) -> None:
        """Make an empty viewer.

        Args:
            examples: a file of `start_examples`, where browsers may read it.
            **kwargs: those of gr.HTML.
        """
        super().__init__(
            value,
            html_template=ELEMENT,
            js_on_load=CONNECT.replace("EXAMPLES", json.dumps(str(examples or ""))),
            apply_default_css=False,
            **kwargs,
        )

    # Gradio types gr.HTML's value as str, and lets a subclass with a data_model have its own.
    def preprocess(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, payload: ViewerData | None
    ) -> None:
        """Take nothing from the browser: its requests come as events."""

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
        return copy.deepcopy(_schema())


@cache
def _schema() -> dict[str, Any]:
    """Made once: Gradio wants it several times for each visitor, and it takes 3 ms."""
    return ViewerData.model_json_schema()


def for_screen(image: Image.Image) -> Image.Image:
    """Scale a photo down and leave out what the camera wrote beside its pixels, such as places."""
    image = image.copy()
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    image.info = {}
    image.getexif().clear()
    return image


class PhotoInput(gr.Image):
    """Gradio's photo input, handing its file on unread and unchecked.

    Gradio's own way decodes the file before any handler runs, and fails there with messages that
    show temporary paths. The path comes from the request as it is: `VisitorFiles.read` checks it.
    """

    is_template = True  # Gradio's own front end, not a new one

    def preprocess(self, payload: ImageData | None) -> str | None:
        """Give the path that the request names, or None where there is no photo."""
        return payload.path if payload else None

    def example_payload(self) -> dict[str, Any]:
        """Name a file in the endpoint's description that is nobody's; Gradio's is a web address."""
        return {"path": "photo.jpg", "meta": {"_type": "gradio.FileData"}, "orig_name": "photo.jpg"}
