"""Photos captioned in batches, several batches at a time, for the command line and for Ray.

Knows the model, threads, and photos that cannot be read; knows nothing of outputs.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from captioner.captions import Caption
from captioner.images import Photo
from captioner.model import ENCODED_TOGETHER_ON_CPU, Features, ImageCaptioningModel
from captioner.options import DecodingOptions

BATCH_SIZE, BATCH_SIZE_ON_GPU = 16, 64
"""Photos captioned together by default; few, so that memory stays small."""
MAX_WORKING = 8
"""Batches worked on at the same time, at most: more would wait for Python's lock."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_one_on_gpu = threading.Lock()
"""Batches take turns on a GPU, so that one at a time needs its memory."""


class Captions(NamedTuple):
    """What a model says of a photo."""

    generated: list[Caption]
    """Best first; at least one."""
    scored: Caption | None
    """The user's own caption, if there is one."""


def caption_readable(
    model: ImageCaptioningModel,
    photos: Sequence[Photo | OSError | ValueError],
    options: DecodingOptions,
    stopped: threading.Event,
    own_caption: str | None = None,
) -> list[Captions | OSError | ValueError]:
    """Caption those photos of a batch that can be read.

    Args:
        photos: an error in place of a photo is passed on as it is.
        stopped: once it is set, the batch is given up.
        own_caption: the user's, to be scored for every photo.

    Returns:
        For each photo its captions, or why it cannot be read.

    Raises:
        CancelledError: it was stopped.
    """
    read: list[Tensor | OSError | ValueError] = []
    for photo in photos:
        _check(stopped)
        read.append(_read(model, photo))
    tensors = [item for item in read if isinstance(item, Tensor)]
    with nullcontext() if model.device.type == "cpu" else _one_on_gpu:
        features = _encode(model, tensors, stopped)
        _check(stopped)
        generated = model.generate_n_best(features, options)
        scored = [
            None if own_caption is None else model.score_caption(part, own_caption, options)
            for part in features
        ]
    found = map(Captions, generated, scored)
    return [next(found) if isinstance(item, Tensor) else item for item in read]


def map_batches(
    work: Callable[[list[Item], threading.Event], list[Result]],
    items: Iterable[Item | None],
    batch_size: int = BATCH_SIZE,
) -> Generator[Result, None, None]:
    """Work on items in batches, one more at a time than torch has threads.

    Each batch has a thread of its own, which is faster than operations that several threads share:
    these wait for the slowest of them. The additional batch is there to read photos meanwhile. Few
    items are divided evenly, and a batch alone gets all threads.

    Args:
        work: takes a batch, and an event that is set when its results are not wanted any more;
            gives one result for each item.
        items: a None among them means that the next item may take long to come, so that those
            before it are worked on without waiting for a whole batch.

    Yields:
        The results, in order. No more than two batches for each thread are in memory; closing the
        generator gives them up.
    """
    threads = torch.get_num_threads()
    working = min(threads + 1, MAX_WORKING)
    pending = deque[Future[list[Result]]]()
    stopped = threading.Event()
    pool = ThreadPoolExecutor(working)

    def run(batch: list[Item], own_threads: int) -> list[Result]:
        torch.set_num_threads(own_threads)  # of this thread of the pool alone
        return work(batch, stopped)

    try:
        for group, is_last in _groups(items, working * batch_size):
            size = -(-len(group) // working)
            starts = range(0, len(group), size or 1)
            for start in starts:
                own_threads = max(1, threads // len(starts))
                pending.append(pool.submit(run, group[start : start + size], own_threads))
            while len(pending) > (0 if is_last else len(starts)):
                yield from pending.popleft().result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _groups(items: Iterable[Item | None], size: int) -> Iterator[tuple[list[Item], bool]]:
    """Items, and whether all before the next one are to be finished first."""
    group: list[Item] = []
    for item in items:
        if item is not None:
            group.append(item)
        if item is None or len(group) == size:
            yield group, item is None
            group = []
    yield group, True


def _read(
    model: ImageCaptioningModel, photo: Photo | OSError | ValueError
) -> Tensor | OSError | ValueError:
    if isinstance(photo, (OSError, ValueError)):
        return photo
    try:
        return model.preprocess(photo)
    except (OSError, ValueError) as error:
        return error


def _encode(
    model: ImageCaptioningModel, tensors: Sequence[Tensor], stopped: threading.Event
) -> list[Features]:
    """Encode photos, on a GPU in half precision."""
    if model.device.type == "cuda":
        with torch.autocast("cuda", torch.float16):
            found = model.encode_tensors(tensors)
        return [part._replace(regions=part.regions.float()) for part in found]
    features: list[Features] = []
    for start in range(0, len(tensors), ENCODED_TOGETHER_ON_CPU):
        _check(stopped)
        features += model.encode_tensors(tensors[start : start + ENCODED_TOGETHER_ON_CPU])
    return features


def _check(stopped: threading.Event) -> None:
    if stopped.is_set():
        raise CancelledError
