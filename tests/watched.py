"""Records what a process does outside itself; to be copied to where Python finds sitecustomize.py.

Connections to other machines fail, as without a network. They, and files opened for writing, are
lines of the file that WATCHED_LOG names: "connect HOST" and "write PATH". Children are watched too.
"""

import os
import sys
from typing import Any

HERE = (None, "", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::")


def log(line: str) -> None:
    os.write(LOG, f"{line}\n".encode())


# Not with pathlib, which is not loaded yet.
def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: sees every event before it happens, and may stop it."""
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str) and flags & (os.O_WRONLY | os.O_RDWR):
            log(f"write {os.path.abspath(path)}")  # noqa: PTH100
    elif event == "os.mkdir":
        log(f"write {os.path.abspath(os.fspath(arguments[0]))}")  # noqa: PTH100
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect"):
        address = arguments[1] if event == "socket.connect" else arguments
        host = address[0] if isinstance(address, tuple) else None  # else the path of a Unix socket
        if (host.decode() if isinstance(host, bytes) else host) not in HERE:
            log(f"connect {host}")
            raise OSError(f"no network, so no {host}")


LOG = os.open(os.environ["WATCHED_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
sys.addaudithook(watch)
