"""Example photos to choose from: thumbnails with names, as buttons, and captions made before."""

import base64
import html
import io
import json
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from captioner.page.components import for_screen
from captioner.page.service import CaptionService

THUMBNAIL_SIZE = (160, 120)
"""Most pixels of a thumbnail, across and down."""

# In the browser: a photo and its view, with the addresses that the server's files have there.
CHOOSE = """(index) => {
  const root = (window.gradio_config?.root ?? "").replace(/\\/$/, "");
  const file = (path) => ({
    path,
    url: root + "/gradio_api/file=" + encodeURI(path),
    orig_name: path.split("/").pop(),
    meta: {_type: "gradio.FileData"},
  });
  const {of, photo, ...view} = VIEWS[index];
  return [file(of), {...view, of, photo: file(photo), example: true}];
}"""


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


def example_views(
    service: CaptionService, photos: dict[str, Path], folder: Path
) -> list[dict[str, Any]]:
    """Caption the photos now, so that a click on one shows its caption at once.

    They are captioned anew whenever the page is built, in tenths of a second: a cache on disk could
    be older than the checkpoint, this cannot.

    Args:
        photos: files, by the name a visitor reads.
        folder: where copies of them are put for browsers.

    Returns:
        What the browser needs to show each photo: paths of these copies, and the photo's best
        caption.
    """
    views = []
    for path in photos.values():
        copy = folder / path.name
        shutil.copyfile(path, copy)
        view = service.view(str(copy))
        assert view is not None
        if view.photo is None or view.captions is None:
            raise ValueError(f"the example {path.name} has no caption: {view.error}")
        shown = folder / f"{path.stem}-shown.jpg"
        for_screen(view.photo).save(shown)
        best = view.captions[:1]
        views.append({"of": str(copy), "name": view.name, "photo": str(shown), "captions": best})
    return views


def choose_script(views: list[dict[str, Any]]) -> str:
    """Make the function by which a browser shows an example: its index to photo and view."""
    return CHOOSE.replace("VIEWS", json.dumps(views))


def _button(name: str, path: Path) -> str:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail(THUMBNAIL_SIZE)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt=""><span>{html.escape(name)}</span>'
