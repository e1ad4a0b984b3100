"""Make the README's picture: the page, with a photo captioned and one of its words chosen.

    python -m tests.screenshot .assets/page.png

The photo is one of the page's examples.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from captioner import load_model
from tests.serving import serving

SIZE = {"width": 1280, "height": 890}


def main() -> None:
    """Serve the page, caption an example, choose a word, and save the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--example", default="Running cheetah")
    parser.add_argument("--word", type=int, default=2, help="its place, from 1")
    flags = parser.parse_args()
    flags.picture.parent.mkdir(parents=True, exist_ok=True)
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
        page.get_by_role("button", name=flags.example).click()
        chip = page.locator("#viewer [role=option]").nth(flags.word - 1)
        expect(chip).to_be_visible(timeout=60_000)
        chip.click()
        expect(page.locator(f"#viewer .stage canvas[data-word='{flags.word - 1}']")).to_be_visible()
        expect(page.locator("#viewer .others button")).to_have_count(3)
        page.mouse.move(2, 2)
        page.screenshot(path=flags.picture)
        browser.close()


if __name__ == "__main__":
    main()
