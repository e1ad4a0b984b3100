"""The page: give a photo, read its caption word by word. Layout and handlers; no machine learning.

`python app.py` serves it. The same handler answers programs, at /caption.
"""

import argparse
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.routes
import torch

import captioner
from captioner.checkpoint import BUNDLED
from captioner.page import (
    EXAMPLES,
    CaptionService,
    CaptionViewer,
    Line,
    PhotoInput,
    View,
    VisitorFiles,
    about_section,
    page_texts,
    read_texts,
    start_examples,
)
from captioner.page.connections import (
    SILENT_SECONDS,
    allow_many_connections,
    end_silent_connections,
)
from captioner.page.errors import visitors_message
from captioner.page.middleware import LOOPBACK_HOSTS, TUNNEL_HOST, page_middleware
from captioner.page.request_log import log_to_stderr
from captioner.page.theme import page_theme
from captioner.page.unread_answers import UnreadAnswers
from captioner.page.uploads import MAX_UPLOAD_BYTES
from captioner.page.zero_gpu import declare_gpu_function
from captioner.photo_reader import PhotoReader

TITLE = read_texts("en")["page_title"]
THREADS = 1
"""For the model. On two busy cores, two threads can take ten times as long as one."""
QUEUE_LENGTH = 200
"""Photos and other requests that may wait."""
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
    grid: tuple[int, int],
    report: Path = BUNDLED / REPORT,
) -> gr.Blocks:
    """Lay the page out. Sets environment variables of Gradio's, for the whole process.

    Args:
        service: of the model.
        files: where Gradio puts visitors' files.
        grid: rows and columns of the model's regions.
        report: file of the model's measured scores, if there are any.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(files.uploads)
    # Read when Gradio was imported; another user's folder may be in the way there.
    gradio.routes.DEFAULT_TEMP_DIR = str(files.folder)  # pyright: ignore[reportPrivateImportUsage]
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
        about_section(report, grid, elem_id="about")
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
    allowed_hosts: Sequence[str] | None = LOOPBACK_HOSTS,
    queue_length: int = QUEUE_LENGTH,
    silent_seconds: float = SILENT_SECONDS,
    **settings: Any,
) -> str:
    """Serve the page, with the settings that all of its uses share, until `stop`.

    Args:
        files: where visitors' files are.
        line: whose health is the server's.
        allowed_hosts: host names under which the page may be requested; None for any.
        queue_length: of the line.
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
    if demo.server:
        demo.server.should_exit = True
        demo.server.thread.join(STOP_SECONDS)
    demo.close(verbose=False)


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a flag that is not given is read from the environment."""
    parser = argparse.ArgumentParser(
        description="Serve the captioning page.",
        epilog="Each flag has its environment variable, which a flag overrides.",
    )

    def add(name: str, variable: str, default: Any, text: str, *more: str, **settings: Any) -> None:
        given = os.environ.get(variable) or default
        note = "" if default is None else f"; default: {default}"
        parser.add_argument(
            name, *more, default=given, help=f"{text} [{variable}]{note}", **settings
        )

    add(
        "--checkpoint", "CAPTIONER_CHECKPOINT", None,
        "checkpoint folder, or owner/name of a model on the Hugging Face Hub; default: the "
        "released one",
    )  # fmt: skip
    add(
        "--host", "GRADIO_SERVER_NAME", "127.0.0.1",
        "address to listen on; 0.0.0.0 for all interfaces", "--server-name",
    )  # fmt: skip
    add(
        "--port", "GRADIO_SERVER_PORT", None,
        "port to listen on; default: the first free one from 7860", "--server-port",
        type=whole_number(0, 65535),
    )  # fmt: skip
    add(
        "--root-path", "GRADIO_ROOT_PATH", "",
        "path under which a proxy serves the page, such as /captions",
    )  # fmt: skip
    add(
        "--allowed-hosts", "CAPTIONER_ALLOWED_HOSTS", None,
        "host names under which the page may be requested, separated by commas; * for any; "
        "default: localhost if it listens on loopback alone, else any",
    )  # fmt: skip
    add(
        "--threads", "CAPTIONER_THREADS", THREADS, "CPU threads for the model",
        type=whole_number(1, 1024),
    )  # fmt: skip
    add(
        "--queue-length", "CAPTIONER_QUEUE_LENGTH", QUEUE_LENGTH,
        "photos and other requests that may wait; more are refused", type=whole_number(1, 10_000),
    )  # fmt: skip
    parser.add_argument(
        "--share",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="open a public tunnel through Gradio's servers; default: no",
    )
    return parser.parse_args(arguments)


def whole_number(least: int, most: int) -> Any:
    """Make a type for argparse: whole numbers in a range."""

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least} to {most}, got {text!r}"
            )
        return int(text)

    return read


def hosts_of(options: argparse.Namespace) -> list[str] | None:
    """The host names under which the page may be requested; None for any."""
    if options.allowed_hosts:
        hosts = [host.strip() for host in options.allowed_hosts.split(",")]
        return None if "*" in hosts else [*hosts, *LOOPBACK_HOSTS]
    if (
        options.host != "localhost"
        and not options.host.startswith("127.")
        and options.host != "::1"
    ):
        return None
    return [options.host, *LOOPBACK_HOSTS, *([TUNNEL_HOST] if options.share else [])]


def first_signal() -> int:
    """Make a file that can be read from the first SIGINT or SIGTERM on; a second one ends at once.

    A pipe, not a threading.Event: a signal that comes while its lock is held would wait for ever.

    Returns:
        Its descriptor.
    """
    readable, writable = os.pipe()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def note(*_: object) -> None:
        os.write(writable, b".")
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        signal.signal(number, note)
    return readable


def main(arguments: Sequence[str] | None = None) -> None:
    """Load the model and serve the page until SIGINT or SIGTERM."""
    options = parse_args(arguments)
    declare_gpu_function()
    torch.set_num_threads(options.threads)
    try:
        model = captioner.load_model(options.checkpoint)
    except (OSError, ValueError) as error:
        sys.exit(f"app.py: {error}")
    log_to_stderr()
    allow_many_connections()
    signalled = first_signal()
    with ExitStack() as open_things:
        try:
            files = open_things.enter_context(VisitorFiles())
        except OSError as error:
            sys.exit(f"app.py: {error}")
        reader = open_things.enter_context(PhotoReader())
        reader.start()
        line = open_things.enter_context(Line(options.queue_length))
        service = CaptionService(model, files.read, reader.read, line)
        report = Path(options.checkpoint or BUNDLED) / REPORT
        demo = build_demo(service, files, model.grid, report)
        try:
            serve(
                demo,
                files,
                line,
                hosts_of(options),
                options.queue_length,
                server_name=options.host,
                server_port=options.port,
                root_path=options.root_path or None,
                share=options.share,
            )
        except OSError as error:  # the port is taken
            sys.exit(f"app.py: {error}")
        open_things.callback(stop, demo)
        os.read(signalled, 1)


if __name__ == "__main__":
    main()
