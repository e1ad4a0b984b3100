"""Examples and batches of captioned photos, each process its share.

Knows vocabularies, padding and random order; knows nothing of losses.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    Sampler,
    SequentialSampler,
)

from captioner.model import ImageCaptioningModel
from captioner.vocabulary import END_ID, PAD_ID, Vocabulary
from train.boxes import Coverage, find_phrases
from train.config import DecoderStageConfig, TrainingConfig
from train.data import (
    Augmentation,
    CaptionedPhoto,
    PhotoFiles,
    PhotoSource,
    Placement,
    Split,
    has_sides,
    swap_sides,
)
from train.features import FeatureCache
from train.sets import load_split
from train.spelling import correct, find_misspellings


class Example(NamedTuple):
    """A photo and the token ids of one or all of its captions."""

    name: str
    mirrored: bool
    photo: Tensor
    captions: list[Tensor]
    coverage: list[Tensor] | None
    """Per caption, how much of each region its words are about (T, P); None if not wanted."""


class Batch(NamedTuple):
    """Photos, each once, and the padded captions of all of them."""

    photos: Tensor  # (B, 3, S, S), or what the encoder's first stages made of them
    token_ids: Tensor  # (N, T + 1), from <sos> to <eos>, then <pad>
    photo_of_row: Tensor  # (N,)
    coverage: Tensor | None  # (N, T, P), how much of each region a word is about; 0 if unknown
    names: list[tuple[str, bool]]  # of the photos, and whether they are mirrored


class Flickr30kDataset(Dataset[Example]):
    """Captioned photos as tensors; Flickr8k and anything in the same formats too."""

    def __init__(
        self,
        photos: Sequence[CaptionedPhoto],
        vocabulary: Vocabulary,
        source: PhotoSource,
        max_length: int = 30,
        group_captions: bool = False,
        seed: int = 0,
        cover: "Cover | None" = None,
        misspellings: Mapping[str, str] | None = None,
    ) -> None:
        """Encode the captions; photos are read when an example is.

        Args:
            photos: of one split, see load_split.
            source: a PhotoFiles, or cached features.
            max_length: words kept of a caption.
            group_captions: an example is a photo with all its captions, else one caption with its
                photo, as often as there are captions.
            seed: of the random views.
            cover: says which regions the words of a caption are about, see boxes.Coverage.
            misspellings: words of the captions to correct, see spelling.find_misspellings. The
                captions keep as many words as they have.
        """
        self.photos = photos
        self.source = source
        self.group_captions = group_captions
        self.seed = seed
        self.cover = cover
        self.misspellings = misspellings or {}
        self.epoch = 0

        def encode(text: str) -> Tensor:
            token_ids = vocabulary.encode(text)
            return torch.tensor([*token_ids[:-1][: max_length + 1], END_ID])

        # Sides are swapped in what is spelt correctly: "rigth" then becomes "left", too.
        texts = [[correct(text, self.misspellings) for text in photo.captions] for photo in photos]
        self._plain = [[encode(text) for text in captions] for captions in texts]
        self._mirrored = [
            [encode(swap_sides(text)) if has_sides(text) else plain for text, plain in pairs]
            for pairs in map(zip, texts, self._plain)
        ]
        self._pairs = [
            (index, number)
            for index, photo in enumerate(photos)
            for number in range(len(photo.captions))
        ]

    def __len__(self) -> int:
        return len(self.photos) if self.group_captions else len(self._pairs)

    @property
    def weights(self) -> list[float]:
        """How often an epoch of training sees each example, on average."""
        if self.group_captions:
            return [photo.weight for photo in self.photos]
        return [self.photos[photo].weight for photo, _ in self._pairs]

    def __getitem__(self, index: int) -> Example:
        """The example; the same for the same index, epoch and seed.

        Args:
            index: from the length on, the same examples again, with other random views.
        """
        generator = np.random.default_rng([self.seed, self.epoch, index])
        index %= len(self)
        photo, number = (index, None) if self.group_captions else self._pairs[index]
        name = self.photos[photo].name
        view = self.source.view(name, generator)
        captions = (self._mirrored if view.mirrored else self._plain)[photo]
        numbers = range(len(captions)) if number is None else (number,)
        chosen = [captions[number] for number in numbers]
        if self.cover is None:
            return Example(name, view.mirrored, view.photo, chosen, None)
        steps = [len(token_ids) - 1 for token_ids in chosen]
        covered = [
            self.cover(name, number, length, view.placement)
            for number, length in zip(numbers, steps, strict=True)
        ]
        return Example(name, view.mirrored, view.photo, chosen, covered)


class Cover(Protocol):
    """Says how much of each region the words of a caption are about."""

    def __call__(self, name: str, caption: int, length: int, placement: Placement) -> Tensor:
        """Shares (length, P) for a caption of a photo, by number; all 0 at words of which nothing
        is known."""
        ...


def collate(examples: Sequence[Example]) -> Batch:
    """Put examples into one batch, captions padded with `<pad>` to the longest."""
    rows = [(index, ids) for index, example in enumerate(examples) for ids in example.captions]
    coverage = [part for example in examples for part in example.coverage or ()]
    return Batch(
        torch.stack([example.photo for example in examples]),
        pad_sequence([ids for _, ids in rows], batch_first=True, padding_value=PAD_ID),
        torch.tensor([index for index, _ in rows]),
        pad_sequence(coverage, batch_first=True) if coverage else None,
        [(example.name, example.mirrored) for example in examples],
    )


def build_dataset(
    config: TrainingConfig,
    photos: list[CaptionedPhoto],
    model: ImageCaptioningModel,
    training: bool,
    group_captions: bool = True,
) -> Flickr30kDataset:
    """The photos of a split, from cached features or files.

    Args:
        training: give random views and captions spelt correctly, else plain views and captions.
        group_captions: an example is a photo with all its captions, else with one of them.

    Raises:
        FileNotFoundError, ValueError: features, photos or boxes are missing or do not fit.
    """
    augmentation = config.augmentation if training else "none"
    source = _open_source(config, photos, model, training, augmentation)
    cover = None
    if config.boxes:
        phrases = find_phrases(config.boxes, photos, model.vocabulary.tokenize)
        grid = model.encoder.grid(model.config.preprocess.image_size)
        cover = Coverage(phrases, grid, config.box_words == "all")
    correct_spelling = training and config.correct_spelling
    return Flickr30kDataset(
        photos,
        model.vocabulary,
        source,
        config.max_length,
        group_captions,
        config.seed,
        cover,
        _misspellings(photos, model.vocabulary) if correct_spelling else None,
    )


def _open_source(
    config: TrainingConfig | DecoderStageConfig,
    photos: Sequence[CaptionedPhoto],
    model: ImageCaptioningModel,
    random_views: bool,
    augmentation: Augmentation = "none",
) -> PhotoSource:
    """Cached features, with random views if wanted, or else the photos' files, augmented.

    Raises:
        FileNotFoundError, ValueError: features or photos are missing or do not fit the model.
    """
    if config.features is None:
        return PhotoFiles(photos, model.config.preprocess, augmentation)
    source = FeatureCache(config.features, random_views=random_views)
    source.require(model.encoder, model.config.preprocess)
    return source


def _misspellings(photos: Sequence[CaptionedPhoto], vocabulary: Vocabulary) -> dict[str, str]:
    """The misspelled words of the photos' captions, see `spelling.find_misspellings`."""
    return find_misspellings((text for photo in photos for text in photo.captions), vocabulary)


def stage_dataset(
    config: DecoderStageConfig,
    model: ImageCaptioningModel,
    split: Split,
    correct_spelling: bool = False,
    view_seed: int | None = None,
) -> Flickr30kDataset:
    """The photos of a split with all their captions, for the stages that change a checkpoint.

    Args:
        view_seed: of random views of cached features; None gives plain views. Photos are always
            given as they are.

    Raises:
        FileNotFoundError, ValueError: features or photos are missing or do not fit the model.
    """
    photos = load_split(config, split, config.limit)
    source = _open_source(config, photos, model, random_views=view_seed is not None)
    if isinstance(source, FeatureCache):
        kept = 0 if model.recognizer is None else model.recognizer.num_stages
        if kept > source.stages_left:
            raise ValueError(
                f"the cached features leave {source.stages_left} stages to run, but {kept} are "
                f"kept as pretrained; run python -m train prepare with --stages-left {kept}, into "
                "another folder"
            )
    return Flickr30kDataset(
        photos,
        model.vocabulary,
        source,
        config.max_length,
        group_captions=True,
        seed=view_seed or 0,
        misspellings=_misspellings(photos, model.vocabulary) if correct_spelling else None,
    )


def in_order(config: DecoderStageConfig, dataset: Flickr30kDataset) -> "DataLoader[Batch]":
    """All examples once, in batches."""
    return DataLoader(
        dataset,
        batch_size=config.batch_photos,
        num_workers=config.workers,
        collate_fn=collate,  # type: ignore[arg-type]
    )


class WeightedSampler(Sampler[int]):
    """The examples of an epoch, in random order, each as often as its weight says.

    Examples of weight 2.25 come twice, and a random quarter of them a third time.
    """

    def __init__(self, weights: Sequence[float], generator: torch.Generator) -> None:
        self.weights, self.generator = weights, generator

    def __iter__(self) -> Iterator[int]:
        drawn: list[int] = []
        for members, weight in self._groups():
            rounds, rest = divmod(round(len(members) * weight), len(members))
            for number in range(rounds):
                drawn += [number * len(self.weights) + index for index in members]
            if rest:
                chosen = torch.randperm(len(members), generator=self.generator)[:rest].tolist()
                drawn += [rounds * len(self.weights) + members[place] for place in chosen]
        order = torch.randperm(len(drawn), generator=self.generator).tolist()
        return (drawn[place] for place in order)

    def __len__(self) -> int:
        return sum(round(len(members) * weight) for members, weight in self._groups())

    def _groups(self) -> Iterator[tuple[list[int], float]]:
        """The examples of each weight."""
        for weight in dict.fromkeys(self.weights):
            yield [index for index, own in enumerate(self.weights) if own == weight], weight


class ShardedBatchSampler(Sampler[list[int]]):
    """One process's share of every batch; an empty one too, so that all take as many steps."""

    def __init__(self, batches: BatchSampler, process: int, processes: int) -> None:
        self.batches, self.process, self.processes = batches, process, processes

    def __iter__(self) -> Iterator[list[int]]:
        return (batch[self.process :: self.processes] for batch in self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def build_loader(
    config: TrainingConfig,
    dataset: Flickr30kDataset,
    shuffle_epoch: int | None = None,
    process: int = 0,
    processes: int = 1,
) -> "DataLoader[Any]":
    """Batches of a data set, or one process's share of them, None where that is empty.

    Args:
        shuffle_epoch: draw the examples by their weights and in random order, by the seed and this
            epoch; None gives each once, in their order.
        process: which of the processes this is, from 0.
        processes: how many share the batches, each `config.batch_photos` examples of them.
    """
    generator = torch.Generator().manual_seed(epoch_seed(config, shuffle_epoch or 0))
    order: Sampler[int] = SequentialSampler(dataset)  # type: ignore[arg-type]
    if shuffle_epoch is not None:
        order = WeightedSampler(dataset.weights, generator)
    batches = BatchSampler(order, config.batch_photos * processes, drop_last=False)
    return DataLoader(
        dataset,
        batch_sampler=ShardedBatchSampler(batches, process, processes),
        generator=generator,
        num_workers=config.workers,
        collate_fn=_collate_share,
    )


def _collate_share(examples: Sequence[Example]) -> Batch | None:
    return collate(examples) if examples else None


def epoch_seed(config: TrainingConfig, epoch: int, process: int = 0) -> int:
    """What all that is random in an epoch follows from, in each process its own."""
    return config.seed * 100_003 + epoch + (process << 40)


def steps_per_epoch(config: TrainingConfig, dataset: Flickr30kDataset, processes: int) -> int:
    """Batches in an epoch, of all processes together.

    Raises:
        ValueError: there are fewer examples than processes.
    """
    examples = len(WeightedSampler(dataset.weights, torch.Generator()))
    if examples < processes:
        raise ValueError(f"{processes} processes cannot share {examples} training examples")
    return -(-examples // (config.batch_photos * processes))
