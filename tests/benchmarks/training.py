"""Captions per second of an epoch of `train fit`, as the recipe has it, and of a textbook loop."""

import random
from collections.abc import Callable, Iterator
from statistics import median

import torch

from captioner import Vocabulary
from tests.benchmarks.measuring import (
    PRODUCT_COUNT,
    Setup,
    alternate,
    count_multiply_adds,
    matrix_product,
    ratio,
    table,
)
from tests.benchmarks.textbook import Textbook
from train.batches import build_dataset, build_loader, steps_per_epoch
from train.config import FitConfig
from train.data import photo_paths
from train.features import encode_photos, list_views
from train.fit import build_model, train_epoch
from train.objective import Objective
from train.optim import TrainingState
from train.runs import join_processes
from train.sets import load_split

PHOTOS, CAPTIONS = 16, 5
"""How many photos, and captions of each."""
ROUNDS = 3
"""At most."""
VOCABULARY = [f"word{number}" for number in range(5000)]
STAGES_LEFT = 2
"""As `train prepare` leaves them by default."""
TEXTBOOK, CACHED, FIT = "textbook loop", "the same on cached features", "train fit"
FLOORS = {torch.float32: "its floor in float32", torch.bfloat16: "its floor in bfloat16"}


def compare_epochs(setup: Setup) -> Iterator[str]:
    """Compare epochs over the same photos and captions."""
    config = _write_data(setup)
    epochs = _epochs(config)
    products = {name: matrix_product(dtype) for dtype, name in FLOORS.items()}
    times = alternate(epochs | products, [None], min(setup.rounds, ROUNDS))
    products_of_fit = count_multiply_adds(lambda: epochs[FIT](None)) / PRODUCT_COUNT
    for name in products:
        times[name] = [products_of_fit * seconds for seconds in times[name]]
    captions = PHOTOS * CAPTIONS
    yield table(
        ("training", f"{TEXTBOOK} = 1", "captions per second"),
        (
            (name, f"{ratio(times[TEXTBOOK], own):.1f}", f"{captions / median(own):.1f}")
            for name, own in times.items()
        ),
    )
    yield (
        f"An epoch of {PHOTOS} photos with {CAPTIONS} captions of about 11 words, "
        f"{config.batch_photos * CAPTIONS} captions a batch, {len(VOCABULARY)} words. The textbook "
        "loop reads and encodes a photo for each of its captions, in float32. `train fit` has the "
        "flags of the recipe's first run: cached features with two stages of the encoder left, "
        "bfloat16, each photo once with all its captions; its floor is its multiply-adds at the "
        "best rate that matrices reach here.\n"
    )


def _write_data(setup: Setup) -> FitConfig:
    """Make a data set with captions of random words, about as long as Flickr's."""
    folder, chance = setup.scratch, random.Random(0)
    photos = folder / "photos"
    photos.mkdir()
    lines = ["image,caption"]
    for number, path in enumerate(setup.some(PHOTOS)):
        (photos / f"{number}.jpg").symlink_to(path.absolute())
        for _ in range(CAPTIONS):
            length = max(round(chance.gammavariate(8, 1.36)), 4)  # 10.9 on average
            lines.append(f"{number}.jpg,{' '.join(chance.choices(VOCABULARY, k=length))}")
    captions = folder / "captions.csv"
    captions.write_text("\n".join(lines))
    for split, names in (("train", range(PHOTOS)), ("val", ())):
        (folder / f"{split}.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    return FitConfig(
        captions=(captions,),
        splits=(folder,),
        photos=(photos,),
        features=folder / "features",
        name="benchmark",
        encoder_weights="random",
        correct_spelling=False,
        autocast=True,
    )


def _epochs(config: FitConfig) -> dict[str, Callable[[None], object]]:
    """What runs an epoch, by each way of training."""
    processes, config = join_processes(config)
    photos = load_split(config, "train")
    model = build_model(config, Vocabulary(VOCABULARY))
    preprocess, paths = model.config.preprocess, photo_paths(photos)
    views, cache = [*list_views([*paths], 1)], config.features
    assert cache is not None
    encode_photos(paths, views, model.encoder, preprocess, cache, stages_left=STAGES_LEFT)
    dataset = build_dataset(config, photos, model, True, config.group_captions)
    state = TrainingState.build(config, model, steps_per_epoch(config, dataset, 1))
    objective = Objective(config, model)

    def fit(_: None) -> None:
        loader = build_loader(config, dataset, 0)
        train_epoch(config, state, loader, dataset.source.stages_left, objective, processes)

    textbook = Textbook(config, preprocess, len(model.vocabulary))
    examples = [dataset[index] for index in range(len(dataset))]
    rows = [(paths[one.name], token_ids) for one in examples for token_ids in one.captions]
    random.Random(0).shuffle(rows)
    size = config.batch_photos * CAPTIONS
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    cached = [textbook.encode([path for path, _ in batch]) for batch in batches]

    def read(_: None) -> None:
        for batch in batches:
            textbook.step(textbook.encode([path for path, _ in batch]), [ids for _, ids in batch])

    def read_cached(_: None) -> None:
        for batch, features in zip(batches, cached, strict=True):
            textbook.step(features, [ids for _, ids in batch])

    return {TEXTBOOK: read, CACHED: read_cached, FIT: fit}
