"""The parts of a caption, each beside its floor: its multiply-adds at this machine's best rate."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from captioner import FeatureExtractor, Features, ImageCaptioningModel, load_image
from captioner.decoder import DecoderState
from captioner.images import READ_MIN_SIDE
from captioner.preprocessing import PreprocessConfig, to_tensor
from captioner.vocabulary import PAD_ID, SPECIALS, START_ID
from tests.benchmarks.captions import OPTIONS, PHOTOS, WORDS
from tests.benchmarks.measuring import (
    PRODUCT_COUNT,
    SIDE,
    Setup,
    alternate,
    count_multiply_adds,
    matrix_product,
    milliseconds,
    ratio,
    relative,
    table,
)

PRODUCT, PILLOW = "matrix product", "Pillow"
READ, RESIZE, ENCODE, DESCRIBE = "read", "resize", "encode", "evidence, maps, Caption (beam 3)"
SEARCHES = {"search, greedy": 1, "search, beam 3": 3, "search, beam 5": 5}
BATCH = 8
BICUBIC_SUPPORT = 2


class Photo(NamedTuple):
    """What the parts are given of a photo: what the part before has made."""

    path: Path
    image: Image.Image
    tensor: Tensor
    features: Features
    begun: DecoderState
    found: list[Any]


def parts(setup: Setup) -> Iterator[str]:
    """Time the parts and their floors in the same rounds."""
    model = setup.model
    photos = [_photo(model, path) for path in setup.some(PHOTOS)]
    floors: dict[str, Callable[[Photo], object]] = {
        PRODUCT: matrix_product(),
        PILLOW: lambda photo: Image.open(photo.path).load(),
    }
    times = alternate(floors | _parts(model), photos, setup.rounds)
    rate = PRODUCT_COUNT / median(times[PRODUCT])  # multiply-adds a second
    counts = multiply_adds(model, photos[0])
    rows = []
    for name in _parts(model):
        floor = [counts[name] / rate] * setup.rounds if name in counts else times[PILLOW]
        count = f"{counts[name] / 1e6:.1f}" if name in counts else ""
        share = f"{ratio(times[name], floor):.1f}"
        rows.append((name, share, milliseconds(times[name]), milliseconds(floor), count))
    yield table(("part", "floor = 1", "ms", "floor, ms", "million multiply-adds"), rows)
    yield (
        f"The floor is the part's convolutions and matrix products at {rate / 1e9:.1f} billion "
        f"multiply-adds a second, which float32 matrices of {SIDE} x {SIDE} reach here in the same "
        f"rounds; that of reading is Pillow's decoder alone. Searches find {WORDS} words.\n"
    )
    yield relative("encoder", alternate(_encoders(model), photos, setup.rounds), ENCODE)


def _photo(model: ImageCaptioningModel, path: Path) -> Photo:
    image = load_image(path, READ_MIN_SIDE)
    tensor = model.preprocess(image)
    (features,) = model.encode_tensors([tensor])
    found = _search(model, features, 3)
    with torch.inference_mode():
        return Photo(path, image, tensor, features, model._begin([features]), found)


@torch.inference_mode()
def _search(model: ImageCaptioningModel, features: Features, beam_size: int) -> list[Any]:
    return model._search(model._begin([features]), replace(OPTIONS, beam_size=beam_size), [])


def _parts(model: ImageCaptioningModel) -> dict[str, Callable[[Photo], object]]:
    def search(photo: Photo, beam_size: int) -> object:
        return _search(model, photo.features, beam_size)

    @torch.inference_mode()
    def describe(photo: Photo) -> object:
        return model._captions([photo.found[0][:1]], [photo.features], photo.begun)

    return {
        READ: lambda photo: load_image(photo.path, READ_MIN_SIDE),
        RESIZE: lambda photo: to_tensor(photo.image, model.config.preprocess),
        ENCODE: lambda photo: model.encode_tensors([photo.tensor]),
        **{name: partial(search, beam_size=size) for name, size in SEARCHES.items()},
        DESCRIBE: describe,
    }


def _encoders(model: ImageCaptioningModel) -> dict[str, Callable[[Photo], object]]:
    resnet = FeatureExtractor("resnet50", "random")

    @torch.inference_mode()
    def run_resnet(photo: Photo) -> object:
        return resnet(photo.tensor.unsqueeze(0))

    return {
        ENCODE: lambda photo: model.encode_tensors([photo.tensor]),
        f"{BATCH} photos, together": lambda photo: model.encode_tensors([photo.tensor] * BATCH),
        f"{BATCH} photos, one by one": lambda photo: [
            model.encode_tensors([photo.tensor]) for _ in range(BATCH)
        ],
        "resnet50": run_resnet,
    }


def multiply_adds(model: ImageCaptioningModel, photo: Photo) -> dict[str, float]:
    """Of each part that is made of multiply-adds."""
    regions = photo.features.regions
    return {
        RESIZE: _resize_count(photo.image.size, model.config.preprocess),
        ENCODE: count_multiply_adds(lambda: model.regions(photo.tensor.unsqueeze(0))),
        **{
            name: search_multiply_adds(model, regions, size, WORDS)
            for name, size in SEARCHES.items()
        },
        DESCRIBE: evidence_multiply_adds(model, regions, WORDS),
    }


def search_multiply_adds(
    model: ImageCaptioningModel, regions: Tensor, beam_size: int, words: int
) -> float:
    """Of a search for so many words, given the regions (P, D) of a photo."""
    steps = [words + 1, *[words] * (beam_size - 1)]  # the first step has one row
    return _decoder_multiply_adds(model, regions, 1, steps)


def evidence_multiply_adds(model: ImageCaptioningModel, regions: Tensor, words: int) -> float:
    """Of the evidence for a caption, with and without the photo."""
    return _decoder_multiply_adds(model, regions, 2 if model.training_photos else 1, [words, words])


def _decoder_multiply_adds(
    model: ImageCaptioningModel, regions: Tensor, photos: int, steps: Sequence[int]
) -> float:
    """Of captions of so many tokens, each of one of so many photos in turn."""
    token_ids = torch.full((len(steps), max(steps)), PAD_ID)
    for row, count in enumerate(steps):
        token_ids[row, :count] = torch.tensor([START_ID, *[len(SPECIALS)] * (count - 1)])
    batch = regions.clone().expand(photos, -1, -1)
    owners = torch.arange(len(steps)) % photos
    return count_multiply_adds(lambda: model.decoder.predict(batch, token_ids, owners))


def _resize_count(size: tuple[int, int], config: PreprocessConfig) -> float:
    """Of a bicubic filter that is as wide as the photo is larger, row by row, then column by it."""
    side = config.image_size
    wide, high = (2 * BICUBIC_SUPPORT * max(length / side, 1) for length in size)
    return 3 * side * (size[1] * wide + side * high)
