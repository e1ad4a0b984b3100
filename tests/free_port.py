"""A port of loopback that nothing listens on."""

import socket


def free_port() -> int:
    """Find one. Another process could take it before it is used; that is rare enough for tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
