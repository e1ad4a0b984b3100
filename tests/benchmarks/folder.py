"""Captions per second of a folder, as the command line makes them, beside the encoder alone."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import torch

from captioner import DecodingOptions, ImageCaptioningModel
from captioner.cli.formats import JsonLines
from captioner.cli.photos import Answer, Listed, caption_batches
from tests.benchmarks.measuring import Setup, alternate, table

PHOTOS = 32
BATCHES, BEAMS = (1, 4, 16, 32), (1, 3, 5)
ENCODER = "encoder alone, {} together"
ROUNDS = 2
"""At most: each captions all photos for all batches and beams."""


def folder(setup: Setup) -> Iterator[str]:
    """Compare batch and beam sizes."""
    model, photos = setup.model, setup.some(PHOTOS)
    tensors = torch.stack([model.preprocess(photo) for photo in photos])

    @torch.inference_mode()
    def encode(_: object, size: int) -> None:
        for batch in tensors.split(size):
            model.regions(batch)

    runs: dict[str, Callable[[Sequence[Path]], object]] = {
        ENCODER.format(size): partial(encode, size=size) for size in BATCHES
    }
    for size in BATCHES:
        for beam in BEAMS:
            runs[f"{size} {beam}"] = partial(
                caption_folder, model, options=DecodingOptions(beam_size=beam), batch_size=size
            )
    times = alternate(runs, [photos], min(setup.rounds, ROUNDS), warm_up=False)
    rates = {name: PHOTOS / median(found) for name, found in times.items()}
    best = max(rates[ENCODER.format(size)] for size in BATCHES)

    def cell(name: str) -> str:
        return f"{100 * rates[name] / best:.0f} % ({rates[name]:.1f})"

    yield table(
        ("photos together", *(f"beam {beam}" for beam in BEAMS), "encoder alone"),
        (
            (size, *(cell(f"{size} {beam}") for beam in BEAMS), cell(ENCODER.format(size)))
            for size in BATCHES
        ),
    )
    yield (
        f"{PHOTOS} files to JSON Lines: share of the encoder's best rate, and captions per second. "
        "The encoder alone is given preprocessed photos.\n"
    )


def caption_folder(
    model: ImageCaptioningModel,
    photos: Sequence[Path],
    options: DecodingOptions | None = None,
    batch_size: int = 16,
) -> None:
    """Caption photos as the command line does."""
    form, listed = JsonLines(), [Listed(str(photo)) for photo in photos]
    for result in caption_batches(
        model, listed, options or DecodingOptions(), batch_size=batch_size
    ):
        assert isinstance(result, Answer), result
        form.write(result)
