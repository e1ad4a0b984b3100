"""The bodies of calls: how much of them is read, and what of them Gradio gets.

Knows HTTP, JSON and Gradio's routes; knows no photo and no model.
"""

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captioner.page.routes import (
    CALL_ROUTE,
    CALL_ROUTES,
    CALL_V2_ROUTE,
    JOIN_ROUTE,
    declared_size,
    refuse,
    route_of,
)

MAX_CALL_BYTES = 256_000
"""A caption of 80 words with 64 regions is some 60 kB."""
CALL_SECONDS = 20.0
"""For a call to arrive."""
MAX_SESSION_LETTERS, MAX_PATH_LETTERS = 64, 1000
"""Gradio keeps a session's name for as long as it runs, and echoes a photo's path."""
UNUSABLE_PATH = "unusable"
"""In place of a path that is none."""


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
        if scope["type"] != "http" or not CALL_ROUTES.fullmatch(route_of(scope)):
            await self.app(scope, receive, send)
            return
        try:
            body = await self._checked_body(scope, receive)
        except _RefusedError as refusal:
            await refuse(refusal.status, str(refusal))(scope, receive, send)
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
        route = route_of(scope).rstrip("/")
        event = call.get("fn_index")
        if route == JOIN_ROUTE and not (isinstance(event, int) and event in self._events):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "The page has no such event.")
        if route.startswith(CALL_V2_ROUTE):
            call = {"photo": call.get("photo")}
        if route.startswith((JOIN_ROUTE, CALL_ROUTE)) and not self._admits(session):
            text = "Too many requests are waiting to be answered or read. Try again in a minute."
            raise _RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, text)
        return json.dumps(_with_bare_paths(call)).encode()


class _RefusedError(Exception):
    """Ends a request with a status and a text."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


async def _read_body(scope: Scope, receive: Receive) -> bytes:
    text = f"Request too large: the limit is {MAX_CALL_BYTES} bytes."
    too_large = _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
    if (declared_size(Headers(scope=scope)) or 0) > MAX_CALL_BYTES:
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
    """Reduce each dict of a call's inputs that has a path to its path.

    The page names its photo by the path alone, in an event's data, of which nothing else is a path.
    """
    bare = {name: _bare(value) for name, value in call.items()}
    if "event_data" not in call:
        return bare
    event = call["event_data"]
    if isinstance(event, dict) and isinstance(event.get("photo"), str):
        path = event["photo"]
        event = {**event, "photo": path if _is_path(path) else UNUSABLE_PATH}
    return {**bare, "event_data": event}


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
