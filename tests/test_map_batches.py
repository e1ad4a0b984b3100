"""Batches that are worked on at the same time: their order, their number, and how they end.

And the precision of a GPU, without one.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest
import torch

from captioner.batches import MAX_WORKING, caption_readable, map_batches
from captioner.model import Features
from captioner.options import DecodingOptions


def test_results_are_in_order_though_later_batches_are_done_first() -> None:
    others_done = threading.Event()

    def work(batch: list[int], _: threading.Event) -> list[int]:
        if 0 in batch:
            assert others_done.wait(60)
        else:
            others_done.set()
        return [10 * item for item in batch]

    assert list(map_batches(work, range(50), 4)) == [10 * item for item in range(50)]


def test_only_a_few_batches_are_taken_ahead_of_the_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for item in range(10_000):
            taken += 1
            yield item

    results = map_batches(lambda batch, _: batch, items(), 4)
    for result in range(1000):
        assert next(results) == result
        assert taken - result <= 2 * 4 * MAX_WORKING
    results.close()


def test_what_comes_before_a_wait_is_done_before_it() -> None:

    def items() -> Iterator[int | None]:
        for item in range(7):
            yield item
            yield None
            assert received == [*range(item + 1)]

    received: list[int] = []
    for result in map_batches(lambda batch, _: batch, items(), 4):
        received.append(result)
    assert received == [*range(7)]


def test_a_batch_alone_has_all_threads_and_several_share_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    before = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    for count, wanted in ((1, [4]), (2, [2, 2]), (5, [1] * 5), (500, [1] * 125)):
        given.clear()
        list(map_batches(lambda batch, _: batch, range(count), 4))
        assert given == [*wanted, 4]
    monkeypatch.undo()
    assert torch.get_num_threads() == before


def test_an_error_or_an_interruption_ends_the_batches_that_are_not_wanted_any_more() -> None:
    """Ctrl-C and a closed pipe once would have waited for all that was begun."""
    running = threading.Event()
    ended: list[bool] = []

    def work(batch: list[int], stopped: threading.Event) -> list[int]:
        if batch == [0]:
            assert running.wait(60)
            raise KeyError("first")
        running.set()
        ended.append(stopped.wait(60))
        return batch

    with pytest.raises(KeyError, match="first"):
        list(map_batches(work, range(10_000), 1))
    assert 1 <= len(ended) <= MAX_WORKING
    assert all(ended)


def test_a_batch_that_is_not_wanted_any_more_reads_no_photo() -> None:
    stopped = threading.Event()

    class Model:
        def preprocess(self, photo: str) -> torch.Tensor:
            assert photo == "a.jpg"
            stopped.set()
            return torch.zeros(3, 8, 8)

    model: Any = Model()
    with pytest.raises(CancelledError):
        caption_readable(model, ["a.jpg", "b.jpg"], DecodingOptions(), stopped)


def test_on_a_gpu_photos_are_encoded_in_half_precision_and_decoded_in_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside: list[tuple[str, torch.dtype]] = []

    class Autocast:
        def __init__(self, *given: Any) -> None:
            self.given = given

        def __enter__(self) -> None:
            inside.append(self.given)  # type: ignore[arg-type]

        def __exit__(self, *_: object) -> None:
            inside.append(("left", torch.float32))

    class Model:
        device = torch.device("cuda")

        def preprocess(self, _: str) -> torch.Tensor:
            return torch.zeros(3, 8, 8)

        def encode_tensors(self, images: list[torch.Tensor]) -> list[Features]:
            assert inside == [("cuda", torch.float16)]
            return [Features(torch.ones(4, 2, dtype=torch.float16), (2, 2)) for _ in images]

        def generate_n_best(self, features: list[Features], _: DecodingOptions) -> list[list[str]]:
            assert len(inside) == 2
            assert all(part.regions.dtype == torch.float32 for part in features)
            return [["a caption"] for _ in features]

    monkeypatch.setattr(torch, "autocast", Autocast)
    model: Any = Model()
    found: Any = caption_readable(model, ["a.jpg"] * 3, DecodingOptions(), threading.Event())
    assert [result.generated for result in found] == [["a caption"]] * 3
