"""What the sections of `compare` share: contestants that take turns, floors, and tables."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from captioner import ImageCaptioningModel

T = TypeVar("T")
Times = dict[str, list[float]]
"""Seconds of each contestant, one number a round."""

TURN_SECONDS = 0.2
"""A contestant runs again and again for this long; its time in the round is the mean."""
SIDE = 2048
"""Of the square matrices whose product gives the machine's best rate."""
PRODUCT_COUNT = SIDE**3
"""Multiply-adds of that product."""


class Setup(NamedTuple):
    """What a section measures with."""

    model: ImageCaptioningModel
    photos: Sequence[Path]
    rounds: int
    scratch: Path
    """A folder for files that a section makes."""

    def some(self, count: int) -> list[Path]:
        """Photos, the same ones again where there are fewer."""
        return list(itertools.islice(itertools.cycle(self.photos), count))


def alternate(
    contestants: Mapping[str, Callable[[T], object]],
    inputs: Sequence[T],
    rounds: int,
    warm_up: bool = True,
) -> Times:
    """Time contestants that take turns, so that a busy moment of the machine meets them all.

    Args:
        inputs: one after the other is given to all contestants of a round.
        rounds: those that count.
        warm_up: play one round more, the first, which does not count.
    """
    times: Times = {name: [] for name in contestants}
    for given in itertools.islice(itertools.cycle(inputs), rounds + warm_up):
        for name, run in contestants.items():
            times[name].append(_turn(run, given))
    return {name: found[warm_up:] for name, found in times.items()}


def _turn(run: Callable[[T], object], given: T) -> float:
    """The mean seconds of a run."""
    started = time.perf_counter()
    for runs in itertools.count(1):
        run(given)
        taken = time.perf_counter() - started
        if taken >= TURN_SECONDS:
            return taken / runs
    raise AssertionError("unreachable")


def matrix_product(dtype: torch.dtype = torch.float32) -> Callable[[object], object]:
    """A contestant whose time gives the best rate of multiply-adds that this machine reaches."""
    matrix = torch.rand(SIDE, SIDE).to(dtype)
    return lambda _: matrix @ matrix


def count_multiply_adds(run: Callable[[], object]) -> float:
    """Of convolutions and matrix products; those of packed weights are not seen."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2  # a multiplication and an addition each


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return statistics.median(mine / other for mine, other in zip(times, others, strict=True))


def milliseconds(times: Sequence[float]) -> str:
    """The median."""
    return f"{1000 * statistics.median(times):.4g}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, the first column of which holds text."""
    aligned = ["---", *["---:"] * (len(header) - 1)]
    lines = (" | ".join(map(str, row)) for row in (header, aligned, *rows))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def relative(title: str, times: Times, *bases: str) -> str:
    """A table of each contestant's time as a multiple of the bases', and in milliseconds."""
    return table(
        (title, *(f"{base} = 1" for base in bases), "ms"),
        (
            (name, *(f"{ratio(own, times[base]):.2f}" for base in bases), milliseconds(own))
            for name, own in times.items()
        ),
    )
