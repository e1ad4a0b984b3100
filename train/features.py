"""The `prepare` stage: the vocabulary, and several views of every photo, encoded once.

The features go into a memory-mapped array that later stages read. Knows the encoder and files;
knows nothing of decoders.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from captioner.encoder import FeatureExtractor
from captioner.images import load_image
from captioner.preprocessing import PreprocessConfig, to_tensor
from captioner.vocabulary import Vocabulary
from train.class_nouns import phrases, read_nouns
from train.config import FitConfig, PrepareConfig
from train.data import (
    MIRRORED,
    UPRIGHT,
    Augmentation,
    Placement,
    View,
    augment,
    photo_paths,
)
from train.runs import find_device
from train.sets import load_split

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
    train = load_split(config, "train", config.limit)
    val = load_split(config, "val", config.limit)
    views = [
        *list_views([photo.name for photo in train], config.views),
        *list_views([photo.name for photo in val], 1),
    ]
    device = find_device(config.device)
    encoder = FeatureExtractor(config.encoder, config.encoder_weights, config.image_size)
    encoder = encoder.to(device)
    encode_photos(
        photo_paths([*train, *val]),
        views,
        encoder,
        encoder.preprocess_config(config.image_size),
        config.features,
        config.augmentation,
        config.batch_size,
        config.seed,
        device,
        config.workers,
        config.stages_left,
        config.autocast,
    )
    _write_json(config.features / VOCABULARY_FILE, vocabulary.to_json())
    print(f"{len(vocabulary)} vocabulary entries and {len(views)} views in {config.features}")


def build_vocabulary(config: PrepareConfig | FitConfig) -> Vocabulary:
    """The words of the train split's captions; of no other split, and whatever the limit."""
    photos = load_split(config, "train")
    captions = (caption for photo in photos for caption in photo.captions)
    joined = () if config.class_nouns is None else phrases(read_nouns(config.class_nouns))
    return Vocabulary.build(captions, config.min_frequency, config.keep_punctuation, joined)


class Row(NamedTuple):
    """One row of the cache: a photo, and which of its views."""

    name: str
    number: int


class _Views(Dataset[tuple[Tensor, Placement]]):
    """Views 0 and 1 are the photo and its mirror image; the others are random, by seed."""

    def __init__(
        self,
        paths: Mapping[str, Path],
        views: Sequence[Row],
        preprocess: PreprocessConfig,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self.paths, self.views, self.preprocess = paths, views, preprocess
        self.augmentation: Augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.views)

    def __getitem__(self, row: int) -> tuple[Tensor, Placement]:
        name, number = self.views[row]
        image, placement = load_image(self.paths[name]), UPRIGHT
        if number == 1:
            image, placement = ImageOps.mirror(image), MIRRORED
        elif number > 1:
            with torch.random.fork_rng(devices=[]):
                generator = np.random.default_rng([self.seed, row])
                torch.manual_seed(int(generator.integers(2**62)))
                image, placement = augment(image, self.augmentation, self.preprocess.image_size)
        return to_tensor(image, self.preprocess), placement


def encode_photos(
    paths: Mapping[str, Path],
    views: Sequence[Row],
    encoder: FeatureExtractor,
    preprocess: PreprocessConfig,
    cache: Path,
    augmentation: Augmentation = "strong",
    batch_size: int = 8,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 0,
    stages_left: int = 0,
    autocast: bool = False,
) -> None:
    """Encode views of photos into a cache folder, resuming where an earlier run stopped.

    Args:
        paths: of the photos by name.
        views: the rows of the cache; a photo's views stand together, numbered from 0.
        cache: where `features.npy`, float16 (views, rows, cols, D), and `index.json` go.
        stages_left: number of the encoder's last stages not to run, so that training can
            change them; D is then the width after the stages before them.
        autocast: compute in bfloat16 where it is safe.

    Raises:
        ValueError: the folder holds a cache made with other settings, a photo cannot be read, or
            the encoder has fewer stages.
        FileNotFoundError: a photo is missing.
    """
    dataset = _Views(paths, views, preprocess, augmentation, seed)
    if not 0 <= stages_left < encoder.num_stages:
        raise ValueError(
            f"stages_left must be from 0 to {encoder.num_stages - 1}, got {stages_left}"
        )
    stages = encoder.num_stages - stages_left
    with torch.inference_mode():
        image = dataset[0][0].unsqueeze(0).to(device)
        map_size = encoder.run_stages(image, 0, stages)[0].permute(1, 2, 0).shape
    plan = {
        "encoder": encoder.name,
        "weights": weights_checksum(encoder, stages_left),
        "preprocess": dataclasses.asdict(preprocess),
        "stages_left": stages_left,
        "augmentation": augmentation,
        "seed": seed,
        "views": [[view.name, view.number] for view in views],
    }
    array, placements = _open_cache(cache, plan, (len(views), *map_size))
    kind = torch.device(device).type
    todo = torch.utils.data.Subset(dataset, range(len(placements), len(views)))
    loader = DataLoader(todo, batch_size=batch_size, num_workers=workers, collate_fn=_stack_photos)
    with tqdm(total=len(views), initial=len(placements), unit="view", desc="encoding") as bar:
        for number, (images, placed) in enumerate(loader):
            with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, autocast):
                maps = encoder.run_stages(images.to(device), 0, stages).half().cpu()
            start = len(placements)
            array[start : start + len(maps)] = maps.permute(0, 2, 3, 1).numpy()
            placements += placed
            bar.update(len(maps))
            if number % FLUSH_EVERY == FLUSH_EVERY - 1 or len(placements) == len(views):
                array.flush()
                _write_json(cache / PROGRESS_FILE, {"placements": placements})


def _stack_photos(
    examples: Sequence[tuple[Tensor, Placement]],
) -> tuple[Tensor, list[Placement]]:
    return torch.stack([image for image, _ in examples]), [place for _, place in examples]


def _open_cache(
    cache: Path, plan: dict[str, Any], shape: tuple[int, ...]
) -> tuple[np.memmap[Any, Any], list[Placement]]:
    """The array to fill, and the placements of the rows that are done."""
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
            return np.lib.format.open_memmap(path, mode="r+"), done.get("placements", [])
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    _write_json(cache / INDEX_FILE, plan)
    return array, []


class FeatureCache:
    """Cached features as a photo source of a data set.

    Attributes:
        encoder: the backbone's name.
        weights: checksum of its weights.
        preprocess: what the photos went through.
        stages_left: how many of the encoder's stages are left to do.
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
        self._placements = [_placement(rows) for rows in progress.get("placements", [])]
        if len(self._placements) < len(index["views"]):
            raise ValueError(
                f"{cache} holds {len(self._placements)} of {len(index['views'])} views; "
                "run the same python -m train prepare again to finish it"
            )
        self.encoder: str = index["encoder"]
        self.weights: str = index["weights"]
        self.stages_left: int = index["stages_left"]
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
        if encoder.unfrozen_stages > self.stages_left:
            raise ValueError(
                f"the cached features leave {self.stages_left} stages of {self.encoder} to train, "
                f"not {encoder.unfrozen_stages}; run python -m train prepare with --stages-left "
                f"{encoder.unfrozen_stages}, into another folder"
            )
        if self.weights != weights_checksum(encoder, self.stages_left):
            raise ValueError(
                f"the cached features are of other weights of {self.encoder} than the model's; "
                "run python -m train prepare with the model's, into another folder"
            )

    def view(self, name: str, generator: np.random.Generator) -> View:
        """One view, (D, rows, cols).

        Raises:
            ValueError: the cache does not hold the photo.
        """
        if name not in self._rows:
            raise ValueError(f"the cached features lack {name}; run python -m train prepare again")
        rows = self._rows[name]
        row = rows[int(generator.integers(len(rows)))] if self.random_views else rows[0]
        maps = torch.from_numpy(np.array(self._array[row], dtype=np.float32))
        return View(maps.permute(2, 0, 1), self._placements[row])


def weights_checksum(encoder: FeatureExtractor, stages_left: int = 0) -> str:
    """Checksum of an encoder's weights, rounded to the float16 of checkpoints.

    Args:
        stages_left: number of last stages to leave out.
    """
    digest = hashlib.sha256()
    parts = (
        encoder.stages[: encoder.num_stages - stages_left] if stages_left else [encoder.backbone]
    )
    for number, part in enumerate(parts):
        for name, tensor in part.state_dict().items():
            digest.update(f"{number}.{name}".encode())
            rounded = tensor.half() + 0.0  # which makes -0.0, that averaging may lose, 0.0
            digest.update(rounded.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _placement(rows: list[list[float]]) -> Placement:
    (a, b, c), (d, e, f) = rows
    return (a, b, c), (d, e, f)


def list_views(names: Sequence[str], views: int) -> Iterator[Row]:
    """The rows of the cache for photos with `views` views each."""
    return (Row(name, number) for name in names for number in range(views))


def _write_json(path: Path, data: dict[str, Any]) -> None:
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(data), encoding="utf-8")
    scratch.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
