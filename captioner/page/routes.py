"""Gradio's routes: which of them the page needs, and how the rest is refused. Knows HTTP alone."""

import re
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import Scope

API = "/gradio_api/"
FILE_ROUTE = f"{API}file="
INFO_ROUTE = f"{API}info"
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


def route_of(scope: Scope) -> str:
    """The path without that under which a proxy serves the page."""
    return scope["path"].removeprefix(scope.get("root_path", "").rstrip("/")) or "/"


def kind_of(route: str) -> str:
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


def refuse(status: HTTPStatus, text: str) -> PlainTextResponse:
    # What is left of the body is not read, so nothing else can come over this connection.
    return PlainTextResponse(text, status, headers={"Connection": "close"})


def declared_size(headers: Headers) -> int | None:
    size = headers.get("content-length", "")
    return int(size) if size.isdecimal() and len(size) < 20 else None
