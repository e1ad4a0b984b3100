"""Files from strangers as bytes: regular files alone, and no endless ones. Knows no pixels."""

import os
import stat
from pathlib import Path

from captioner.errors import PhotoError

MAX_BYTES = 512 * 2**20
"""Of a file. Uncompressed, the largest photo that is read has fewer."""


def read_file(path: Path) -> bytes:
    """Read a file.

    Raises:
        FileNotFoundError: there is none.
        PhotoError: it is not a regular file, may not be read, or is too large.
    """
    try:
        _require_regular(path, path.stat().st_mode)  # to open a device may do something to it
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())  # the path may lead elsewhere by now
            _require_regular(path, status.st_mode)
            content = file.read(MAX_BYTES + 1) if status.st_size <= MAX_BYTES else None
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"no such photo: {path}") from error
    except PermissionError as error:
        raise PhotoError("permission_denied", {"name": str(path)}) from error
    except OSError as error:
        values = {"name": str(path), "reason": error.strerror or type(error).__name__}
        raise PhotoError("unreadable", values) from error
    except PhotoError:
        raise
    except ValueError as error:  # a null character in the path
        raise FileNotFoundError(f"no such photo: {str(path)!r}") from error
    if content is None or len(content) > MAX_BYTES:
        raise PhotoError("too_many_bytes", {"name": str(path), "max_bytes": MAX_BYTES})
    return content


def _require_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise PhotoError("folder", {"name": str(path)})
    if not stat.S_ISREG(mode):
        raise PhotoError("not_a_file", {"name": str(path)})


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; opening a FIFO would else wait for a writer. Some systems lack these flags."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))
