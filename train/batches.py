"""The data a configuration names, as batches, each process its share of them."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
)

from captioner.model import ImageCaptioningModel
from train.boxes import Coverage, read_phrases
from train.config import TrainingConfig
from train.data import (
    Batch,
    CaptionedPhoto,
    Example,
    Flickr30kDataset,
    PhotoFolder,
    PhotoSource,
    collate,
)
from train.features import FeatureCache


def build_dataset(
    config: TrainingConfig,
    photos: list[CaptionedPhoto],
    model: ImageCaptioningModel,
    training: bool,
    group_captions: bool = True,
) -> Flickr30kDataset:
    """The photos of a split, from cached features or a folder.

    Args:
        training: give random views, else plain ones.
        group_captions: an example is a photo with all its captions, else with one of them.

    Raises:
        FileNotFoundError, ValueError: features, photos or boxes are missing or do not fit.
    """
    source: PhotoSource
    preprocess = model.config.preprocess
    if config.features is not None:
        source = FeatureCache(config.features, random_views=training)
        source.require(model.encoder, preprocess)
    else:
        assert config.photos is not None  # checked by TrainingConfig
        augmentation = config.augmentation if training else "none"
        source = PhotoFolder(config.photos, preprocess, augmentation)
    cover = None
    if config.boxes is not None:
        phrases = read_phrases(config.boxes, photos, model.vocabulary.keep_punctuation)
        grid = model.encoder.grid(preprocess.image_size)
        cover = Coverage(phrases, grid, config.box_words == "all")
    return Flickr30kDataset(
        photos,
        model.vocabulary,
        source,
        config.max_length,
        group_captions,
        config.seed,
        cover,
    )


class Shares(Sampler[list[int]]):
    """One process's share of every batch; an empty one too, so that all take as many steps."""

    def __init__(self, batches: BatchSampler, process: int, processes: int) -> None:
        self.batches, self.process, self.processes = batches, process, processes

    def __iter__(self) -> Iterator[list[int]]:
        return (batch[self.process :: self.processes] for batch in self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def build_loader(
    config: TrainingConfig,
    dataset: "Dataset[Example]",
    shuffle_epoch: int | None = None,
    process: int = 0,
    processes: int = 1,
) -> "DataLoader[Any]":
    """Batches of a data set, or one process's share of them, None where that is empty.

    Args:
        shuffle_epoch: order the examples at random, by the seed and this epoch; None leaves them
            in their order.
        process: which of the processes this is, from 0.
        processes: how many share the batches, each `config.batch_photos` examples of them.
    """
    generator = torch.Generator().manual_seed(epoch_seed(config, shuffle_epoch or 0))
    order: Sampler[int] = SequentialSampler(dataset)  # type: ignore[arg-type]
    if shuffle_epoch is not None:
        order = RandomSampler(dataset, generator=generator)  # type: ignore[arg-type]
    batches = BatchSampler(order, config.batch_photos * processes, drop_last=False)
    return DataLoader(
        dataset,
        batch_sampler=Shares(batches, process, processes),
        generator=generator,
        num_workers=config.workers,
        collate_fn=_collate_share,
    )


def _collate_share(examples: Sequence[Example]) -> Batch | None:
    return collate(examples) if examples else None


def epoch_seed(config: TrainingConfig, epoch: int, process: int = 0) -> int:
    """What all that is random in an epoch follows from, in each process its own."""
    return config.seed * 100_003 + epoch + (process << 40)
