"""Serve the page with the fake model: `python -m tests.page.fake_server PORT SECONDS`.

A process of its own, which a test can kill as a crash would. An answer takes SECONDS.
"""

import sys
import tempfile
import threading
from pathlib import Path

from tests.serving import FakeModel, serving


def main(port: int, seconds: float) -> None:
    """Serve until the process is ended."""
    model = FakeModel()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(model, Path(folder), server_port=port),
    ):
        model.seconds = seconds
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
