"""The `prepare` stage: the vocabulary, and several views of every photo, encoded once.

The features go into a memory-mapped array that later stages read. Knows the encoder and files;
knows nothing of decoders.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from captioner.encoder import FeatureExtractor
from captioner.images import PreprocessConfig, load_image, to_tensor
from captioner.vocabulary import Vocabulary
from train.config import DataConfig, PrepareConfig
from train.data import Augmentation, augment, load_split

ARRAY_FILE, INDEX_FILE, PROGRESS_FILE = "features.npy", "index.json", "progress.json"
VOCABULARY_FILE = "vocabulary.json"
FLUSH_EVERY = 50
"""Batches between two notes of progress."""


def prepare(config: PrepareConfig) -> None:
    """Write `vocabulary.json` and the features of train photos (several views) and val photos.

    Raises:
        FileNotFoundError, ValueError: the data or the encoder's weights are missing or unfit.
    """
    vocabulary = build_vocabulary(config)
    train = load_split(config.captions, config.splits, "train", config.limit)
    val = load_split(config.captions, config.splits, "val", config.limit)
    views = [
        *list_views([photo.name for photo in train], config.views),
        *list_views([photo.name for photo in val], 1),
    ]
    encoder = FeatureExtractor(config.encoder, config.encoder_weights).to(config.device)
    encode_photos(
        config.photos,
        views,
        encoder,
        encoder.preprocess_config(config.image_size),
        config.features,
        config.augmentation,
        config.batch_size,
        config.seed,
        config.device,
        config.workers,
    )
    _write_json(config.features / VOCABULARY_FILE, vocabulary.to_json())
    print(f"{len(vocabulary)} vocabulary entries and {len(views)} views in {config.features}")


def build_vocabulary(config: DataConfig) -> Vocabulary:
    """The words of the train split's captions; of no other split, and whatever the limit."""
    photos = load_split(config.captions, config.splits, "train")
    captions = (caption for photo in photos for caption in photo.captions)
    return Vocabulary.build(captions, config.min_frequency, config.keep_punctuation)


class View(NamedTuple):
    """One row of the cache: a photo, and which of its views."""

    name: str
    number: int


class _Views(Dataset[tuple[Tensor, bool]]):
    """Views 0 and 1 are the photo and its mirror image; the others are random, by seed."""

    def __init__(
        self,
        folder: Path,
        views: Sequence[View],
        preprocess: PreprocessConfig,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self.folder, self.views, self.preprocess = folder, views, preprocess
        self.augmentation: Augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, row: int) -> tuple[Tensor, bool]:
        name, number = self.views[row]
        image, mirrored = load_image(self.folder / name), number == 1
        if number == 1:
            image = ImageOps.mirror(image)
        elif number > 1:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(hash((self.seed, row)) % 2**62)
                image, mirrored = augment(image, self.augmentation, self.preprocess.image_size)
        return to_tensor(image, self.preprocess), mirrored


def encode_photos(
    folder: Path,
    views: Sequence[View],
    encoder: FeatureExtractor,
    preprocess: PreprocessConfig,
    cache: Path,
    augmentation: Augmentation = "strong",
    batch_size: int = 8,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 0,
) -> None:
    """Encode views of photos into a cache folder, going on where an earlier run stopped.

    Args:
        folder: of the photos.
        views: the rows of the cache; a photo's views stand together, numbered from 0.
        cache: where `features.npy`, float16 (rows, P, D), and `index.json` go.

    Raises:
        ValueError: the folder holds a cache made with other settings, or a photo cannot be read.
        FileNotFoundError: a photo is missing.
    """
    dataset = _Views(folder, views, preprocess, augmentation, seed)
    with torch.inference_mode():
        rows, cols = encoder.feature_map(dataset[0][0].unsqueeze(0).to(device)).shape[2:]
    plan = {
        "encoder": encoder.name,
        "weights": weights_checksum(encoder),
        "preprocess": dataclasses.asdict(preprocess),
        "grid": [rows, cols],
        "augmentation": augmentation,
        "seed": seed,
        "views": [[view.name, view.number] for view in views],
    }
    shape = (len(views), rows * cols, encoder.feature_size)
    array, mirrored = _open_cache(cache, plan, shape)
    done = len(mirrored)
    todo = torch.utils.data.Subset(dataset, range(done, len(views)))
    loader = DataLoader(todo, batch_size=batch_size, num_workers=workers)
    with tqdm(total=len(views), initial=done, unit="view", desc="encoding") as bar:
        for number, (images, flags) in enumerate(loader):
            with torch.inference_mode():
                features = encoder(images.to(device)).half().cpu().numpy()
            start = len(mirrored)
            array[start : start + len(features)] = features
            mirrored += flags.tolist()
            bar.update(len(features))
            if number % FLUSH_EVERY == FLUSH_EVERY - 1 or len(mirrored) == len(views):
                array.flush()
                _write_json(cache / PROGRESS_FILE, {"mirrored": mirrored})


def _open_cache(
    cache: Path, plan: dict[str, Any], shape: tuple[int, ...]
) -> tuple[np.memmap[Any, Any], list[bool]]:
    """The array to fill, and the mirrored flags of the rows that are done."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / ARRAY_FILE
    plan = json.loads(json.dumps(plan))  # tuples become lists, as in the file
    if (cache / INDEX_FILE).exists():
        if _read_json(cache / INDEX_FILE) != plan:
            raise ValueError(
                f"{cache} holds features made with other settings; delete it or name another folder"
            )
        done = _read_json(cache / PROGRESS_FILE) if (cache / PROGRESS_FILE).exists() else {}
        if path.exists():
            return np.lib.format.open_memmap(path, mode="r+"), done.get("mirrored", [])
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    _write_json(cache / INDEX_FILE, plan)
    return array, []


class FeatureCache:
    """Cached features as a photo source of a data set.

    Attributes:
        encoder: the backbone's name.
        weights: checksum of its weights.
        preprocess: what the photos went through.
        grid: rows and cols of the regions.
    """

    def __init__(self, cache: Path, random_views: bool) -> None:
        """Open a cache that `encode_photos` finished.

        Args:
            random_views: give a random view of a photo, else always its plain one.

        Raises:
            FileNotFoundError: there is no cache in the folder.
            ValueError: it is not finished.
        """
        if not (cache / INDEX_FILE).exists():
            raise FileNotFoundError(f"no features in {cache}; run: python -m train prepare")
        index = _read_json(cache / INDEX_FILE)
        progress = _read_json(cache / PROGRESS_FILE) if (cache / PROGRESS_FILE).exists() else {}
        self._mirrored: list[bool] = progress.get("mirrored", [])
        if len(self._mirrored) < len(index["views"]):
            raise ValueError(
                f"{cache} holds {len(self._mirrored)} of {len(index['views'])} views; "
                "run the same python -m train prepare again to finish it"
            )
        self.encoder: str = index["encoder"]
        self.weights: str = index["weights"]
        self.grid: tuple[int, int] = (index["grid"][0], index["grid"][1])
        self.preprocess = PreprocessConfig.from_json(index["preprocess"])
        self.random_views = random_views
        self._array = np.load(cache / ARRAY_FILE, mmap_mode="r")
        self._rows: dict[str, list[int]] = {}
        for row, (name, _) in enumerate(index["views"]):
            self._rows.setdefault(name, []).append(row)

    def require(self, encoder: FeatureExtractor, preprocess: PreprocessConfig) -> None:
        """Raise ValueError unless the features are what this encoder gives."""
        if (self.encoder, self.preprocess) != (encoder.name, preprocess):
            raise ValueError(
                f"the cached features are of {self.encoder} with {self.preprocess}; "
                f"the model has {encoder.name} with {preprocess}"
            )
        if self.weights != weights_checksum(encoder):
            raise ValueError(
                f"the cached features are of other weights of {self.encoder} than the model's; "
                "run python -m train prepare with the model's, into another folder"
            )

    def view(self, name: str, generator: np.random.Generator) -> tuple[Tensor, bool]:
        """Features (P, D) of one view, and whether it is mirrored.

        Raises:
            ValueError: the cache does not hold the photo.
        """
        if name not in self._rows:
            raise ValueError(f"the cached features lack {name}; run python -m train prepare again")
        rows = self._rows[name]
        row = rows[int(generator.integers(len(rows)))] if self.random_views else rows[0]
        return torch.from_numpy(np.array(self._array[row], dtype=np.float32)), self._mirrored[row]


def weights_checksum(encoder: FeatureExtractor) -> str:
    """Tell encoders' weights apart, up to what a checkpoint's float16 keeps."""
    digest = hashlib.sha256()
    for name, tensor in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.half().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def list_views(names: Sequence[str], views: int) -> Iterator[View]:
    """The rows for photos with so many views each."""
    return (View(name, number) for name in names for number in range(views))


def _write_json(path: Path, data: dict[str, Any]) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(data), encoding="utf-8")
    scratch.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
