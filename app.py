"""The page: give a photo, read its caption word by word. Layout and handlers; no machine learning.

`python app.py` serves it. The same handler answers programs, at /caption.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import matplotlib as mpl
import torch
from starlette.middleware import Middleware

import captioner
from captioner.checkpoint import BUNDLED
from captioner.ui import (
    Answers,
    CaptionViewer,
    PhotoInput,
    View,
    about_section,
    choose_script,
    example_buttons,
    example_views,
    page_texts,
    read_json,
    read_photo,
)
from captioner.ui.look import CSS, OwnPreview, SmallQuestions, page_theme

TEXTS = read_json("texts.json")
TITLE = TEXTS["en"]["page_title"]
FAULT = TEXTS["en"]["fault"]
THREADS = 1
"""Of the model: two, on two cores that do other things too, can take ten times as long as one."""
REPORT = "val.json"
"""A checkpoint's measured scores, in its folder."""

GRADIO_PHOTOS = Path(gr.__file__).parent / "media_assets" / "images"
EXAMPLES = {
    "Lion": GRADIO_PHOTOS / "lion.jpg",
    "Running cheetah": GRADIO_PHOTOS / "cheetah.jpg",
    "Tower at dusk": GRADIO_PHOTOS / "tower.jpg",
    "Grace Hopper": Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg",
}
"""Photos that come with what the page needs anyway, by what a visitor reads beside them."""

# In the browser. Shown before the server has heard of the photo, unless it is an example, whose
# caption is there already.
LOOKING = """(photo, view) => {
  if (photo && view?.example && view.of === photo.path) return view;
  return photo ? {looking: true, of: photo.path, photo} : null;
}"""
# How a fault or a full queue ends; the time makes it news to the viewer.
FAILED = f"() => ({{message: {FAULT!r}, at: Date.now()}})"
UNANSWERED = f"() => ({{answer: {{message: {FAULT!r}, at: Date.now()}}}})"


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


def build_demo(model: captioner.ImageCaptioningModel, report: Path = BUNDLED / REPORT) -> gr.Blocks:
    """Lay the page out around a model. Turns Gradio's telemetry off for the whole process.

    Args:
        report: file of the model's measured scores, if there are any.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    answers, texts = Answers(model), page_texts()

    def caption(photo: str | None) -> dict[str, Any]:
        """Caption a photo, with the attention, probability and rivals of every word."""
        return caption_photo(model, photo)

    def answer(photo: str | None, event: gr.EventData) -> View:
        found = answers.answer(photo, event._data)
        return View(answer=found, animation=found.pop("animation", None))

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(1800, 3600)) as demo:
        gr.HTML(texts("page_heading"), elem_id="heading")
        with gr.Row():
            with gr.Column(scale=1, min_width=260, elem_id="side"):
                photo = PhotoInput(
                    label=texts("page_photo"),
                    placeholder=str(texts("page_drop")),
                    height=240,
                    buttons=[],
                    elem_id="photo",
                )
                examples = example_buttons(
                    EXAMPLES, label=texts("page_examples"), elem_id="examples"
                )
            with gr.Column(scale=3, min_width=320):
                viewer = CaptionViewer(elem_id="viewer")
        views = example_views(answers, EXAMPLES, photo, viewer)
        about_section(report, views[0]["captions"][0]["grid"], elem_id="about")
        gr.HTML(texts("page_bottom"), elem_id="footnote")

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        on_model: dict[str, Any] = {"concurrency_id": "model", "concurrency_limit": 1}
        examples.click(None, examples, [photo, viewer], js=choose_script(views))
        # `change` comes once for a photo, whichever way it was given.
        photo.change(None, [photo, viewer], viewer, js=LOOKING)
        seen = photo.change(answers.view, photo, viewer, **quiet, **on_model)
        seen.failure(None, None, viewer, js=FAILED)
        asked = viewer.ask(answer, photo, viewer, trigger_mode="multiple", **quiet, **on_model)
        asked.failure(None, None, viewer, js=UNANSWERED)
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
        i18n=page_texts(),
        app_kwargs={"middleware": [Middleware(OwnPreview), Middleware(SmallQuestions)]},
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
    torch.set_num_threads(THREADS)
    try:
        model = captioner.load_model(options.checkpoint)
    except (OSError, ValueError) as error:
        sys.exit(f"app.py: {error}")
    serve(
        build_demo(model, Path(options.checkpoint or BUNDLED) / REPORT),
        server_name=options.server_name,
        server_port=options.server_port,
        share=options.share,
    )


if __name__ == "__main__":
    main()
