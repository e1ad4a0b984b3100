"""Batches: the same examples whether one process has them or several share them."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from train.batches import Example, build_loader, epoch_seed, steps_per_epoch
from train.config import FitConfig


class Numbers(Dataset[Example]):
    """Examples of a number each."""

    def __init__(self, length: int, weight: float = 1.0) -> None:
        self.weights = [weight] * length
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Example:
        return Example("", False, torch.tensor(index), [torch.tensor([1, 2])], None)


def batches(
    config: FitConfig,
    length: int,
    epoch: int | None,
    process: int = 0,
    processes: int = 1,
    weight: float = 1.0,
) -> Iterator[list[int]]:
    numbers: Any = Numbers(length, weight)
    loader = build_loader(config, numbers, epoch, process, processes)
    assert len(loader) == -(-round(weight * length) // (config.batch_photos * processes))
    for batch in loader:
        yield [] if batch is None else batch.photos.tolist()


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("length", [12, 13, 14, 17])
@pytest.mark.parametrize("weight", [1.0, 1.7])
def test_processes_share_the_batches_that_one_would_have(
    fit_config: FitConfig, length: int, processes: int, weight: float
) -> None:
    config = replace(fit_config, batch_photos=2)
    alone = batches(replace(config, batch_photos=2 * processes), length, 4, weight=weight)
    together = [
        batches(config, length, 4, process, processes, weight) for process in range(processes)
    ]
    for batch, *shares in zip(alone, *together, strict=True):
        assert sorted(chain(*shares)) == sorted(batch)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_steps_of_an_epoch_are_those_of_the_examples_drawn(fit_config: FitConfig) -> None:
    config = replace(fit_config, batch_photos=4)
    numbers: Any = Numbers(10, 2.5)
    assert steps_per_epoch(config, numbers, 1) == len(build_loader(config, numbers, 0)) == 7
    numbers.weights = [0.0] * 10
    with pytest.raises(ValueError, match="1 processes cannot share 0 training examples"):
        steps_per_epoch(config, numbers, 1)


def test_the_order_is_random_by_seed_and_epoch_or_the_given_one(fit_config: FitConfig) -> None:
    def order(epoch: int | None, **changes: Any) -> list[int]:
        return list(chain(*batches(replace(fit_config, **changes), 20, epoch)))

    assert order(None) == list(range(20))
    assert sorted(order(1)) == list(range(20))
    assert order(1) == order(1) != order(2)
    assert order(1) != order(1, seed=1)


def test_each_seed_epoch_and_process_has_its_own_random_numbers(fit_config: FitConfig) -> None:
    seeds = {
        epoch_seed(replace(fit_config, seed=seed), epoch, process)
        for seed in (0, 1)
        for epoch in (0, 1)
        for process in (0, 1)
    }
    assert len(seeds) == 8
