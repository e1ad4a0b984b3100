"""What a run says on stderr: how far it is, where a person looks on, and what went wrong."""

import sys
from typing import NoReturn

from tqdm import tqdm


def complain(message: str) -> None:
    """Say what went wrong, on a line of its own above the progress bar, if there is one."""
    if sys.stderr is not None:
        tqdm.write(f"captioner: {message}", file=sys.stderr)


def wants_progress(to_file: bool) -> bool:
    """Whether stderr is a terminal, and the captions do not go to that terminal themselves."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    return to_file or sys.stdout is None or not sys.stdout.isatty()


def progress_bar(total: int | None, shown: bool) -> "tqdm[NoReturn]":
    """A bar that counts photos; to be closed.

    Args:
        total: how many there will be, where that is known.
        shown: False makes a bar that is never seen.
    """
    return tqdm(total=total, disable=not shown, unit=" photos", file=sys.stderr, dynamic_ncols=True)
