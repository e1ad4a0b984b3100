"""The page as Gradio serves it: layout, handlers and settings of the server."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.routes
import gradio.utils

from captioner.bundled import BUNDLED
from captioner.page.about import about_section
from captioner.page.components import CaptionViewer, PhotoInput, View
from captioner.page.connections import SILENT_SECONDS, end_silent_connections
from captioner.page.errors import visitors_message
from captioner.page.examples import EXAMPLES, start_examples
from captioner.page.line import Line
from captioner.page.middleware import LOOPBACK_HOSTS, page_middleware
from captioner.page.service import CaptionService
from captioner.page.texts import page_texts, read_texts
from captioner.page.theme import page_theme
from captioner.page.unread_answers import UnreadAnswers
from captioner.page.uploads import MAX_UPLOAD_BYTES
from captioner.page.visitor_files import VisitorFiles

TITLE = read_texts("en")["page_title"]
SPARE_EVENTS = 56
"""Requests that Gradio may handle besides those that wait, such as those that are refused."""
SESSIONS = 16
"""Whose last values Gradio keeps, up to a megabyte each. The page does not need them."""
STOP_SECONDS = 5
"""For requests under way to be answered when the server is stopped."""
REPORT = "val.json"
"""A checkpoint's measured scores, in its folder."""


def build_demo(
    service: CaptionService,
    files: VisitorFiles,
    report: Path = BUNDLED / REPORT,
) -> gr.Blocks:
    """Lay the page out. Sets environment variables of Gradio's, for the whole process.

    Args:
        service: of the model.
        files: where Gradio puts visitors' files.
        report: file of the model's measured scores, if there are any.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(files.uploads)
    # Read when Gradio was imported; another user's folder may be in the way there.
    gradio.routes.DEFAULT_TEMP_DIR = str(files.folder)  # pyright: ignore[reportPrivateImportUsage]
    # For each event Gradio imports matplotlib, to keep figures off the screen: there are none here.
    gradio.utils.MatplotlibBackendMananger = nullcontext
    # After each event Gradio summarizes all before it, which nobody sees.
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
    texts = page_texts()

    async def caption(photo: str | None) -> dict[str, Any]:
        """Caption a photo, with the attention, probability and top alternatives of every word."""
        try:
            return await service.caption(photo)
        except ValueError as error:
            raise gr.Error(visitors_message(error), print_exception=False) from error

    async def respond(event: gr.EventData) -> AsyncIterator[View]:
        async for step in service.respond(event._data):
            yield step

    examples = start_examples(service, EXAMPLES, files.examples)
    with gr.Blocks(title=TITLE, analytics_enabled=False) as demo:
        gr.HTML(texts("page_heading"), elem_id="heading")
        viewer = CaptionViewer(examples=examples, elem_id="viewer")
        about_section(report, elem_id="about")
        gr.HTML(texts("page_bottom"), elem_id="footnote")

        # Requests wait for the model in the line of `service`, which knows their places.
        at_once: dict[str, Any] = {"concurrency_limit": None}
        # `static/gradio.js` calls it; Gradio's own front end never does.
        viewer.request(
            respond,
            None,
            viewer,
            api_visibility="private",
            **at_once,
        )
        # Not part of the page: for programs alone.
        photo = PhotoInput(label="Photo", visible=False)
        gr.on([], caption, photo, gr.JSON(visible=False), api_name="caption", **at_once)
    return demo


def serve(
    demo: gr.Blocks,
    files: VisitorFiles,
    line: Line,
    queue_length: int,
    allowed_hosts: Sequence[str] | None = LOOPBACK_HOSTS,
    silent_seconds: float = SILENT_SECONDS,
    **settings: Any,
) -> str:
    """Serve the page, with the settings that all of its uses share, until `stop`.

    Args:
        files: where visitors' files are.
        line: whose health is the server's.
        queue_length: of the line.
        allowed_hosts: host names under which the page may be requested; None for any.
        silent_seconds: after which a connection that sends no request is ended.
        **settings: more of gr.Blocks.launch's, such as server_port.

    Returns:
        The page's address.
    """
    demo.queue(max_size=queue_length, default_concurrency_limit=None)
    unread = UnreadAnswers(demo._queue)
    events = [number for number, event in demo.fns.items() if event.fn is not None]
    middleware = page_middleware(files, lambda: line.is_alive, unread.admits, events, allowed_hosts)
    _, address, _ = demo.launch(
        theme=page_theme(),
        i18n=page_texts(),
        app_kwargs={"middleware": middleware},
        allowed_paths=[str(files.examples)],
        footer_links=[],
        max_file_size=MAX_UPLOAD_BYTES,
        max_threads=queue_length + SPARE_EVENTS,
        state_session_capacity=SESSIONS,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        prevent_thread_lock=True,
        **settings,
    )
    demo.server.config.timeout_graceful_shutdown = STOP_SECONDS - 1
    end_silent_connections(demo.server, silent_seconds)
    return address


def stop(demo: gr.Blocks) -> None:
    """Stop serving: take no new requests, and let those under way be answered."""
    if demo.is_running:
        demo.server.should_exit = True
        demo.server.thread.join(STOP_SECONDS)
    demo.close(verbose=False)
