r"""Make the picture that links to the page show: a photo, its caption, and the attention of a word.

    python -m tests.link_picture captioner/page/photos/sheep.jpg captioner/page/static/link.jpg \
        --word sheep

The picture's alternative text, `link_picture` among the page's texts, says what is on it.
"""

import argparse
import base64
import html
import io
import shutil
from pathlib import Path

import gradio
from PIL import Image
from playwright.sync_api import sync_playwright

from captioner import Word, load_image, load_model
from captioner.page import read_texts
from captioner.page.link_preview import HEIGHT, WIDTH
from captioner.visualization import SPOTLIGHT, overlay

PAGE = """<!doctype html>
<style>
@font-face {{ font-family: Plex; src: url(data:font/woff2;base64,{regular}); }}
@font-face {{ font-family: Plex; font-weight: 700; src: url(data:font/woff2;base64,{bold}); }}
body {{ display: flex; width: {width}px; height: {height}px; margin: 0; font-family: Plex; }}
img {{ width: 640px; height: 100%; object-fit: cover; }}
main {{ display: flex; flex: 1; flex-direction: column; padding: 52px 48px; background: #fff; }}
main {{ justify-content: space-between; color: #18181b; }}
h1 {{ margin: 0; font-size: 46px; line-height: 1.15; }}
p {{ display: flex; flex-wrap: wrap; gap: 10px; margin: 0; font-size: 36px; }}
span {{ padding: 2px 14px 5px; border-radius: 12px; }}
.word {{ box-shadow: 0 0 0 5px #0f766e; }}
div {{ font-size: 30px; color: #52525b; }}
</style>
<img src="data:image/png;base64,{photo}">
<main><h1>{title}</h1><p>{words}</p><div>{sure}</div></main>
"""


def main() -> None:
    """Caption the photo, and draw the page in a browser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--word", required=True, help="of the caption, whose attention is shown")
    flags = parser.parse_args()
    image = load_image(flags.photo)
    caption = load_model().generate_caption(image)
    (shown,) = (word for word in caption.words if word.text == flags.word)
    texts = read_texts("en")
    percent = f"{shown.probability:.0%}"
    page = PAGE.format(
        regular=_font("Regular"),
        bold=_font("Bold"),
        width=WIDTH,
        height=HEIGHT,
        photo=_png(overlay(image, shown.alpha, SPOTLIGHT)),
        title=html.escape(texts["page_title"]),
        words="".join(_chip(word, word is shown) for word in caption.words),
        sure=html.escape(texts["chip"].format(word=f"“{shown.text}”", percent=percent)),
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        screen = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        screen.set_content(page)
        drawn = Image.open(io.BytesIO(screen.screenshot())).convert("RGB")
        browser.close()
    drawn.save(flags.picture, quality=85, optimize=True, progressive=True)


def _chip(word: Word, is_shown: bool) -> str:
    colour = f"color-mix(in srgb, #5ec8bd {word.probability:.0%}, #f4f4f5)"
    name = ' class="word"' if is_shown else ""
    return f'<span{name} style="background: {colour}">{html.escape(word.text)}</span>'


def _font(weight: str) -> str:
    fonts = Path(gradio.__file__).parent / "templates" / "frontend" / "static" / "fonts"
    return base64.b64encode(
        (fonts / "IBMPlexSans" / f"IBMPlexSans-{weight}.woff2").read_bytes()
    ).decode()


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    main()
