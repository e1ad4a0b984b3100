"""Connections that send nothing: they are ended, and there may be many of them.

Knows uvicorn's server, which has no limit on the time before a request has come.
"""

import asyncio
import contextlib
from typing import Any

import uvicorn

try:
    import resource
except ImportError:  # Windows, where there is no such limit
    resource = None

SILENT_SECONDS = 20.0


def allow_many_connections() -> None:
    """Raise the number of files that this process may have open as far as it may."""
    if resource is None:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems say more than they allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def end_silent_connections(server: uvicorn.Server, seconds: float = SILENT_SECONDS) -> None:
    """Make a running server end connections on which no whole request comes.

    Args:
        seconds: without the headers of a request, at least; at most twice as many.
    """
    protocol: Any = server.config.http_protocol_class

    class EndingProtocol(protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._check = self.loop.call_later(seconds, self._end_if_silent, None)

        def connection_lost(self, exc: Exception | None) -> None:
            self._check.cancel()
            super().connection_lost(exc)

        def _end_if_silent(self, last: Any) -> None:
            answered = self.cycle is None or self.cycle.response_complete
            if answered and self.cycle is last:
                self.transport.close()
            else:
                self._check = self.loop.call_later(seconds, self._end_if_silent, self.cycle)

    server.config.http_protocol_class = EndingProtocol
