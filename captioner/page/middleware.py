"""Middleware between strangers and Gradio: which requests pass, and how much of them is read.

Knows HTTP and Gradio's routes; knows no photo and no model. Whatever Gradio serves and the page
does not need is closed.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from urllib.parse import urlsplit

from gradio.route_utils import get_root_url
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captioner.page.calls import BoundedCalls
from captioner.page.link_preview import link_preview
from captioner.page.own_files import PRELOAD, OwnFiles
from captioner.page.request_log import log_request
from captioner.page.routes import (
    CALL_ROUTES,
    FILE_ROUTE,
    QUIET_ROUTES,
    READ_ROUTES,
    UPLOAD_ROUTE,
    kind_of,
    refuse,
    route_of,
)
from captioner.page.uploads import BoundedUploads
from captioner.page.visitor_files import VisitorFiles

log = logging.getLogger(__name__)

RANGE = re.compile(r"bytes=\d{0,18}-\d{0,18}")
MAX_QUERY_BYTES = 500
"""Gradio keeps some of it for as long as it runs."""
MAX_NAME_BYTES = 255
"""Of a file, on the usual file systems."""

LOOPBACK_HOSTS = ("localhost", "*.localhost", "127.0.0.1", "::1", "[::1]")
TUNNEL_HOST = "*.gradio.live"
"""Of the addresses that `share` gives."""

GRADIO_PREVIEW = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')

PAGE_POLICY = (
    "default-src 'self'; "
    # Gradio's page has inline scripts, and compiles templates and event handlers.
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'"
)
FILE_POLICY = "default-src 'none'; sandbox"


def page_middleware(
    files: VisitorFiles,
    is_healthy: Callable[[], bool],
    admits: Callable[[str | None], bool],
    events: Iterable[int],
    allowed_hosts: Iterable[str] | None = None,
) -> list[Middleware]:
    """Make all of it, outermost first.

    Args:
        files: where uploads go, and room is made for them.
        is_healthy: what /healthz reports.
        admits: whether a session, or a new one, may make one more call.
        events: numbers of the events that may be called.
        allowed_hosts: host names under which the page may be requested, such as
            "photos.example.org" or "*.example.org", and whose pages may use it; by default any.
    """
    checks = [Middleware(NoForgedHosts, is_space=os.environ.get("SYSTEM") == "spaces")]
    if allowed_hosts is not None:
        hosts = list(allowed_hosts)
        checks = [
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
            Middleware(OwnPagesOnly, allowed_hosts=hosts),
            *checks,
        ]
    return [
        Middleware(RequestLog),
        Middleware(NoTracebacks),
        Middleware(SecurityHeaders, framed_by_any=allowed_hosts is None),
        Middleware(Health, is_healthy=is_healthy),
        *checks,
        Middleware(GZipMiddleware),
        Middleware(OwnFiles),
        Middleware(NeededRoutes, files=files),
        Middleware(BoundedCalls, admits=admits, events=frozenset(events)),
        Middleware(BoundedUploads, files=files),
        Middleware(OwnHead),
    ]


class RequestLog:
    """Logs each request when its answer has been sent."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or QUIET_ROUTES.fullmatch(route_of(scope)):
            await self.app(scope, receive, send)
            return
        start, status = time.monotonic(), "broken off"

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        finally:
            log_request(f"http {kind_of(route_of(scope))}", time.monotonic() - start, status)


class NoTracebacks:
    """Answers a request on which Gradio stumbles, and logs no more of it than that."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        except Exception as error:
            # Its text may hold what a stranger sent, line feeds included.
            log.error("%s in a request for %s", type(error).__name__, kind_of(route_of(scope)))
            if begun or scope["type"] != "http":
                raise ConnectionAbortedError from None
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            await refuse(status, "The request could not be answered.")(scope, receive, send)


class NoForgedHosts:
    """Takes out what else than Host would say under which name the page is served.

    Gradio believes it of anyone, and shows the name to all who ask for its description. On a Space
    the platform says it, and strangers cannot.
    """

    FORGED = (b"x-gradio-server", b"x-forwarded-host")

    def __init__(self, app: ASGIApp, is_space: bool) -> None:
        self.app = app
        self._dropped = self.FORGED[:1] if is_space else self.FORGED

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kept = [header for header in scope["headers"] if header[0] not in self._dropped]
            scope = {**scope, "headers": kept}
        await self.app(scope, receive, send)


class SecurityHeaders:
    """Tells browsers what the page may load, and to take no file for what it is not."""

    def __init__(self, app: ASGIApp, framed_by_any: bool) -> None:
        self.app = app
        self._page_policy = PAGE_POLICY + ("" if framed_by_any else "; frame-ancestors 'self'")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_file = route_of(scope).startswith(FILE_ROUTE)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = FILE_POLICY if is_file else self._page_policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Health:
    """Answers /healthz: 200 while captions can be made, else 503."""

    def __init__(self, app: ASGIApp, is_healthy: Callable[[], bool]) -> None:
        self.app, self._is_healthy = app, is_healthy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or route_of(scope) != "/healthz":
            await self.app(scope, receive, send)
            return
        healthy = self._is_healthy()
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        answer = JSONResponse({"status": "ok" if healthy else "unavailable"}, status)
        await answer(scope, receive, send)


class OwnPagesOnly:
    """Refuses what the pages of other sites send, which a browser says in `Origin`."""

    def __init__(self, app: ASGIApp, allowed_hosts: list[str]) -> None:
        async def pass_on(scope: Scope, receive: Receive, send: Send) -> None:
            await app(scope["asked"], receive, send)

        self.app = app
        self._hosts = TrustedHostMiddleware(pass_on, allowed_hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        if origin is None:
            await self.app(scope, receive, send)
            return
        # Starlette's check of a host, applied to the origin's.
        try:
            host = [(b"host", urlsplit(origin).netloc.encode("latin-1"))]
        except ValueError:
            host = []
        await self._hosts({**scope, "headers": host, "asked": scope}, receive, send)


class NeededRoutes:
    """Lets through what the page and its endpoint need."""

    def __init__(self, app: ASGIApp, files: VisitorFiles) -> None:
        self.app, self._files = app, files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http" or (status := self._refusal(scope)) is None:
            await self.app(scope, receive, send)
        else:
            await refuse(status, f"{status.phrase.capitalize()}.")(scope, receive, send)

    def _refusal(self, scope: Scope) -> HTTPStatus | None:
        route, method = route_of(scope), scope["method"]
        if method == "OPTIONS":  # Gradio's CORS middleware answers preflight requests
            return None
        if route.startswith(FILE_ROUTE) and not self._files.allows(route.removeprefix(FILE_ROUTE)):
            return HTTPStatus.NOT_FOUND
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            return HTTPStatus.REQUEST_URI_TOO_LONG
        if any(len(part.encode()) > MAX_NAME_BYTES for part in route.split("/")):
            return HTTPStatus.NOT_FOUND
        ranges = Headers(scope=scope).get("range")
        if ranges is not None and not RANGE.fullmatch(ranges):
            return HTTPStatus.BAD_REQUEST
        reads = READ_ROUTES.fullmatch(route) is not None
        writes = CALL_ROUTES.fullmatch(route) or route.rstrip("/") == UPLOAD_ROUTE
        if (reads and method in ("GET", "HEAD")) or (writes and method == "POST"):
            return None
        return HTTPStatus.METHOD_NOT_ALLOWED if reads or writes else HTTPStatus.NOT_FOUND


class OwnHead:
    """Changes the page's head: adds the viewer's modules, and a link preview in place of Gradio's.

    Gradio's preview has a picture from another host. Middleware, since Gradio has no setting for
    the one, and adds to the head only by its own script, which sites that show links do not run.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or route_of(scope) != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        start: Message = {}
        page = b""

        async def send_changed(message: Message) -> None:
            nonlocal start, page
            if message["type"] == "http.response.start":
                start = message
                return
            page += message.get("body", b"")
            if message.get("more_body"):
                return
            # As Gradio itself finds the address. By now the host is one that is allowed.
            address = get_root_url(Request(scope), "/", scope.get("root_path"))
            head = f"<head>{link_preview(address)}{PRELOAD}".encode()
            page = GRADIO_PREVIEW.sub(b"", page).replace(b"<head>", head, 1)
            MutableHeaders(scope=start)["content-length"] = str(len(page))
            await send(start)
            await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, send_changed)
