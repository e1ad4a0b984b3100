"""What a model says of a few val photos, epoch by epoch, for TensorBoard."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from captioner.captions import Caption
from captioner.images import load_image
from captioner.visualization import attention_sheet


class Samples:
    """A few photos, always the same."""

    def __init__(self, names: Sequence[str], number: int, photos: Path | None) -> None:
        """Choose them, spread evenly over all.

        Args:
            names: of all photos.
            number: how many to choose, at most all.
            photos: folder to draw attention on them from; without it captions are text alone.

        Raises:
            FileNotFoundError, ValueError: a photo is missing or cannot be read.
        """
        number = min(number, len(names))
        chosen = [names[place * len(names) // number] for place in range(number)]
        self.photos = {
            name: None if photos is None else load_image(photos / name) for name in chosen
        }

    def write(self, writer: SummaryWriter, epoch: int, captions: Mapping[str, Caption]) -> None:
        """Note the captions of the chosen photos, out of all by name."""
        for name, photo in self.photos.items():
            tag = f"samples/{name}"
            writer.add_text(tag, str(captions[name]), epoch)
            if photo is not None:
                picture = draw(photo, captions[name])
                writer.add_image(f"{tag}/attention", picture, epoch, dataformats="HWC")


def draw(photo: Image.Image, caption: Caption) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A photo's attention sheet as HWC uint8, RGB."""
    canvas = FigureCanvasAgg(attention_sheet(photo, caption))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
