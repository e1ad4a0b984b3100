"""Middleware between strangers and Gradio: which requests pass, and how much of them is read.

Knows HTTP and Gradio's routes; knows no photo and no model. Whatever Gradio serves and the page
does not need is closed.
"""

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.formparsers import MultiPartException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captioner.page.own_files import PRELOAD, OwnFiles
from captioner.page.request_log import log_request
from captioner.page.visitor_files import VisitorFiles

log = logging.getLogger(__name__)

API = "/gradio_api/"
FILE_ROUTE = f"{API}file="
UPLOAD_ROUTE = f"{API}upload"
JOIN_ROUTE = f"{API}queue/join"
CALL_ROUTE, CALL_V2_ROUTE = f"{API}call/", f"{API}call/v2/"

READ_ROUTES = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|pwa_icon(/\d+)?)/?"
    r"|/(assets|static|svelte)/.+"
    r"|/gradio_api/(info|openapi\.json|app_id|theme\.css|startup-events|upload_progress"
    r"|queue/(data|status)|heartbeat/\w+|call/(v2/)?caption/\w+|file=.+)/?"
)
CALL_ROUTES = re.compile(r"/gradio_api/(queue/join|call/(v2/)?caption|cancel|reset)/?")
"""Whose body is JSON. Not `run` and `api`, which go round the queue and its limits."""
QUIET_ROUTES = re.compile(r"/(assets|static|svelte|page|healthz)\b.*")
"""Which are not logged: dozens for each visit."""

RANGE = re.compile(r"bytes=\d{0,18}-\d{0,18}")
MAX_CALL_BYTES = 256_000
"""A caption of 80 words with 64 regions is some 60 kB."""
MAX_QUERY_BYTES, MAX_SESSION_LETTERS, MAX_PATH_LETTERS = 500, 64, 1000
"""Gradio keeps some of these for as long as it runs, and echoes a photo's path."""
MAX_NAME_BYTES = 255
"""Of a file, on the usual file systems."""
UNUSABLE_PATH = "unusable"
"""In place of a path that is none."""
MAX_UPLOAD_BYTES = 10 * 1024 * 1024
"""Of a photo; Gradio's `max_file_size` must be the same."""
MAX_FORM_BYTES = MAX_UPLOAD_BYTES + 64_000
MAX_FILES = 4
"""In one request. The page sends one."""
CALL_SECONDS, UPLOAD_SECONDS = 20.0, 120.0
"""For a request's body to arrive."""

LOOPBACK_HOSTS = ("localhost", "*.localhost", "127.0.0.1", "::1", "[::1]")
TUNNEL_HOST = "*.gradio.live"
"""Of the addresses that `share` gives."""

GRADIO_PREVIEW = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')

PRELOADING_HEAD = f"<head>{PRELOAD}".encode()

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
        if scope["type"] != "http" or QUIET_ROUTES.fullmatch(_route(scope)):
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
            log_request(f"http {_kind(_route(scope))}", time.monotonic() - start, status)


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
            log.error("%s in a request for %s", type(error).__name__, _kind(_route(scope)))
            if begun or scope["type"] != "http":
                raise ConnectionAbortedError from None
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            await _refuse(status, "The request could not be answered.")(scope, receive, send)


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
        is_file = _route(scope).startswith(FILE_ROUTE)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = FILE_POLICY if is_file else self._page_policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Health:
    """CaptionService /healthz: 200 while captions can be made, else 503."""

    def __init__(self, app: ASGIApp, is_healthy: Callable[[], bool]) -> None:
        self.app, self._is_healthy = app, is_healthy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _route(scope) != "/healthz":
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
            await _refuse(status, f"{status.phrase.capitalize()}.")(scope, receive, send)

    def _refusal(self, scope: Scope) -> HTTPStatus | None:
        route, method = _route(scope), scope["method"]
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


class BoundedCalls:
    """Limits the size of a call, and keeps of its photos only their paths.

    Gradio would fetch the address that a photo's other fields may name, and answer differently for
    paths of files that exist. A path alone it passes on as it is.
    """

    def __init__(
        self, app: ASGIApp, admits: Callable[[str | None], bool], events: frozenset[int]
    ) -> None:
        self.app, self._admits, self._events = app, admits, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not CALL_ROUTES.fullmatch(_route(scope)):
            await self.app(scope, receive, send)
            return
        try:
            body = await self._checked_body(scope, receive)
        except _RefusedError as refusal:
            await _refuse(refusal.status, str(refusal))(scope, receive, send)
        except ConnectionError:
            return
        else:
            await self.app(_with_length(scope, len(body)), _replay(body, receive), send)

    async def _checked_body(self, scope: Scope, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                call = json.loads(await _read_body(scope, receive))
        except TimeoutError:
            text = "The request took too long to arrive."
            raise _RefusedError(HTTPStatus.REQUEST_TIMEOUT, text) from None
        except (ValueError, RecursionError):
            call = None
        if not isinstance(call, dict):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The request must be a JSON object.")
        session = call.get("session_hash")
        if not isinstance(session, str | None) or len(session or "") > MAX_SESSION_LETTERS:
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The request names no session.")
        route = _route(scope).rstrip("/")
        event = call.get("fn_index")
        if route == JOIN_ROUTE and not (isinstance(event, int) and event in self._events):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The page has no such event.")
        if route.startswith(CALL_V2_ROUTE):
            call = {"photo": call.get("photo")}
        if route.startswith((JOIN_ROUTE, CALL_ROUTE)) and not self._admits(session):
            text = "Too many requests are waiting to be answered or read. Try again in a minute."
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, text)
        return json.dumps(_with_bare_paths(call)).encode()


class BoundedUploads:
    """Lets through forms of a few files, and makes room for them on the disk.

    It raises the errors of Starlette's parser, on which Gradio deletes what it has written.
    """

    def __init__(self, app: ASGIApp, files: VisitorFiles) -> None:
        self.app, self._files = app, files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _route(scope).rstrip("/") != UPLOAD_ROUTE:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if (size := _declared_size(headers)) is not None and size > MAX_FORM_BYTES:
            text = f"This file has more than {MAX_UPLOAD_BYTES} bytes, which is the limit."
            refusal = _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
            await refusal(scope, receive, send)
            return
        _, options = parse_options_header(headers.get("content-type"))
        form = _Form(options.get(b"boundary", b""))
        await asyncio.to_thread(self._files.make_room, MAX_FORM_BYTES if size is None else size)
        ends_at = asyncio.get_running_loop().time() + UPLOAD_SECONDS

        async def receive_checked() -> Message:
            try:
                async with asyncio.timeout_at(ends_at):
                    message = await receive()
            except TimeoutError:
                raise MultiPartException("The upload took too long.") from None
            if message["type"] == "http.request":
                form.check(message.get("body", b""))
                if not message.get("more_body"):
                    form.is_whole = True
            elif not form.is_whole:
                raise MultiPartException("The upload was broken off.")
            return message

        await self.app(scope, receive_checked, send)


class OwnHead:
    """Changes the page's head: adds the viewer's modules, and removes Gradio's link preview.

    The preview has a picture from another host; the title remains. Middleware, since Gradio has no
    setting for the one, and adds to the head only by its own script.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _route(scope) != "/" or scope["method"] != "GET":
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
            page = GRADIO_PREVIEW.sub(b"", page).replace(b"<head>", PRELOADING_HEAD, 1)
            MutableHeaders(scope=start)["content-length"] = str(len(page))
            await send(start)
            await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, send_changed)


class _RefusedError(Exception):
    """Ends a request with a status and a text."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Form:
    """Checks a form while it arrives; keeps nothing of it."""

    def __init__(self, boundary: bytes) -> None:
        self.is_whole = False
        self._size = self._num_files = 0
        self._name = self._value = self._disposition = b""
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except MultipartParseError:
            self._parser = None  # Gradio refuses it as well

    def check(self, data: bytes) -> None:
        """Raise MultiPartException where more of the form has come than there may be."""
        self._size += len(data)
        if self._size > MAX_FORM_BYTES:
            raise MultiPartException(
                f"The upload is above the maximum allowed size of {MAX_UPLOAD_BYTES} bytes."
            )
        try:
            if self._parser:
                self._parser.write(data)
        except MultipartParseError as error:
            raise MultiPartException(f"The upload is not a valid form: {error}.") from error

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._take_name,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._check_part,
        }

    def _begin_part(self) -> None:
        self._disposition = b""

    def _take_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _check_part(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            raise MultiPartException("An upload may hold files alone, and no other fields.")
        self._num_files += 1
        if self._num_files > MAX_FILES:
            raise MultiPartException(f"An upload may hold at most {MAX_FILES} files.")


def _route(scope: Scope) -> str:
    """The path without that under which a proxy serves the page."""
    return scope["path"].removeprefix(scope.get("root_path", "").rstrip("/")) or "/"


def _kind(route: str) -> str:
    """A name for the log, of a fixed set."""
    parts = route.removeprefix(API).split("/")
    known = READ_ROUTES.fullmatch(route) or CALL_ROUTES.fullmatch(route)
    if route.startswith(FILE_ROUTE):
        return "file"
    if route == "/":
        return "page"
    if not known and route.rstrip("/") != UPLOAD_ROUTE:
        return "other"
    return "/".join(parts[:2]) if parts[0] == "queue" else parts[0].strip("/") or parts[1]


def _refuse(status: HTTPStatus, text: str) -> PlainTextResponse:
    # What is left of the body is not read, so nothing else can come over this connection.
    return PlainTextResponse(text, status, headers={"Connection": "close"})


def _declared_size(headers: Headers) -> int | None:
    size = headers.get("content-length", "")
    return int(size) if size.isdecimal() and len(size) < 20 else None


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    text = f"Request too large: the limit is {MAX_CALL_BYTES} bytes."
    too_large = _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
    if (_declared_size(Headers(scope=scope)) or 0) > MAX_CALL_BYTES:
        raise too_large
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        if len(body) > MAX_CALL_BYTES:
            raise too_large
        if not message.get("more_body"):
            return body


def _with_bare_paths(call: dict[str, Any]) -> dict[str, Any]:
    """Reduce each dict of a call's inputs that has a path to its path."""
    bare = {name: _bare(value) for name, value in call.items()}
    return {**bare, "event_data": call["event_data"]} if "event_data" in call else bare


def _bare(value: Any) -> Any:
    if isinstance(value, list):
        return [_bare(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "path" in value or "url" in value:
        path = value.get("path")
        return {"path": path if path is None or _is_path(path) else UNUSABLE_PATH}
    return {name: _bare(part) for name, part in value.items()}


def _is_path(value: Any) -> bool:
    # A lone surrogate could not be sent back.
    return isinstance(value, str) and len(value) <= MAX_PATH_LETTERS and value.isprintable()


def _with_length(scope: Scope, length: int) -> Scope:
    """The request with a body of another length."""
    dropped = (b"content-length", b"transfer-encoding")
    headers = [header for header in scope["headers"] if header[0] not in dropped]
    return {**scope, "headers": [*headers, (b"content-length", str(length).encode())]}


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give a body that has been read once more."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
