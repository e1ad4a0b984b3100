"""Captions per second of a folder, as the command line makes them, beside the encoder alone."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, median

import torch

from captioner import DecodingOptions, ImageCaptioningModel
from captioner.batches import BATCH_SIZE
from captioner.cli.formats import JsonLines
from captioner.cli.photos import Answer, Listed, caption_batches
from tests.benchmarks.measuring import PRODUCT_COUNT, Setup, alternate, matrix_product, table
from tests.benchmarks.parts import evidence_multiply_adds, search_multiply_adds

PHOTOS = 32
BATCHES, BEAMS = (1, 4, 16, 32), (1, 3, 5)
ENCODER, PRODUCT = "encoder alone, {} together", "matrix product"
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
    runs[PRODUCT] = matrix_product()
    times = alternate(runs, [photos], min(setup.rounds, ROUNDS), warm_up=False)
    rates = {name: PHOTOS / median(found) for name, found in times.items()}
    best = max(rates[ENCODER.format(size)] for size in BATCHES)

    def cell(name: str) -> str:
        return f"{100 * rates[name] / best:.0f} % ({rates[name]:.1f})"

    floors = _floors(model, photos, PRODUCT_COUNT / median(times[PRODUCT]))
    yield table(
        ("photos together", *(f"beam {beam}" for beam in BEAMS), "encoder alone"),
        (
            *(
                (size, *(cell(f"{size} {beam}") for beam in BEAMS), cell(ENCODER.format(size)))
                for size in BATCHES
            ),
            ("ceiling", *(f"{100 / (1 + best * floor):.0f} %" for floor in floors), ""),
        ),
    )
    yield (
        f"{PHOTOS} files to JSON Lines: share of the encoder's best rate, and captions per second. "
        "The encoder alone is given preprocessed photos. The ceiling is the share that would be "
        "left to the encoder if all else were the decoder's multiply-adds, at the best rate that "
        "float32 matrices reach here.\n"
    )


def _floors(model: ImageCaptioningModel, photos: Sequence[Path], rate: float) -> list[float]:
    """Seconds that a photo's decoding takes at least, by beam size.

    Args:
        rate: multiply-adds a second.
    """
    encoded = model.encode_batch(photos)
    regions = encoded[0].regions
    floors: list[float] = []
    for beam in BEAMS:
        captions = model.generate_captions(encoded, beam_size=beam)
        words = round(mean(len(caption.words) for caption in captions))
        count = search_multiply_adds(model, regions, beam, words)
        floors.append((count + evidence_multiply_adds(model, regions, words)) / rate)
    return floors


def caption_folder(
    model: ImageCaptioningModel,
    photos: Sequence[Path],
    options: DecodingOptions | None = None,
    batch_size: int = BATCH_SIZE,
) -> None:
    """Caption photos as the command line does."""
    form, listed = JsonLines(), [Listed(str(photo)) for photo in photos]
    for result in caption_batches(
        model, listed, options or DecodingOptions(), batch_size=batch_size
    ):
        assert isinstance(result, Answer), result
        form.write(result)
