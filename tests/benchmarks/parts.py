"""The parts of a caption, each beside its floor: its multiply-adds at this machine's best rate."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from captioner import FeatureExtractor, Features, ImageCaptioningModel, load_image
from captioner.decoder import DecoderState
from captioner.images import READ_MIN_SIDE
from captioner.preprocessing import PreprocessConfig, to_tensor
from captioner.vocabulary import PAD_ID, SPECIALS, START_ID
from tests.benchmarks.captions import OPTIONS, PHOTOS, WORDS
from tests.benchmarks.measuring import Setup, alternate, milliseconds, ratio, relative, table

SIDE = 2048
"""Of the matrices whose product gives the machine's best rate."""
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
    matrix = torch.rand(SIDE, SIDE)
    floors: dict[str, Callable[[Photo], object]] = {
        PRODUCT: lambda _: matrix @ matrix,
        PILLOW: lambda photo: Image.open(photo.path).load(),
    }
    times = alternate(floors | _parts(model), photos, setup.rounds)
    rate = SIDE**3 / median(times[PRODUCT])  # multiply-adds a second
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
    decoder, regions = model.decoder, photo.features.regions.unsqueeze(0).clone()

    def predict(photos: int, steps: list[int]) -> float:
        """Of the decoder, for captions of so many tokens."""
        token_ids = torch.full((len(steps), max(steps)), PAD_ID)
        for row, count in enumerate(steps):
            token_ids[row, :count] = torch.tensor([START_ID, *[len(SPECIALS)] * (count - 1)])
        owners = torch.arange(len(steps)) % photos
        batch = regions.expand(photos, -1, -1)
        return _count(lambda: decoder.predict(batch, token_ids, owners))

    return {
        RESIZE: _resize_count(photo.image.size, model.config.preprocess),
        ENCODE: _count(lambda: model.regions(photo.tensor.unsqueeze(0))),
        **{
            name: predict(1, [WORDS + 1, *[WORDS] * (size - 1)])  # the first step has one row
            for name, size in SEARCHES.items()
        },
        DESCRIBE: predict(2 if model.training_photos else 1, [WORDS, WORDS]),
    }


def _count(run: Callable[[], object]) -> float:
    """The multiply-adds of convolutions and matrix products, two operations each."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2


def _resize_count(size: tuple[int, int], config: PreprocessConfig) -> float:
    """Of a bicubic filter that is as wide as the photo is larger, row by row, then column by it."""
    side = config.image_size
    wide, high = (2 * BICUBIC_SUPPORT * max(length / side, 1) for length in size)
    return 3 * side * (size[1] * wide + side * high)
