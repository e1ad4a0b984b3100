"""Pictures of captions in folders: overlays, attention sheets and animations.

Knows captions and files; knows no model.
"""

import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from captioner.captions import Caption
from captioner.cli.photos import Listed
from captioner.images import load_image
from captioner.visualization import animate, attention_sheet, overlay, save_animation

SHEET_FORMATS = ("png", "pdf", "svg")
SHEET_PHOTO_SIDE = 640
"""The photo is no larger than this, in pixels, on an attention sheet."""
SHEET_DOTS_PER_INCH = 150
OVERLAY_QUALITY = 90
MAX_STEM_BYTES = 120
MAX_WORD_LETTERS = 30


@dataclass
class Pictures:
    """Which pictures to write; each photo's have a name of their own."""

    overlays: Path | None = None
    """Folder for one overlay per word, and a sheet with all of them."""
    sheets: Path | None = None
    """Folder for the sheets alone."""
    gifs: Path | None = None
    """Folder for an animation that steps through the words."""
    sheet_format: str = "png"
    _counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _taken: set[str] = field(default_factory=set)

    @property
    def folders(self) -> list[Path]:
        """Those that are used."""
        return [folder for folder in (self.overlays, self.sheets, self.gifs) if folder]

    def make_folders(self) -> None:
        """Make the folders.

        Raises:
            OSError: one cannot be made.
        """
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)

    def name(self, photos: Iterable[Listed | None]) -> Iterator[Listed | None]:
        """Give each photo a name that no other photo of the run has, if pictures are written.

        It depends on the photos listed before it alone, not on whether they are captioned: a
        resumed run gives the same names.
        """
        for photo in photos:
            if photo is not None and self.folders:
                yield photo._replace(picture_name=self._new_name(photo.path))
            else:
                yield photo

    def write(self, photo: Listed, caption: Caption) -> None:
        """Write all pictures of one photo.

        Raises:
            OSError, ValueError: a file cannot be written, or the photo no longer be read.
        """
        if not self.folders:
            return
        image, name = load_image(photo.path), photo.picture_name
        if self.overlays:
            for number, word in enumerate(caption.words, start=1):
                path = self.overlays / f"{name}-{number:02d}-{_safe_word(word.text)}.jpg"
                overlay(image, word.alpha).save(path, quality=OVERLAY_QUALITY)
        if self.gifs:
            save_animation(animate(image, caption), self.gifs / f"{name}-words.gif")
        sheets = ((self.overlays, "-00-sheet"), (self.sheets, "-sheet"))
        for folder, ending in sheets:
            if folder:
                self._write_sheet(image, caption, folder / f"{name}{ending}.{self.sheet_format}")

    def _write_sheet(self, image: Image.Image, caption: Caption, path: Path) -> None:
        image.thumbnail((SHEET_PHOTO_SIDE, SHEET_PHOTO_SIDE), Image.Resampling.LANCZOS)
        sheet = attention_sheet(image, caption)
        with warnings.catch_warnings():  # of characters that the font lacks, drawn as boxes
            warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
            sheet.savefig(path, dpi=SHEET_DOTS_PER_INCH)

    def _new_name(self, photo: str) -> str:
        stem = os.fsencode(Path(photo).stem)[:MAX_STEM_BYTES].decode(errors="ignore").lstrip(".")
        stem = stem or "photo"
        name = stem
        while name.casefold() in self._taken:  # some file systems ignore case
            self._counts[stem.casefold()] += 1
            name = f"{stem}-{self._counts[stem.casefold()] + 1}"
        self._taken.add(name.casefold())
        return name


def _safe_word(word: str) -> str:
    """A word as part of a file name: letters, digits and `_`, not `-`, which separates parts."""
    return re.sub(r"\W+", "_", word)[:MAX_WORD_LETTERS]
