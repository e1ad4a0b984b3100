"""Make the README's pictures of the page: one with a word chosen, and one that steps through them.

    python -m tests.screenshot .assets/page.png .assets/page.gif

The photo is one of the page's examples.
"""

import argparse
import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from captioner import load_model
from captioner.visualization import save_animation
from tests.serving import serving

SIZE = {"width": 1280, "height": 800}
FRAME_SIZE = (800, 500)
"""Of the animation, in pixels, so that it stays small."""


def main() -> None:
    """Serve the page, caption an example, choose words, and save the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("animation", type=Path)
    parser.add_argument("--example", default="sheep")
    parser.add_argument("--word", type=int, default=2, help="its place, from 1, in the picture")
    flags = parser.parse_args()
    for path in (flags.picture, flags.animation):
        path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(load_model(), Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        page.locator(f"#viewer [data-example={flags.example}]").click(timeout=60_000)
        expect(page.locator("#viewer [role=option]").first).to_be_visible(timeout=60_000)
        words = page.locator("#viewer [role=option]").count()
        frames = [_choose(page, place) for place in range(words)]
        frames[flags.word - 1].save(flags.picture)
        small = [frame.resize(FRAME_SIZE, Image.Resampling.LANCZOS) for frame in frames]
        save_animation(small, flags.animation, seconds=1.0)
        browser.close()


def _choose(page: Page, place: int) -> Image.Image:
    """What the page looks like with the word at a place chosen."""
    page.locator("#viewer [role=option]").nth(place).click()
    expect(page.locator(f"#viewer .stage canvas[data-word='{place}']")).to_be_visible()
    expect(page.locator("#viewer .others button")).to_have_count(3)
    page.mouse.move(2, 2)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


if __name__ == "__main__":
    main()
