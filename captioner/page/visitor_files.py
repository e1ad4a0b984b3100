"""Visitors' files on the server: where they are, which of them may be read, when they are deleted.

Knows files; knows nothing of photos, models or requests. Each server has a folder of its own that
only its user can enter. It holds `uploads`, where Gradio puts what visitors send and what is made
of it, and `examples`, which stay.
"""

import contextlib
import logging
import os
import shutil
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from captioner.errors import PhotoError
from captioner.images import read_file

try:
    import fcntl
except ImportError:  # Windows: a server's folder is deleted when it ends, but not after a crash
    fcntl = None

PREFIX = "captioner-page-"
LOCK_FILE = "lock"
UNLOCKED_SECONDS = 60
"""A folder without a lock file is a server's that has just started, unless it is this old."""

QUOTA_BYTES = 1024**3
MAX_FILES = 10_000
MAX_AGE_SECONDS = 90 * 60
"""The page promises two hours."""
UNFINISHED_SECONDS = 10 * 60
"""An upload that takes longer was broken off."""
SWEEP_SECONDS = 60

log = logging.getLogger(__name__)


class VisitorFiles:
    """A server's private folder, from its start to its end.

    Attributes:
        uploads: what visitors send, and pictures made for them.
        examples: photos that come with the page; never deleted while the server runs.
    """

    def __init__(
        self,
        parent: Path | None = None,
        quota_bytes: int = QUOTA_BYTES,
        max_age_seconds: float = MAX_AGE_SECONDS,
    ) -> None:
        """Make the folder, and delete those of servers that were killed.

        Args:
            parent: where to make it; by default GRADIO_TEMP_DIR, or the system's temporary folder.
            quota_bytes: that all uploads together may take.
            max_age_seconds: after which an upload is deleted.

        Raises:
            OSError: the folder cannot be made; the message says how to choose another place.
        """
        self.quota_bytes, self.max_age_seconds = quota_bytes, max_age_seconds
        parent = parent or Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
        try:
            parent.mkdir(parents=True, exist_ok=True)
            delete_abandoned(parent)
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise OSError(
                f"no place for visitors' photos in {parent} ({reason}); "
                "name a folder that can be written to in GRADIO_TEMP_DIR"
            ) from error
        self._lock_file = _lock(self.folder / LOCK_FILE)
        self.uploads, self.examples = self.folder / "uploads", self.folder / "examples"
        self.uploads.mkdir()
        self.examples.mkdir()
        self._sweeping = threading.Lock()
        self._stopped = threading.Event()

    def __enter__(self) -> "VisitorFiles":
        self.start_sweeping()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start_sweeping(self) -> None:
        """Delete what is too old or too much, from now on until `close`."""
        threading.Thread(target=self._sweep_on, name="visitor-files", daemon=True).start()

    def close(self) -> None:
        """Delete the folder and all that is in it."""
        self._stopped.set()
        with self._sweeping:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock_file:
            self._lock_file.close()

    def read(self, path: object) -> bytes:
        """Read a photo that a request names.

        Args:
            path: anything at all. What lies outside the server's folder is never touched.

        Raises:
            PhotoError: it is not a regular file in `uploads` or `examples`, whatever else it is.
        """
        named = self._find(path) if isinstance(path, str) else None
        if named is None:
            raise PhotoError("gone")
        try:
            real = named.resolve(strict=True)
            if self._find(str(real)) is None:  # a link led out of the folder
                raise PhotoError("gone")
            return read_file(real)
        except (OSError, PhotoError) as error:
            raise PhotoError("gone") from error

    def allows(self, path: object) -> bool:
        """Whether a path names something in `uploads` or `examples`; no file is touched."""
        return isinstance(path, str) and self._find(path) is not None

    def make_room(self, size_bytes: int) -> bool:
        """Delete the oldest uploads where one more of this size would exceed the quota.

        Those that are still arriving are not deleted, and get at most half of the quota.

        Returns:
            Whether there is room.
        """
        return self._sweep(size_bytes)

    def _find(self, path: str) -> Path | None:
        # Only as the page itself names files: others may be an address to Gradio, such as
        # "http://host/../../..", which leads back here.
        if path != os.path.abspath(path):  # noqa: PTH100  # unlike resolve, touches no file
            return None
        found = Path(path)
        inside = any(found.is_relative_to(root) for root in (self.uploads, self.examples))
        return found if inside else None

    def _sweep_on(self) -> None:
        while not self._stopped.wait(SWEEP_SECONDS):
            self._sweep()

    def _sweep(self, needed_bytes: int = 0) -> bool:
        with self._sweeping:
            now = time.time()
            kept: list[tuple[float, int, Path]] = []
            arriving = 0
            for path, status in _files(self.uploads):
                unfinished = path.parent == self.uploads  # Gradio moves what is complete
                limit = UNFINISHED_SECONDS if unfinished else self.max_age_seconds
                if now - status.st_mtime > limit:
                    _delete(path, self.uploads)
                elif unfinished:
                    arriving += status.st_size
                else:
                    kept.append((status.st_mtime, status.st_size, path))
            fits = arriving + needed_bytes <= self.quota_bytes // 2
            wanted = arriving + needed_bytes if fits else arriving
            total, count = wanted + sum(size for _, size, _ in kept), len(kept)
            for _, size, path in sorted(kept, key=lambda file: file[0]):
                if total <= self.quota_bytes and count < MAX_FILES:
                    break
                _delete(path, self.uploads)
                total, count = total - size, count - 1
            return fits


def delete_abandoned(parent: Path) -> None:
    """Delete the folders in `parent` whose servers no longer run, such as after `kill -9`."""
    if fcntl is None:
        return
    for folder in parent.glob(f"{PREFIX}*"):
        try:
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            if not (folder / LOCK_FILE).exists():
                if time.time() - status.st_mtime < UNLOCKED_SECONDS:
                    continue
            elif (lock := _lock(folder / LOCK_FILE)) is None:
                continue  # its server runs
            else:
                lock.close()
        except OSError:
            continue
        log.info("deleting %s, which a server left behind", folder)
        shutil.rmtree(folder, ignore_errors=True)


def _lock(path: Path) -> IO[bytes] | None:
    """Hold a lock that ends with this process however it ends; None where another holds it."""
    file = path.open("wb")
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            try:
                found.append((path, path.lstat()))
            except OSError:  # deleted meanwhile
                continue
    return found


def _delete(path: Path, uploads: Path) -> None:
    with contextlib.suppress(OSError):  # gone already
        path.unlink()
    if path.parent != uploads:  # Gradio makes a folder for each content
        with contextlib.suppress(OSError):  # it holds another name of the same content
            path.parent.rmdir()
