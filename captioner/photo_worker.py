"""The process that reads photos for a `PhotoReader`, one at a time, within limits.

Knows images and pipes; imports no torch. Each request on standard input is a REQUEST and the bytes
of a file. The answer on standard output is an ANSWER_SIZE, that many bytes of JSON and, if that
has a `size` rather than a `code`, the RGB pixels row by row.
"""

import json
import math
import os
import signal
import struct
import sys
import time
from typing import BinaryIO

from PIL import AvifImagePlugin, Image

from captioner.errors import PhotoError
from captioner.images import load_image
from captioner.pixels import strips

REQUEST = struct.Struct("<QI")
"""Length of the file, and min_side."""
ANSWER_SIZE = struct.Struct("<I")
OUT_OF_MEMORY = 3
"""Exit status when there is not enough memory for a file or its pixels."""
READY = b"\n"
"""Written once, when the process is ready for its first photo."""


def main() -> int:
    """Read photos until standard input ends."""
    seconds, memory_bytes = float(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the parent process
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    _limit("RLIMIT_AS", memory_bytes)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_CORE", 0)
    answers.write(READY)
    answers.flush()
    try:
        _serve(answers, seconds)
    except MemoryError:
        return OUT_OF_MEMORY
    return 0


def _serve(answers: BinaryIO, seconds: float) -> None:
    while header := sys.stdin.buffer.read(REQUEST.size):
        length, min_side = REQUEST.unpack(header)
        _limit("RLIMIT_CPU", math.ceil(time.process_time() + seconds))
        _answer(answers, length, min_side)


def _answer(answers: BinaryIO, length: int, min_side: int) -> None:
    try:
        image = load_image(sys.stdin.buffer.read(length), min_side)
    except PhotoError as error:
        _write(answers, {"code": error.code, "values": error.values})
    else:
        _write(answers, {"size": image.size}, image)
    answers.flush()


def _write(answers: BinaryIO, answer: dict[str, object], image: Image.Image | None = None) -> None:
    text = json.dumps(answer).encode()
    answers.write(ANSWER_SIZE.pack(len(text)) + text)
    if image is not None:
        for _, strip in strips(image):
            answers.write(strip.tobytes())


def _limit(name: str, value: int) -> None:
    """Lower a soft limit of this process, if the system has such a limit."""
    try:
        import resource

        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, hard))
    except (ImportError, AttributeError, ValueError, OSError):
        pass


if __name__ == "__main__":
    sys.exit(main())
