"""Whatever Pillow raises or warns of while it reads a photo, as a PhotoError."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from captioner.errors import PhotoError
from captioner.photo_limits import MAX_PIXELS


@contextmanager
def pillow_errors(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into a PhotoError, and drop Pillow's warnings.

    Args:
        name: what messages call the photo.
    """
    try:
        with _quiet_pillow:
            yield
    except PhotoError:
        raise
    except UnidentifiedImageError as error:
        raise PhotoError("format", {"name": name}) from error
    except Image.DecompressionBombError as error:
        raise PhotoError("too_many_pixels", {"name": name, "max_pixels": MAX_PIXELS}) from error
    except MemoryError as error:
        raise PhotoError("too_much_memory", {"name": name}) from error
    except Exception as error:
        # Damaged data make Pillow's decoders raise errors of any kind: TypeError, RuntimeError,
        # AttributeError, struct.error, ZeroDivisionError and more.
        raise PhotoError("damaged", {"name": name, "reason": str(error)}) from error


class _QuietPillow:
    """Ignores warnings of Pillow while any thread is inside.

    `warnings.catch_warnings` alone would not do: the filters are those of the whole process, and
    two threads that leave in another order than they entered would keep them changed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._saved = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._saved = warnings.catch_warnings()
                self._saved.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._saved.__exit__(None, None, None)


_quiet_pillow = _QuietPillow()
