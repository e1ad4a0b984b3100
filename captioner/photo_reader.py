"""Photos from strangers, read in processes that are killed when a photo takes too long.

Knows processes and pipes; decodes nothing itself, and knows no model.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Self

from PIL import Image

from captioner.errors import PhotoError
from captioner.images import READ_MIN_SIDE
from captioner.photo_worker import ANSWER_SIZE, OUT_OF_MEMORY, READY, REQUEST

START_SECONDS = 60.0
"""For a worker to become ready."""
EXIT_SECONDS = 5.0
"""For a worker to exit once it has closed its pipe."""
MEMORY_BYTES = 1280 * 2**20
"""A little more than the largest photos need; `tests/benchmarks/photos.py` measures it."""
PACKAGE_PARENT = Path(__file__).resolve().parent.parent
NAME = "the file"
"""What messages call a photo, as `load_image` does."""


class PhotoReader:
    """Reads photos as `load_image` does, each in a process with limits. Safe for threads.

        with PhotoReader() as reader:
            image = reader.read(content)

    A process is reused for the next photo, unless a photo exceeded its limits.
    """

    def __init__(
        self, workers: int = 2, seconds: float = 10.0, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        """Make a reader; its processes start when they are first needed, or with `start`.

        Args:
            workers: number of processes, and so of photos read at the same time.
            seconds: time limit for each photo, once a process is free for it; the same limit
                applies to the processor time.
            memory_bytes: address space of each process, if the system can limit that.

        Raises:
            ValueError: an argument is out of range.
        """
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        if not 0 < seconds < float("inf"):
            raise ValueError(f"seconds must be above 0 and finite, got {seconds}")
        if memory_bytes < 1:
            raise ValueError(f"memory_bytes must be at least 1, got {memory_bytes}")
        self._closed = False
        self._workers = [_Worker(seconds, memory_bytes) for _ in range(workers)]
        self._free: queue.LifoQueue[_Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._free.put(worker)

    def start(self) -> None:
        """Start all processes and wait until they are ready.

        Raises:
            RuntimeError: one does not start.
        """
        for worker in self._workers:
            worker.launch()
        for worker in self._workers:
            with worker.in_use:
                worker.wait_until_ready()

    def read(self, content: bytes, min_side: int = READ_MIN_SIDE) -> Image.Image:
        """Read the bytes of a photo file. Waits until a process is free.

        Args:
            min_side: as for `load_image`.

        Raises:
            PhotoError: as `load_image`, or the photo takes too much time or memory.
            RuntimeError: the reader is closed, or no process starts.
            ValueError: min_side is below 1.
        """
        if min_side < 1:
            raise ValueError(f"min_side must be at least 1, got {min_side}")
        worker = self._free.get()
        try:
            if self._closed:
                raise RuntimeError("this PhotoReader is closed")
            with worker.in_use:
                return worker.read(content, min_side)
        finally:
            self._free.put(worker)

    def close(self) -> None:
        """Stop the processes. A photo that is being read gets a RuntimeError."""
        self._closed = True
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """One process at a time: a new one is started when it has ended."""

    def __init__(self, seconds: float, memory_bytes: int) -> None:
        self._seconds, self._memory_bytes = seconds, memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._closed = False
        self._lock = threading.Lock()  # of _process
        self.in_use = threading.Lock()

    def launch(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise RuntimeError("this PhotoReader is closed")
            if self._process is not None and self._process.poll() is not None:
                self._discard(self._process)
                self._process = None
            if self._process is None:
                self._ready = False
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "captioner.photo_worker",
                     str(self._seconds), str(self._memory_bytes)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    env=_environment(),
                )  # fmt: skip
            return self._process

    def wait_until_ready(self) -> subprocess.Popen[bytes]:
        process = self.launch()
        if not self._ready:
            with _Deadline(process, START_SECONDS):
                self._ready = _pipe(process.stdout).read(len(READY)) == READY
            if not self._ready:
                self._discard(process)
                raise RuntimeError(
                    f"no process can be started to read photos: exit status {process.poll()}"
                )
        return process

    def read(self, content: bytes, min_side: int) -> Image.Image:
        process = self.wait_until_ready()
        deadline = _Deadline(process, self._seconds)
        try:
            with deadline:
                return _exchange(process, content, min_side)
        except (OSError, EOFError) as error:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(EXIT_SECONDS)  # otherwise `kill` could hide its own exit status
            self._discard(process)
            if self._closed:
                raise RuntimeError("this PhotoReader is closed") from error
            raise self._explain(process, deadline) from error
        finally:
            if deadline.passed:
                self._discard(process)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
            with self.in_use:  # a thread that waited for an answer has now read the end of the pipe
                self._discard(process)

    def _discard(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # of what was not written yet
                _pipe(pipe).close()

    def _explain(self, process: subprocess.Popen[bytes], deadline: "_Deadline") -> PhotoError:
        status = process.returncode
        if deadline.passed or status == -signal.SIGXCPU:
            return PhotoError("too_slow", {"name": NAME, "seconds": self._seconds})
        if status in (
            OUT_OF_MEMORY,
            -signal.SIGKILL,
        ):  # which the system sends when memory runs out
            return PhotoError("too_much_memory", {"name": NAME})
        return PhotoError("damaged", {"name": NAME, "reason": "the decoder crashed"})


class _Deadline:
    """Kills a process unless the block ends in time."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.passed = False
        self._process = process
        self._left = False
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._kill)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._left = True
        self._timer.cancel()

    def _kill(self) -> None:
        with self._lock:  # otherwise it could kill the process while it reads the next photo
            if not self._left:
                self.passed = True
                self._process.kill()


def _exchange(process: subprocess.Popen[bytes], content: bytes, min_side: int) -> Image.Image:
    requests, answers = _pipe(process.stdin), _pipe(process.stdout)
    requests.write(REQUEST.pack(len(content), min_side))
    requests.write(content)
    requests.flush()
    (length,) = ANSWER_SIZE.unpack(_read_all(answers, ANSWER_SIZE.size))
    answer = json.loads(_read_all(answers, length))
    if "code" in answer:
        raise PhotoError(answer["code"], answer["values"])
    width, height = answer["size"]
    return Image.frombytes("RGB", (width, height), _read_all(answers, width * height * 3))


def _read_all(pipe: IO[bytes], length: int) -> bytes:
    content = pipe.read(length)
    if len(content) < length:
        raise EOFError("the process has ended")
    return content


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _environment() -> dict[str, str]:
    """A minimal environment: none of the parent's secrets, one thread, no compiled modules."""
    path = [str(PACKAGE_PARENT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    own = {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")  # needed to start the interpreter
    return {**{name: os.environ[name] for name in kept if name in os.environ}, **own}
