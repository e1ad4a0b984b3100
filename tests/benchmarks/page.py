"""How fast the page answers a visitor, in a real browser, beside what the model alone takes.

    python -m tests.benchmarks.page

Medians, since a browser's slow frames count too. The page is served by this process, as app.py
serves it.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from app import THREADS
from captioner import ImageCaptioningModel, load_model
from captioner.page import VisitorFiles
from tests.page.visiting import HOPPER, LAPTOP, choose, count_requests, expect_word, options
from tests.serving import serving

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
    """Serve, visit, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(THREADS)
    model = load_model()
    print(f"model alone, photo to caption    {median(caption_times(model, rounds)):6.1f} ms")
    with (
        tempfile.TemporaryDirectory() as folder,
        VisitorFiles(Path(folder)) as files,
        serving(model, files) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=LAPTOP)
        page.goto(address)
        page.locator("#photo input[type=file]").wait_for(state="attached", timeout=60_000)
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        print(f"first paint                      {page.evaluate(paint):6.1f} ms")
        photos = make_photos(Path(folder), rounds + 1)
        print(f"photo chosen to caption shown    {median(upload_times(page, photos)):6.1f} ms")
        asked = count_requests(page)
        steps = [step for _ in range(rounds) for step in step_times(page)]
        print(f"click on a word to overlay drawn {median([drawn for drawn, _ in steps]):6.1f} ms")
        print(f"                        painted  {median([shown for _, shown in steps]):6.1f} ms")
        print(f"requests in {len(steps)} steps              {len(asked):4d}")
        browser.close()


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
        expect_word(page, 0)
        times.append(1000 * (time.perf_counter() - started))
        page.locator("#photo").get_by_role("button", name="Remove Image").click()
        expect(options(page)).to_have_count(0)
    choose(page, photos[0])
    expect_word(page, 0)
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


def median(times: list[float]) -> float:
    """The middle one."""
    return statistics.median(times)


if __name__ == "__main__":
    main()
