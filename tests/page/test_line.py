"""The line in front of the model: its order, its batches, and what a fault in it costs."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from captioner.page.line import MAX_BATCH, MAX_READY, Job, Line, LineFullError

SECONDS = 30


class Work:
    """Runs batches, each when it is let; notes them."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)

    def run(self, items: list[Any]) -> Sequence[Any]:
        self.batches.append(items)
        self.begun.release()
        assert self.let.acquire(timeout=SECONDS)
        if "bad" in items:
            raise ValueError("bad")
        return [str(item).upper() for item in items]

    def wait_until_begun(self) -> None:
        assert self.begun.acquire(timeout=SECONDS)

    def let_run(self, batches: int = 1000) -> None:
        self.let.release(batches)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def line() -> Iterator[Line]:
    with Line(max_waiting=20, num_preparing=1) as line:
        yield line


def job(work: Work, item: Any, alike: Any = "alike") -> Any:
    return lambda: Job(work.run, item, alike)


def test_alike_jobs_that_wait_run_as_one_batch_in_their_order(line: Line, work: Work) -> None:
    tickets = [line.enter(job(work, "first"))]
    work.wait_until_begun()
    tickets += [line.enter(job(work, letter)) for letter in "abcdefghij"]
    tickets.append(line.enter(lambda: "prepared"))  # with one thread that prepares: all are ready
    assert tickets[-1].result.result(SECONDS) == "prepared"
    work.let_run()
    assert [ticket.result.result(SECONDS) for ticket in tickets[:-1]] == ["FIRST", *"ABCDEFGHIJ"]
    assert work.batches == [["first"], list("abcdefgh"), ["i", "j"]]
    assert MAX_BATCH == 8


def test_no_more_jobs_are_prepared_than_soon_run(line: Line, work: Work) -> None:
    """Decoded photos piled up behind slow requests, up to 178 MB each."""
    prepared: list[int] = []

    def prepare(number: int) -> Job:
        prepared.append(number)
        return Job(work.run, number)

    tickets = [line.enter(lambda number=number: prepare(number)) for number in range(19)]
    work.wait_until_begun()
    deadline = time.monotonic() + SECONDS
    while len(prepared) < MAX_READY:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.2)  # in which the rest would be prepared
    assert len(prepared) == MAX_READY
    work.let_run()
    assert [ticket.result.result(SECONDS) for ticket in tickets] == [str(n) for n in range(19)]


def test_jobs_that_differ_run_one_by_one_first_come_first(line: Line, work: Work) -> None:
    first = line.enter(job(work, "first"))
    work.wait_until_begun()
    kinds = {"a": None, "b": "x", "c": None, "d": "x", "e": "y"}
    tickets = [line.enter(job(work, item, kind)) for item, kind in kinds.items()]
    line.enter(lambda: "prepared").result.result(SECONDS)
    work.let_run()
    for ticket in (first, *tickets):
        ticket.result.result(SECONDS)
    assert work.batches == [["first"], ["a"], ["b", "d"], ["c"], ["e"]]


def test_a_bad_job_of_a_batch_spoils_no_other(line: Line, work: Work) -> None:
    line.enter(job(work, "first"))
    work.wait_until_begun()
    tickets = [line.enter(job(work, item)) for item in ("a", "bad", "c")]
    line.enter(lambda: "prepared").result.result(SECONDS)
    work.let_run()
    assert tickets[0].result.result(SECONDS) == "A"
    assert tickets[2].result.result(SECONDS) == "C"
    with pytest.raises(ValueError, match="bad"):
        tickets[1].result.result(SECONDS)


def test_what_preparing_raises_is_the_result(line: Line, work: Work) -> None:
    def fail() -> Job:
        raise KeyError("no photo")

    with pytest.raises(KeyError):
        line.enter(fail).result.result(SECONDS)
    work.let_run()
    assert line.enter(job(work, "a")).result.result(SECONDS) == "A"


def test_everyone_knows_how_many_are_before_them_and_about_how_long(line: Line, work: Work) -> None:
    first = line.enter(job(work, "first", None))
    assert line.seconds_left(first) == 0, "nothing has been done yet"
    work.let_run(1)
    first.result.result(SECONDS)
    tickets = [line.enter(job(work, str(number), None)) for number in range(3)]
    assert [line.place(ticket) for ticket in tickets] == [0, 1, 2]
    estimates = [line.seconds_left(ticket) for ticket in tickets]
    assert estimates == sorted(estimates)
    assert estimates[0] > 0
    assert estimates[2] == pytest.approx(3 * estimates[0])
    work.let_run(1)
    tickets[0].result.result(SECONDS)
    assert [line.place(ticket) for ticket in tickets[1:]] == [0, 1]
    work.let_run()
    tickets[2].result.result(SECONDS)
    assert line.place(tickets[2]) == 0


def test_who_leaves_takes_no_place(line: Line, work: Work) -> None:
    line.enter(job(work, "first"))
    work.wait_until_begun()
    gone, stays = line.enter(job(work, "gone")), line.enter(job(work, "stays"))
    line.leave(gone)
    assert line.place(stays) == 1
    work.let_run()
    assert stays.result.result(SECONDS) == "STAYS"
    assert work.batches == [["first"], ["stays"]]
    assert gone.result.cancelled()


def test_there_are_only_so_many_places(line: Line, work: Work) -> None:
    tickets = [line.enter(job(work, number)) for number in range(20)]
    with pytest.raises(LineFullError, match="20 are waiting"):
        line.enter(job(work, "more"))
    work.let_run()
    for ticket in tickets:
        ticket.result.result(SECONDS)
    assert line.enter(job(work, "more")).result.result(SECONDS) == "MORE"


def test_a_line_that_closes_cancels_those_who_wait_and_takes_no_more(work: Work) -> None:
    line = Line()
    first = line.enter(job(work, "first"))
    work.wait_until_begun()
    waits = line.enter(job(work, "waits", None))
    line.close(seconds=0.01)
    assert waits.result.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        line.enter(job(work, "late"))
    work.let_run()
    assert first.result.cancelled() or first.result.result(SECONDS) == "FIRST"
