"""Photos read in processes with limits: their pixels, and what ends a process but no reader."""

import fcntl
import io
import os
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner.errors import PhotoError
from captioner.images import load_image
from captioner.photo_reader import PhotoReader
from tests.fuzz_photos import valid_files

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 120


def encode(image: Image.Image, name: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


SMALL = encode(Image.effect_mandelbrot((40, 30), (-3, -2.5, 2, 2.5), 20).convert("RGB"))
LARGE = encode(Image.linear_gradient("L").resize((6000, 6000)), "PNG", compress_level=1)


@pytest.fixture(scope="module")
def reader() -> Iterator[PhotoReader]:
    with PhotoReader(workers=1, seconds=PATIENCE_SECONDS) as reader:
        yield reader


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Every process that is started from now on."""
    started: list[subprocess.Popen[bytes]] = []
    original = subprocess.Popen

    def start(*args: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(original(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


def wait_for_request(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process that is stopped has a photo to read."""
    assert process.stdin is not None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4))):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_a_worker_reads_the_same_pixels_as_load_image(reader: PhotoReader, kind: str) -> None:
    for content in valid_files()[kind]:
        for min_side in (8, 1024):
            wanted, found = load_image(content, min_side), reader.read(content, min_side)
            assert (found.mode, found.size) == ("RGB", wanted.size)
            assert found.tobytes() == wanted.tobytes()


def test_a_large_photo_comes_out_shrunk(reader: PhotoReader) -> None:
    assert reader.read(LARGE).size == (1200, 1200)
    assert reader.read(LARGE).tobytes() == load_image(LARGE, 1024).tobytes()


@pytest.mark.parametrize("content", [b"", b"hello", SMALL[:-40], encode(Image.new("L", (8, 400)))])
def test_a_worker_refuses_what_load_image_refuses(reader: PhotoReader, content: bytes) -> None:
    with pytest.raises(PhotoError) as wanted:
        load_image(content)
    with pytest.raises(PhotoError) as found:
        reader.read(content)
    assert (found.value.code, found.value.values) == (wanted.value.code, wanted.value.values)
    assert str(found.value) == str(wanted.value)


def test_a_photo_that_takes_too_long_is_ended_and_the_next_is_read(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    with PhotoReader(workers=1, seconds=0.05) as reader:
        reader.start()
        with pytest.raises(PhotoError, match=r"takes more than 0\.05 seconds") as refusal:
            reader.read(LARGE)
        assert refusal.value.code == "too_slow"
        assert processes[0].poll() == -signal.SIGKILL
    with PhotoReader(workers=1, seconds=PATIENCE_SECONDS) as reader:
        reader.start()
        os.kill(processes[-1].pid, signal.SIGSTOP)  # it takes for ever from now on
        reader._workers[0]._seconds = 0.5
        with pytest.raises(PhotoError, match=r"takes more than 0\.5 seconds"):
            reader.read(SMALL)
        reader._workers[0]._seconds = PATIENCE_SECONDS
        assert reader.read(SMALL).size == (40, 30)
        assert len(processes) == 3


def test_processor_time_is_limited_too_should_nobody_be_left_to_end_the_process(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    with PhotoReader(workers=1, seconds=100) as reader:
        reader.read(SMALL)
        limits = Path(f"/proc/{processes[0].pid}/limits").read_text()
        (soft,) = re.findall(r"Max cpu time +(\d+)", limits)
        assert 100 < int(soft) < 200


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit memory")
def test_a_photo_that_takes_too_much_memory_is_refused_and_the_next_is_read() -> None:
    large = encode(Image.new("RGB", (7000, 7000)))
    with PhotoReader(workers=1, memory_bytes=300 * 2**20) as reader:
        for _ in range(2):
            with pytest.raises(PhotoError, match="too much memory") as refusal:
                reader.read(large)
            assert refusal.value.code == "too_much_memory"
            assert reader.read(SMALL).size == (40, 30)
        with pytest.raises(PhotoError, match="too much memory"):
            reader.read(SMALL + bytes(400 * 2**20))
        assert reader.read(SMALL).size == (40, 30)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, "too_much_memory"),  # the system's, when it is out of memory
        (signal.SIGXCPU, "too_slow"),
        (signal.SIGSEGV, "damaged"),
    ],
)
def test_a_worker_that_dies_with_its_photo_is_replaced(
    processes: list[subprocess.Popen[bytes]], number: signal.Signals, code: str
) -> None:
    with PhotoReader(workers=1, seconds=PATIENCE_SECONDS) as reader:
        reader.start()
        os.kill(processes[0].pid, signal.SIGSTOP)
        with ThreadPoolExecutor() as pool:
            answer = pool.submit(reader.read, LARGE)
            wait_for_request(processes[0])
            os.kill(processes[0].pid, number)
            os.kill(processes[0].pid, signal.SIGCONT)
            with pytest.raises(PhotoError) as refusal:
                answer.result(PATIENCE_SECONDS)
        assert refusal.value.code == code
        assert reader.read(SMALL).size == (40, 30)


def test_a_worker_that_dies_between_photos_costs_none(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    with PhotoReader(workers=1, seconds=PATIENCE_SECONDS) as reader:
        reader.read(SMALL)
        os.kill(processes[0].pid, signal.SIGKILL)
        processes[0].wait()
        assert reader.read(SMALL).size == (40, 30)


def test_several_threads_share_few_workers(processes: list[subprocess.Popen[bytes]]) -> None:
    photos = [encode(Image.new("RGB", (20 + number, 20), "red")) for number in range(12)]
    with PhotoReader(workers=2, seconds=PATIENCE_SECONDS) as reader, ThreadPoolExecutor(6) as pool:
        sizes = [image.size for image in pool.map(reader.read, photos)]
    assert sizes == [(20 + number, 20) for number in range(12)]
    assert len(processes) <= 2


def test_closing_ends_the_processes_and_whoever_waits(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    reader = PhotoReader(workers=1, seconds=PATIENCE_SECONDS)
    reader.start()
    os.kill(processes[0].pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(reader.read, LARGE) for _ in range(3)]
        wait_for_request(processes[0])
        threading.Thread(target=reader.close).start()
        for answer in answers:
            with pytest.raises(RuntimeError, match="closed"):
                answer.result(PATIENCE_SECONDS)
    with pytest.raises(RuntimeError, match="closed"):
        reader.read(SMALL)
    reader.close()
    assert [process.poll() for process in processes] == [-signal.SIGKILL]


def test_no_worker_outlives_a_parent_that_is_killed() -> None:
    code = """
import os, signal, subprocess
from captioner.photo_reader import PhotoReader
reader = PhotoReader()
reader.start()
print(*(worker._process.pid for worker in reader._workers), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    workers = [int(word) for word in done.stdout.split()]
    assert len(workers) == 2
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_a_worker_starts_in_any_folder_and_knows_no_secret(
    processes: list[subprocess.Popen[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('not the numpy that is meant')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "secret")
    with PhotoReader(workers=1) as reader:
        assert reader.read(SMALL).size == (40, 30)
        assert b"secret" not in Path(f"/proc/{processes[0].pid}/environ").read_bytes()


def test_an_interrupt_from_the_keyboard_leaves_the_worker_to_its_parent(
    processes: list[subprocess.Popen[bytes]],
) -> None:
    with PhotoReader(workers=1) as reader:
        reader.start()
        os.kill(processes[0].pid, signal.SIGINT)
        assert reader.read(SMALL).size == (40, 30)
        assert len(processes) == 1


def test_a_worker_that_cannot_start_is_a_fault_of_the_program_not_of_the_photo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with (
        PhotoReader(workers=1) as reader,
        pytest.raises(
            RuntimeError, match="no process can be started to read photos: exit status 1"
        ),
    ):
        reader.read(SMALL)


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"seconds": 0}, {"seconds": float("inf")}, {"memory_bytes": 0}]
)
def test_a_wrong_setting_is_refused_by_name(options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} must be"):
        PhotoReader(**options)  # pyright: ignore[reportArgumentType]


def test_a_photo_of_no_least_side_is_refused(reader: PhotoReader) -> None:
    with pytest.raises(ValueError, match="min_side must be at least 1, got 0"):
        reader.read(SMALL, 0)


def test_noise_survives_the_pipe(reader: PhotoReader) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, 3), np.uint8)
    assert (np.asarray(reader.read(encode(Image.fromarray(noise)))) == noise).all()
