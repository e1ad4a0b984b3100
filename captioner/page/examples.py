"""Example photos with the captions that the model gives them, in a file for browsers."""

import json
import logging
import shutil
import tempfile
import threading
from concurrent.futures import CancelledError
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from captioner.page.service import CaptionService

THUMBNAIL_SIZE = (192, 128)
"""Most pixels of a thumbnail, across and down."""

log = logging.getLogger(__name__)

_PHOTOS = Path(str(files("captioner.page") / "photos"))
EXAMPLES: dict[str, dict[str, str]] = {
    photo["id"]: {**photo, "path": str(_PHOTOS / f"{photo['id']}.jpg")}
    for photo in json.loads((_PHOTOS / "photos.json").read_text(encoding="utf-8"))
}
"""The photos by their ids, the one that the page opens with first.

Each has `path`, its file; `group`, "right" if the released model captions it more or less correctly
and "wrong" if not; and for its credit `author`, `licence` and `source`, an address. Their names are
among the page's texts.
"""


def start_examples(
    service: CaptionService, photos: dict[str, dict[str, str]], folder: Path
) -> Path:
    """Begin to caption the photos, beside what else there is to do before the page is served.

    They are captioned anew whenever the page is built, in some seconds: a cache on disk could be
    older than the checkpoint, this cannot.

    Args:
        photos: as EXAMPLES.
        folder: where copies of the photos are put for browsers.

    Returns:
        The file that there will be, with `Example` of `static/intake.js` for each photo.
    """
    folder = Path(tempfile.mkdtemp(dir=folder))  # of this start: a browser may keep what it read
    file = folder / "examples.json"

    def write() -> None:
        try:
            examples = [_example(service, photo, folder) for photo in photos.values()]
            unfinished = file.with_suffix(".part")
            text = json.dumps(examples, default=str, separators=(",", ":"))
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(file)
        except CancelledError:  # the server stops
            return
        except Exception:  # the page works without them
            if not service.is_closed:
                log.exception("the example photos could not be captioned")

    threading.Thread(target=write, name="examples", daemon=True).start()
    return file


def _example(service: CaptionService, photo: dict[str, str], folder: Path) -> dict[str, Any]:
    path = Path(photo["path"])
    copy, thumbnail = folder / path.name, folder / f"{path.stem}-small.jpg"
    shutil.copyfile(path, copy)
    view = service.view(str(copy))
    if view.photo is None or view.captions is None:
        raise ValueError(f"the example {path.name} has no caption: {view.error}")
    small = view.photo.copy()
    small.thumbnail(THUMBNAIL_SIZE, Image.Resampling.LANCZOS)
    small.save(thumbnail)
    shown = {name: value for name, value in photo.items() if name != "path"}
    return {**shown, "of": copy, "thumbnail": thumbnail, "captions": view.captions}
