"""Validation after each epoch: scores, the best checkpoint, and sample captions in TensorBoard."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from captioner.captions import Caption
from captioner.checkpoint import save_model
from captioner.images import load_image
from captioner.model import ImageCaptioningModel
from captioner.options import DecodingOptions
from captioner.visualization import attention_sheet
from train.batches import Flickr30kDataset, build_dataset, build_loader
from train.config import TrainingConfig
from train.data import CaptionedPhoto
from train.findings import caption_photos
from train.metrics import Scorer
from train.objective import Objective, count
from train.optim import TrainingState
from train.runs import record_epoch
from train.sets import load_sets

BEST_FOLDER = "best"
KEPT_SCORE = "CIDEr-D"
"""The val score that decides which epoch is kept; of several data sets, its mean over them."""


class Validator:
    """Validates the model of each epoch, keeps the best, and records all; in one process only."""

    def __init__(
        self, config: TrainingConfig, run: Path, model: ImageCaptioningModel, next_epoch: int
    ) -> None:
        sets = load_sets(config, "val", config.limit)
        self.config, self.run = config, run
        self.sets = {
            name: (
                build_dataset(config, photos, model, training=False),
                Scorer({photo.name: photo.captions for photo in photos}),
            )
            for name, photos in sets.items()
        }
        self.samples = Samples(
            [photo for photos in sets.values() for photo in photos], config.samples
        )
        self.writer = SummaryWriter(str(run / "tensorboard"), purge_step=next_epoch)

    def record(
        self,
        state: TrainingState,
        history: list[dict[str, Any]],
        metrics: dict[str, Any],
        started: float,
    ) -> None:
        """Add an epoch to the history and to the run's folder.

        Args:
            metrics: of its training.
            started: its start, by `time.monotonic`.
        """
        scores, captions = self._score(state.model_to_validate)
        metrics = {**metrics, **scores, "seconds": round(time.monotonic() - started, 1)}
        best = max((row[KEPT_SCORE] for row in history), default=-1.0)
        if metrics[KEPT_SCORE] > best:
            save_model(state.model_to_validate, self.run / BEST_FOLDER)
        history.append(metrics)
        self.samples.write(self.writer, metrics["epoch"], captions)
        record_epoch(self.run, self.writer, history, state)

    def _score(self, model: ImageCaptioningModel) -> tuple[dict[str, float], dict[str, Caption]]:
        """The scores of each data set, under its name if there are several, and all captions."""
        found: dict[str, dict[str, float]] = {}
        captions: dict[str, Caption] = {}
        for name, (val_set, scorer) in self.sets.items():
            found[name], said = validate(self.config, model, val_set, scorer)
            captions |= said
        if len(found) == 1:
            return next(iter(found.values())), captions
        scores = {
            f"{name}/{score}": value for name in found for score, value in found[name].items()
        }
        mean = sum(part[KEPT_SCORE] for part in found.values()) / len(found)
        return {**scores, KEPT_SCORE: mean}, captions


def validate(
    config: TrainingConfig,
    model: ImageCaptioningModel,
    dataset: Flickr30kDataset,
    scorer: Scorer,
) -> tuple[dict[str, float], dict[str, Caption]]:
    """Compute losses and scores on the val photos.

    Returns:
        The mean losses per word, the scores of the model's own captions, and how many different
        words they use; and these captions, by photo name.
    """
    model.eval()
    objective, stages_left = Objective(config, model), dataset.source.stages_left
    totals, weights = torch.zeros(2, dtype=torch.double), torch.zeros(2, dtype=torch.double)
    with torch.inference_mode():
        for batch in build_loader(config, dataset):
            losses = objective(batch, stages_left)
            counts = count(batch.token_ids, batch.coverage)
            over = torch.stack([counts.words, counts.boxed]).double()
            totals += over * torch.stack([losses.nll, losses.box]).cpu().double()
            weights += over
    options = DecodingOptions(beam_size=config.val_beam_size, max_length=config.max_length)
    names = [photo.name for photo in dataset.photos]
    (captions,) = caption_photos(model, names, dataset.source, options)
    texts = {name: str(caption) for name, caption in captions.items()}
    loss, box = (totals / weights.clamp(min=1)).tolist()
    distinct = len({word for text in texts.values() for word in text.split()})
    scores = {"val_loss": loss, "val_box": box, "distinct_words": distinct, **scorer.score(texts)}
    return scores, captions


class Samples:
    """Photos whose captions TensorBoard shows, the same in every epoch."""

    def __init__(self, photos: Sequence[CaptionedPhoto], number: int) -> None:
        """Choose photos, spread evenly over all.

        Args:
            photos: all of them; attention is drawn on those that have a file, and of the others
                captions are text alone.
            number: how many to choose, at most all.

        Raises:
            FileNotFoundError, ValueError: a photo is missing or cannot be read.
        """
        number = min(number, len(photos))
        chosen = [photos[place * len(photos) // number] for place in range(number)]
        self.photos = {
            photo.name: None if photo.path is None else load_image(photo.path) for photo in chosen
        }

    def write(self, writer: SummaryWriter, epoch: int, captions: Mapping[str, Caption]) -> None:
        """Write the captions of the chosen photos, given those of all by name."""
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
