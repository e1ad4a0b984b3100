"""How heavy the page is and how fast it answers a visitor, in a real browser: one table.

    python -m tests.benchmarks.page

Times are medians, since a browser's slow frames count too. The page is served by this process, as
app.py serves it, except for the cold start.
"""

import argparse
import itertools
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

import app
from captioner import ImageCaptioningModel, load_model
from captioner.page import VisitorFiles
from tests.benchmarks.load import served
from tests.benchmarks.starts import wait_until_served
from tests.page.over_http import call, upload
from tests.page.visiting import (
    HOPPER,
    LAPTOP,
    choose,
    count_requests,
    example,
    expect_captioned,
    options,
)
from tests.serving import serving

Row = tuple[str, str]
"""What was measured, and the number with its unit."""

EXAMPLE = "coffee"
SETTLED_MS = 5000
"""After which nothing moves any more: a caption's words may come one by one."""

OBSERVE = """
[window.shifts, window.longTasks] = [[], []];
function observe(type, note) {
    const observer = new PerformanceObserver(list => list.getEntries().forEach(note));
    observer.observe({type, buffered: true});
}
observe("layout-shift", entry => entry.hadRecentInput || shifts.push(entry.value));
observe("longtask", entry => longTasks.push(entry.duration));
"""
"""Collects what the browser says of itself."""

STEP = """async chips => {
    const times = [];
    for (const chip of chips) {
        const begun = performance.now();
        chip.click();
        const drawn = performance.now();
        await new Promise(painted => requestAnimationFrame(() => {
            const channel = new MessageChannel();  // its message comes after the frame is painted
            channel.port1.onmessage = painted;
            channel.port2.postMessage(0);
        }));
        times.push([drawn - begun, performance.now() - begun]);
    }
    return times;
}"""


def main() -> None:
    """Measure, and print each measure as it comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    expect.set_options(timeout=60_000)
    for name, value in itertools.chain(cold_start(), of_visits(rounds)):
        print(f"{name:42}{value}", flush=True)


def of_visits(rounds: int) -> Iterator[Row]:
    """Serve the page, visit it, and measure."""
    torch.set_num_threads(app.THREADS)
    model = load_model()
    with (
        tempfile.TemporaryDirectory() as folder,
        VisitorFiles(Path(folder)) as files,
        serving(model, files) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield from document(address)
        yield from layout_shifts(browser, address)
        yield "model alone, photo to caption", milliseconds(caption_times(model, rounds))
        yield from speed(
            open_page(browser, address, reduced_motion="reduce"),
            make_photos(Path(folder), rounds + 1),
        )
        browser.close()


def cold_start() -> Iterator[Row]:
    """Of app.py as a new process: until its first page and caption, and what that took."""
    began = time.perf_counter()
    with served() as (address, pid):
        wait_until_served(address)
        yield "cold start to the first page", f"{time.perf_counter() - began:.1f} s"
        assert "event: complete" in call(address, upload(address, HOPPER))
        yield "cold start to the first caption", f"{time.perf_counter() - began:.1f} s"
        server = psutil.Process(pid)
        workers = server.children(recursive=True)
        times = [each.cpu_times() for each in (server, *workers)]
        yield "  of the processor's time", f"{sum(each.user + each.system for each in times):.1f} s"
        yield "  resident memory", megabytes(server)
        yield "  of the workers that read photos", ", ".join(map(megabytes, workers))


def megabytes(process: psutil.Process) -> str:
    """That are resident."""
    return f"{process.memory_info().rss / 1e6:.0f} MB"


def document(address: str) -> Iterator[Row]:
    """Size and coding of the page's HTML."""
    with httpx.stream("GET", address) as reply:
        sent = sum(map(len, reply.iter_raw()))
    coding = reply.headers.get("content-encoding", "not compressed")
    yield "document as sent", f"{sent / 1000:.1f} kB, {coding}"
    yield "document", f"{len(httpx.get(address).content) / 1000:.1f} kB"


def open_page(browser: Browser, address: str, **settings: str) -> Page:
    """Open the page, as soon as it takes photos, with a list of what the browser observes."""
    context = browser.new_context(viewport=LAPTOP, **settings)  # pyright: ignore[reportArgumentType]
    page = context.new_page()
    page.add_init_script(OBSERVE)
    page.goto(address)
    page.locator("input[type=file]").first.wait_for(state="attached", timeout=60_000)
    return page


def layout_shifts(browser: Browser, address: str) -> Iterator[Row]:
    """The sum of all that a visitor did not cause. A script chooses, so what it causes counts."""
    page = open_page(browser, address)
    expect(options(page)).not_to_have_count(0)
    yield "layout shift, load to the first caption", shift(page)
    choose(page, HOPPER)
    expect(options(page)).not_to_have_count(0)
    yield "layout shift, a photo chosen", shift(page)
    example(page, EXAMPLE).evaluate("button => button.click()")
    yield "layout shift, an example chosen", shift(page)
    page.context.close()


def shift(page: Page) -> str:
    """The sum since the last time."""
    page.wait_for_timeout(SETTLED_MS)
    return f"{sum(page.evaluate('shifts.splice(0)')):.3f}"


def speed(page: Page, photos: list[Path]) -> Iterator[Row]:
    """From a photo to its caption, and from word to word."""
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    yield "first paint", milliseconds([page.evaluate(paint)])
    yield "photo chosen to caption shown", milliseconds(upload_times(page, photos))
    page.wait_for_timeout(SETTLED_MS)
    page.evaluate("longTasks.splice(0)")
    asked = count_requests(page)
    steps = [step for _ in photos for step in step_times(page)]
    yield "click on a word to overlay drawn", milliseconds([drawn for drawn, _ in steps])
    yield "click on a word to overlay painted", milliseconds([shown for _, shown in steps])
    page.wait_for_timeout(1000)  # the browser tells of a task after it
    long = page.evaluate("longTasks")
    yield (
        f"tasks over 50 ms in {len(steps)} steps",
        f"{len(long)}" + (f", longest {max(long):.0f} ms" if long else ""),
    )
    yield f"requests in {len(steps)} steps", f"{len(asked)}"


def caption_times(model: ImageCaptioningModel, rounds: int) -> list[float]:
    """Of the model by itself, in milliseconds."""
    times = []
    for _ in range(rounds + 1):  # the first warms up
        started = time.perf_counter()
        model.generate_caption(HOPPER, num_captions=3)
        times.append(1000 * (time.perf_counter() - started))
    return times[1:]


def upload_times(page: Page, photos: list[Path]) -> list[float]:
    """From a chosen file to the first word's overlay, in milliseconds; each photo is a new one."""
    times = []
    for photo in photos:
        started = time.perf_counter()
        choose(page, photo)
        expect_captioned(page)
        times.append(1000 * (time.perf_counter() - started))
    choose(page, photos[0])
    expect_captioned(page)
    return times[1:]  # the first warms up


def make_photos(folder: Path, count: int) -> list[Path]:
    """A photo again and again, a little larger each time."""
    paths = [folder / f"photo{number}.jpg" for number in range(count)]
    with Image.open(HOPPER) as photo:
        for number, path in enumerate(paths):
            photo.resize((photo.width + number, photo.height)).save(path)
    return paths


def step_times(page: Page) -> list[tuple[float, float]]:
    """Of a click on each word: until the overlay is drawn, and until it is on the screen."""
    return options(page).evaluate_all(STEP)


def milliseconds(times: list[float]) -> str:
    """The middle one."""
    return f"{statistics.median(times):.1f} ms"


if __name__ == "__main__":
    main()
