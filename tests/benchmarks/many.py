"""Many photos through the real command: rate, memory over time, and what a kill costs.

    python -m tests.benchmarks.many FOLDER [--photos 20000] [--ray-workers 2] [--kill]

FOLDER gets links to the photos of the page, repeated under new names, the captions, and a log;
started again with the same FOLDER, the run goes on where it stopped. With --kill, a Ray worker is
killed on the way, then the whole command, which is started again with --resume. At the end every
photo must be captioned exactly once.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

PHOTOS = Path(__file__).parents[2] / "captioner" / "page" / "photos"
PHOTOS_PER_FOLDER = 1000
SECONDS_BETWEEN_SAMPLES = 5.0
WORKER_TITLE = "PhotoCaptioner"
"""In the title that Ray gives its workers' processes."""
KILL_WORKER_AT, KILL_COMMAND_AT = 0.2, 0.4
"""Shares of the photos that are done when a Ray worker, and when the command, is killed."""


class Run:
    """One command, started as often as it takes."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self.folder: Path = flags.folder
        self.total: int = flags.photos
        self.workers: int = flags.ray_workers
        self.output = self.folder / ("captions" if self.workers else "captions.jsonl")
        self.log = self.folder / "log.txt"

    def command(self) -> list[str]:
        """The command line; it continues what there is."""
        photos, output = str(self.folder / "photos"), str(self.output)
        command = [sys.executable, "-m", "captioner", photos, "--output", output, "--resume"]
        return [*command, "--ray-workers", str(self.workers)] if self.workers else command

    def done(self) -> Counter[str]:
        """The captioned photos, and how often each is."""
        if not self.output.exists():
            return Counter()
        if self.workers:
            import pyarrow.parquet as pq

            tables = [pq.read_table(p, columns=["photo"]) for p in self.output.glob("*.parquet")]
            return Counter(name for table in tables for name in table["photo"].to_pylist())
        with self.output.open() as lines:
            return Counter(json.loads(line)["photo"] for line in lines if line.endswith("\n"))

    def count(self) -> int:
        """How many photos are captioned, without reading which."""
        if not self.output.exists():
            return 0
        if self.workers:
            import pyarrow.parquet as pq

            return sum(pq.read_metadata(p).num_rows for p in self.output.glob("*.parquet"))
        with self.output.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(2**20), b""))

    def follow(self, kill: "Kills | None" = None) -> list[float]:
        """Run the command once; the megabytes of all its processes over time, without its start."""
        samples: list[float] = []
        start, began = self.count(), time.monotonic()
        with self.log.open("a") as log, started(self.command(), log) as process:
            while process.poll() is None:
                time.sleep(SECONDS_BETWEEN_SAMPLES)
                count, megabytes = self.count(), resident_megabytes(process)
                if start < count < self.total:
                    samples.append(megabytes)
                seconds = time.monotonic() - began
                print(f"{seconds:.0f} s: {count} photos, {megabytes:.0f} MB", file=log, flush=True)
                if kill is not None:
                    kill(process, count)
        return samples


def main() -> None:
    """Run the benchmark and print what it found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--ray-workers", type=int, default=0)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--cpus", type=int, default=os.cpu_count(), help="that the run may use")
    parser.add_argument("--price", type=float, default=0.04, help="of a vCPU, an hour, in dollars")
    flags = parser.parse_args()
    flags.folder = flags.folder.absolute()
    run = Run(flags)
    names = link_photos(flags.folder / "photos", flags.photos)
    before, began = run.count(), time.monotonic()
    samples = run.follow(Kills(run) if flags.kill else None)
    if flags.kill:
        print(f"{run.count()} photos had captions when the command was killed; resuming")
        samples = run.follow()
    rate = (run.count() - before) / (time.monotonic() - began)
    counted = run.done()
    once = sum(counted[name] == 1 for name in names)
    print(f"{once} of {len(names)} photos captioned exactly once, {counted.total() - once} others")
    print(f"{rate:.1f} photos a second, start-up included")
    quarter = max(1, len(samples) // 4)
    for name, part in (("first", samples[:quarter]), ("last", samples[-quarter:])):
        print(f"{statistics.median(part or [0]):.0f} MB in the {name} quarter of the last run")
    print_million(rate / (flags.ray_workers or 1), flags.cpus / (flags.ray_workers or 1), flags)


class Kills:
    """Kills a worker of Ray's and, later, the command and all that it started."""

    def __init__(self, run: Run) -> None:
        self.total = run.total
        self.worker_is_due = bool(run.workers)

    def __call__(self, process: "subprocess.Popen[bytes]", count: int) -> None:
        """Kill what is due."""
        if self.worker_is_due and count >= KILL_WORKER_AT * self.total:
            worker = next(p for p in family(process) if WORKER_TITLE in "".join(p.cmdline()))
            worker.kill()
            self.worker_is_due = False
            print(f"a worker was killed when {count} photos had captions")
        if count >= KILL_COMMAND_AT * self.total:
            for member in family(process):
                with suppress(psutil.NoSuchProcess):
                    member.kill()


def print_million(rate: float, cpus: float, flags: argparse.Namespace) -> None:
    """What a million photos take, if workers do not slow each other down.

    Args:
        rate: photos a second of a worker.
        cpus: of a worker.
    """
    print(f"| workers of {cpus:g} vCPU | hours | $ at {flags.price:g} a vCPU-hour |\n|---|---|---|")
    for workers in (1, 8, 64):
        hours = 1e6 / rate / workers / 3600
        print(f"| {workers} | {hours:.1f} | {hours * workers * cpus * flags.price:.2f} |")


def link_photos(folder: Path, count: int) -> list[str]:
    """Links to the photos, repeated; their paths."""
    sources = sorted(PHOTOS.glob("*.jpg"))
    names: list[str] = []
    for number in range(count):
        path = folder / f"{number // PHOTOS_PER_FOLDER:04d}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.symlink_to(sources[number % len(sources)])
        names.append(str(path.absolute()))
    return names


@contextmanager
def started(command: list[str], log: IO[str]) -> "Iterator[subprocess.Popen[bytes]]":
    """A process that does not outlive the block."""
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def resident_megabytes(process: "subprocess.Popen[bytes]") -> float:
    """Memory of a process and of all it started; what they share is counted once."""
    total = 0
    for member in family(process):
        with suppress(psutil.Error):
            total += member.memory_full_info().pss
    return total / 2**20


def family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """A process and all that it started, as far as they still run."""
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


if __name__ == "__main__":
    main()
