"""Serve the page: give a photo, read its caption word by word. The page is in captioner/page.

`python app.py` serves it. The same handler answers programs, at /caption.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import captioner
from captioner.bundled import BUNDLED
from captioner.photo_reader import PhotoReader
from captioner.startup import rare_collections, return_freed_memory, share_one_heap

THREADS = 1
"""For the model. On two busy cores, two threads can take ten times as long as one."""
QUEUE_LENGTH = 200
"""Photos and other requests that may wait."""


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
    from captioner.page.middleware import LOOPBACK_HOSTS, TUNNEL_HOST

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


def first_signal() -> tuple[int, int]:
    """Make a pipe that can be read from the first SIGINT or SIGTERM on; a second one ends at once.

    A pipe, not a threading.Event: a signal that comes while its lock is held would wait for ever.

    Returns:
        The descriptors of its end to read and of that to write.
    """
    readable, writable = os.pipe()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def note(*_: object) -> None:
        os.write(writable, b".")
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)

    for number in numbers:
        signal.signal(number, note)
    return readable, writable


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the page until SIGINT or SIGTERM."""
    options = parse_args(arguments)
    share_one_heap()
    model: Future[captioner.ImageCaptioningModel] = Future()
    failures: list[BaseException] = []
    with ExitStack() as open_things:
        with rare_collections():
            readable, writable = start(options, model, open_things)

        def load() -> None:
            try:
                with rare_collections():
                    loaded = load_model(options)
                return_freed_memory()
                model.set_result(loaded)
            except BaseException as error:
                failures.append(error)
                os.write(writable, b".")

        # In a thread of its own, so that a signal is heeded while the Hub does not answer.
        loading = threading.Thread(target=load, name="load", daemon=True)
        loading.start()
        os.read(readable, 1)
        stopped_early = loading.is_alive() and not failures
    if stopped_early:
        os._exit(0)  # all is closed; Python would wait for the threads of a download
    for error in failures:
        if isinstance(error, OSError | ValueError):
            sys.exit(f"app.py: {error}")
        raise error


def start(
    options: argparse.Namespace,
    model: "Future[captioner.ImageCaptioningModel]",
    open_things: ExitStack,
) -> tuple[int, int]:
    """Serve the page. Imports Gradio, which takes more than a second.

    Args:
        model: for which requests wait.
        open_things: takes what is to be closed in the end.

    Returns:
        Those of first_signal.
    """
    from captioner.page import CaptionService, Line, VisitorFiles
    from captioner.page.connections import allow_many_connections
    from captioner.page.demo import REPORT, build_demo, serve, stop
    from captioner.page.request_log import log_to_stderr
    from captioner.page.zero_gpu import declare_gpu_function

    declare_gpu_function()
    log_to_stderr()
    allow_many_connections()
    signalled = first_signal()
    try:
        files = open_things.enter_context(VisitorFiles())
    except OSError as error:
        sys.exit(f"app.py: {error}")
    reader = open_things.enter_context(PhotoReader())
    reader.start()
    line = open_things.enter_context(Line(options.queue_length))
    service = CaptionService(model.result, files.read, reader.read, line)
    demo = build_demo(service, files, Path(options.checkpoint or BUNDLED) / REPORT)
    open_things.callback(stop, demo)
    open_things.callback(model.cancel)  # where it was not loaded, nothing waits for it any more
    try:
        serve(
            demo,
            files,
            line,
            options.queue_length,
            hosts_of(options),
            server_name=options.host,
            server_port=options.port,
            root_path=options.root_path or None,
            share=options.share,
        )
    except OSError as error:  # the port is taken
        sys.exit(f"app.py: {error}")
    return signalled


def load_model(options: argparse.Namespace) -> "captioner.ImageCaptioningModel":
    """Load the model, for some of the CPU's threads. Imports torch: more than a second again.

    Raises:
        OSError, ValueError: as captioner.load_model.
    """
    import torch

    torch.set_num_threads(options.threads)
    return captioner.load_model(options.checkpoint)


if __name__ == "__main__":
    main()
