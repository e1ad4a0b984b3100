"""How long this takes to start, and how much memory: the library, the command line, the page."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import httpx
import psutil

from tests.benchmarks.load import ROOT, served
from tests.benchmarks.measuring import Setup, Times, alternate, relative, table

ROUNDS = 3
"""At most: each starts every process."""
TIMEOUT_SECONDS = 120
PYTHON = "python alone"
PROGRAMS = {
    PYTHON: "pass",
    "import captioner": "import captioner",
    "load_model()": "import captioner; captioner.load_model()",
}
COMMAND = """
import sys
from captioner.__main__ import main
status = main(sys.argv[1:])
print(open("/proc/self/status").read())
sys.exit(status)
"""
"""The command line, which then says what memory it took."""
PEAK = re.compile(r"VmHWM:\s*(\d+) kB")


def start(setup: Setup) -> Iterator[str]:
    """Start everything, in processes of their own, with files that the system has in memory."""
    rounds, photo = min(setup.rounds, ROUNDS), setup.photos[0]
    runs: dict[str, Callable[[Path], object]] = {
        name: lambda _, code=code: _python("-c", code) for name, code in PROGRAMS.items()
    }
    runs["python -m captioner PHOTO"] = lambda path: _python("-m", "captioner", str(path))
    yield relative("process, from start to end", alternate(runs, [photo], rounds), PYTHON)
    times, peaks = _start_page(photo, rounds)
    yield table(
        ("python app.py, until", "seconds"),
        ((name, f"{median(found):.1f}") for name, found in times.items()),
    )
    peaks["python -m captioner PHOTO"] = peak_megabytes(_python("-c", COMMAND, str(photo)))
    yield table(("peak memory", "MB"), ((name, f"{peak:.0f}") for name, peak in peaks.items()))


def _python(*arguments: str) -> str:
    """What a program prints.

    Raises:
        CalledProcessError: it has failed.
    """
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def _start_page(photo: Path, rounds: int) -> tuple[Times, dict[str, float]]:
    """Seconds until the page answers and has captioned a photo, and the last one's memory."""
    times: Times = {"first answer": [], "first caption": []}
    peaks: dict[str, float] = {}
    for _ in range(rounds):
        began = time.perf_counter()
        with served() as (address, pid):
            wait_until_served(address)
            times["first answer"].append(time.perf_counter() - began)
            caption(address, photo)
            times["first caption"].append(time.perf_counter() - began)
            peaks = _memory(psutil.Process(pid))
    return times, peaks


def _memory(server: psutil.Process) -> dict[str, float]:
    """Peak megabytes of app.py and of its photo readers, after one caption."""
    readers = server.children(recursive=True)
    return {
        "python app.py, one caption": _peak(server),
        f"its {len(readers)} photo readers": sum(map(_peak, readers)),
    }


def _peak(process: psutil.Process) -> float:
    return peak_megabytes(Path(f"/proc/{process.pid}/status").read_text())


def peak_megabytes(status: str) -> float:
    """The most physical memory a process has had, from Linux's /proc/PID/status."""
    found = PEAK.search(status)
    assert found is not None, status
    return int(found[1]) * 1024 / 1e6


def wait_until_served(address: str) -> None:
    """Return as soon as the page is answered.

    Raises:
        TimeoutError: it is not.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(address, timeout=TIMEOUT_SECONDS).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError(f"app.py has served no page at {address}")


def caption(address: str, photo: Path) -> None:
    """Caption a photo over the endpoint /caption.

    Raises:
        RuntimeError: there is no caption.
    """
    api = f"{address}/gradio_api"
    with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
        files = {"files": (photo.name, photo.read_bytes(), "image/jpeg")}
        (path,) = client.post(f"{api}/upload", files=files).raise_for_status().json()
        given = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}]}
        reply = client.post(f"{api}/call/caption", json=given).raise_for_status()
        answer = client.get(f"{api}/call/caption/{reply.json()['event_id']}").text
    if "event: complete" not in answer:
        raise RuntimeError(answer)
