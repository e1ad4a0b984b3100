"""The page: give a photo, read its caption word by word. Layout and handlers; no machine learning.

`python app.py` serves it. The same handler answers programs, at /caption.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import matplotlib as mpl
import torch
from PIL import Image
from starlette.middleware import Middleware

import captioner
from captioner.ui import CaptionViewer, PhotoInput, View, example_buttons, read_photo
from captioner.ui.look import CSS, OwnPreview, page_theme

TITLE = "What the model sees"
DESCRIPTION = "Give it a photo. It writes a caption, and shows where it looked for every word."
FOOTNOTE = "A caption is only a guess and can be wrong. Photos are deleted within two hours."
FAULT = "Something went wrong here, not with your photo. Try again in a moment."

GRADIO_PHOTOS = Path(gr.__file__).parent / "media_assets" / "images"
EXAMPLES = {
    "Lion": GRADIO_PHOTOS / "lion.jpg",
    "Running cheetah": GRADIO_PHOTOS / "cheetah.jpg",
    "Tower at dusk": GRADIO_PHOTOS / "tower.jpg",
    "Grace Hopper": Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg",
}
"""Photos that come with what the page needs anyway, by what a visitor reads beside them."""

# Shown before the server has heard of the photo; `failure` is how a fault or a full queue ends.
LOOKING = "(photo) => photo ? {looking: true, photo} : null"
FAILED = f"() => ({{message: {FAULT!r}}})"


def caption_photo(model: captioner.ImageCaptioningModel, photo: str | None) -> dict[str, Any]:
    """Caption a photo for a program.

    Args:
        photo: path of the file.

    Returns:
        The caption, as `Caption.to_json`.

    Raises:
        gr.Error: the photo cannot be captioned, and why.
    """
    try:
        return model.generate_caption(read_photo(photo)).to_json()
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error


def view_photo(model: captioner.ImageCaptioningModel, photo: str | None) -> View | None:
    """Caption a photo for the viewer, which also shows why a photo cannot be captioned.

    Args:
        photo: path of the file, or None where the visitor took the photo away.
    """
    if photo is None:
        return None
    try:
        image = read_photo(photo)
        return View(image, model.generate_caption(image).to_json())
    except ValueError as error:
        return View(message=str(error))


def build_demo(model: captioner.ImageCaptioningModel) -> gr.Blocks:
    """Lay the page out around a model. Turns Gradio's telemetry off for the whole process."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    paths = list(EXAMPLES.values())

    def caption(photo: str | None) -> dict[str, Any]:
        """Caption a photo, with the attention, probability and rivals of every word."""
        return caption_photo(model, photo)

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(1800, 3600)) as demo:
        gr.HTML(f"<h1>{TITLE}</h1><p>{DESCRIPTION}</p>", elem_id="heading")
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                photo = PhotoInput(
                    label="Photo",
                    placeholder="Drop a photo here\nor click to choose one",
                    height=240,
                    buttons=[],
                    elem_id="photo",
                )
                examples = example_buttons(
                    EXAMPLES, label="Or try one of these", elem_id="examples"
                )
            with gr.Column(scale=3, min_width=320):
                viewer = CaptionViewer(elem_id="viewer")
        gr.HTML(f"<p>{FOOTNOTE}</p>", elem_id="footnote")

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        on_model: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        examples.click(lambda index: str(paths[index]), examples, photo, queue=False, **quiet)
        # `change` comes once for a photo, whichever way it was given.
        photo.change(None, photo, viewer, js=LOOKING)
        look = partial(view_photo, model)
        seen = photo.change(look, photo, viewer, **quiet, **on_model)
        seen.failure(None, None, viewer, js=FAILED)
        # No event of the page: for programs alone.
        gr.on([], caption, photo, gr.JSON(visible=False), api_name="caption", **on_model)
    return demo


def serve(demo: gr.Blocks, **settings: Any) -> str:
    """Serve the page, with the settings that all of its uses share.

    Args:
        **settings: more of gr.Blocks.launch's, such as server_port.

    Returns:
        The page's address.
    """
    demo.queue(max_size=20, default_concurrency_limit=1)
    _, address, _ = demo.launch(
        theme=page_theme(),
        css=CSS,
        app_kwargs={"middleware": [Middleware(OwnPreview)]},
        allowed_paths=[str(path) for path in EXAMPLES.values()],
        footer_links=[],
        max_file_size="10mb",
        state_session_capacity=200,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        **settings,
    )
    return address


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Serve the captioning page.")
    parser.add_argument(
        "--checkpoint",
        help="checkpoint folder, or owner/name of a model on the Hugging Face Hub "
        "(default: the released one)",
    )
    # Without a default here Gradio takes its environment variables, which a Space sets.
    parser.add_argument("--server-name", help="default: GRADIO_SERVER_NAME, or 127.0.0.1")
    parser.add_argument("--server-port", type=int, help="default: the first free one from 7860")
    parser.add_argument(
        "--share",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="open a public tunnel through Gradio's servers (default: no)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model and serve the page until interrupted."""
    options = parse_args(arguments)
    # A photo takes one thread some 50 ms; two, on two cores that do other things, ten times that.
    torch.set_num_threads(1)
    try:
        model = captioner.load_model(options.checkpoint)
    except (OSError, ValueError) as error:
        sys.exit(f"app.py: {error}")
    model.generate_caption(Image.new("RGB", (64, 64)))  # the first photo is slow: let it be ours
    serve(
        build_demo(model),
        server_name=options.server_name,
        server_port=options.server_port,
        share=options.share,
    )


if __name__ == "__main__":
    main()
