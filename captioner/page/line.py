"""The line in front of the model: first come, first served, and alike jobs as one batch.

Knows jobs and their order; knows nothing of photos, models or requests. A job is prepared by one of
a few threads, which may wait for the disk or a worker process, and then run by the one thread that
has the model, together with others of its kind that are ready.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any

MAX_BATCH = 8
"""Jobs run together. More gain little, and all of a batch wait for all of it."""
MAX_READY = 2 * MAX_BATCH
"""Jobs that are prepared and not done, those that are being run included; each may hold a photo in
memory."""
REMEMBERED_SPEED = 0.9
"""Of the estimate, what the next batch leaves of those before."""


class LineFullError(ValueError):
    """There are as many waiting as the line may hold."""


@dataclass(frozen=True)
class Job:
    """Work for the thread that has the model."""

    run: Callable[[list[Any]], Sequence[Any]]
    """Takes the items of jobs that run together; gives one result for each."""
    item: Any
    alike: Hashable = None
    """Jobs with the same value run together; one with None runs alone."""


@dataclass(eq=False)
class Ticket:
    """A place in the line."""

    number: int
    result: Future[Any] = field(default_factory=Future)
    job: Job | None = None
    """None until it is prepared."""


class Line:
    """Runs jobs on one thread in the order in which they came."""

    def __init__(self, max_waiting: int = 200, num_preparing: int = 2) -> None:
        """Start the threads.

        Args:
            max_waiting: that may be in the line at a time.
            num_preparing: how many are prepared at a time.
        """
        self._max_waiting = max_waiting
        self._numbers = count()
        self._tickets: dict[int, Ticket] = {}  # in order
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_each = 0.0
        self._preparing = ThreadPoolExecutor(num_preparing, "prepare")
        self._thread = threading.Thread(target=self._work, name="model", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def enter(self, prepare: Callable[[], Job | Any]) -> Ticket:
        """Take a place.

        Args:
            prepare: makes the job, or gives another value, which then is the result: there is
                nothing to do for the model. What it raises, the ticket's result raises.

        Raises:
            LineFullError: there is no place.
            RuntimeError: the line is closed.
        """
        with self._changed:
            if self._closed:
                raise RuntimeError("the line is closed")
            if len(self._tickets) >= self._max_waiting:
                raise LineFullError(f"{len(self._tickets)} are waiting, which is the limit")
            ticket = Ticket(next(self._numbers))
            self._tickets[ticket.number] = ticket
            self._preparing.submit(self._prepare, ticket, prepare)
        return ticket

    def place(self, ticket: Ticket) -> int:
        """How many are before it, and are not done."""
        with self._changed:
            return sum(number < ticket.number for number in self._tickets)

    def seconds_left(self, ticket: Ticket) -> float:
        """An estimate of how long it takes until it is done; 0 before anything was done."""
        return (self.place(ticket) + 1) * self._seconds_each

    def leave(self, ticket: Ticket) -> None:
        """Give the place up; a job that is being run already is run to its end."""
        ticket.result.cancel()
        self._end(ticket)

    @property
    def is_alive(self) -> bool:
        """Whether jobs are still run."""
        return self._thread.is_alive()

    @property
    def is_closed(self) -> bool:
        """Whether no more jobs are taken."""
        return self._closed

    def close(self, seconds: float = 5.0) -> None:
        """Take no more; finish what is ready and can be done in time, and cancel the rest."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._preparing.shutdown(wait=False, cancel_futures=True)
        self._thread.join(seconds)
        for ticket in list(self._tickets.values()):
            self.leave(ticket)

    def _prepare(self, ticket: Ticket, prepare: Callable[[], Any]) -> None:
        with self._changed:
            while len(self._ready()) >= MAX_READY and not self._closed:
                self._changed.wait()
        if ticket.result.cancelled():
            return
        try:
            job = prepare()
        except BaseException as error:
            self._finish(ticket, error=error)
            return
        if not isinstance(job, Job):
            self._finish(ticket, job)
            return
        with self._changed:
            ticket.job = job
            self._changed.notify_all()

    def _work(self) -> None:
        while tickets := self._take():
            start = time.monotonic()
            self._run(tickets)
            seconds = (time.monotonic() - start) / len(tickets)
            share = REMEMBERED_SPEED if self._seconds_each else 0.0
            self._seconds_each = share * self._seconds_each + (1 - share) * seconds

    def _take(self) -> list[Ticket]:
        """The first that is ready, and others like it; none when the line is closed."""
        with self._changed:
            while not (ready := self._ready()):
                if self._closed:
                    return []
                self._changed.wait()
            first = ready[0]
            assert first.job is not None
            alike = first.job.alike
            if alike is None:
                return [first]
            return [t for t in ready if t.job is not None and t.job.alike == alike][:MAX_BATCH]

    def _ready(self) -> list[Ticket]:
        return [ticket for ticket in self._tickets.values() if ticket.job is not None]

    def _run(self, tickets: list[Ticket]) -> None:
        jobs = [ticket.job for ticket in tickets if ticket.job is not None]
        try:
            results = jobs[0].run([job.item for job in jobs])
        except Exception as error:
            if len(tickets) == 1:
                self._finish(tickets[0], error=error)
                return
            for ticket in tickets:  # so that what is wrong with one is not so with all
                self._run([ticket])
            return
        for ticket, result in zip(tickets, results, strict=True):
            self._finish(ticket, result)

    def _finish(
        self, ticket: Ticket, result: Any = None, error: BaseException | None = None
    ) -> None:
        self._end(ticket)
        if not ticket.result.set_running_or_notify_cancel():
            return
        if error is None:
            ticket.result.set_result(result)
        else:
            ticket.result.set_exception(error)

    def _end(self, ticket: Ticket) -> None:
        with self._changed:
            self._tickets.pop(ticket.number, None)
            self._changed.notify_all()
