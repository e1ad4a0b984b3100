"""The page's own files, for browsers: JavaScript, styles, markup and texts. Knows HTTP alone.

They are served at /page/VERSION/, where VERSION stands for their content: browsers keep them, and
never mix those of two releases.
"""

import hashlib
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

CONTENT_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "jpg": "image/jpeg",
    "js": "text/javascript",
    "json": "application/json",
}
"""By the end of a file's name. Not the system's table, which may say otherwise."""
FOLDERS = ("static", "locales")


def _read_all(package: Traversable) -> dict[str, bytes]:
    found = [
        (f"{folder}/{file.name}", file)
        for folder in FOLDERS
        for file in (package / folder).iterdir()
        if file.name.rpartition(".")[2] in CONTENT_TYPES
    ]
    return {name: file.read_bytes() for name, file in sorted(found, key=lambda item: item[0])}


OWN_FILES = _read_all(files("captioner.page"))
VERSION = hashlib.sha256(repr(OWN_FILES).encode()).hexdigest()[:12]
OWN_ROUTE = f"/page/{VERSION}/"
MODULES = [
    name
    for name in OWN_FILES
    if name.endswith(".js") and name != "static/types.js"  # which is for the type checker alone
]
PRELOAD = "".join(
    [
        f'<link rel="stylesheet" href="{OWN_ROUTE[1:]}static/page.css">',
        *(f'<link rel="modulepreload" href="{OWN_ROUTE[1:]}{name}">' for name in MODULES),
    ]
)
"""HTML by which a browser has the page's style before it draws any of it, and loads the modules
while Gradio starts; relative to the page."""


class OwnFiles:
    """Answers requests for these files; any other passes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
        if scope["type"] != "http" or not route.startswith("/page/"):
            await self.app(scope, receive, send)
            return
        await _answer(scope["method"], route)(scope, receive, send)


def _answer(method: str, route: str) -> Response:
    content = OWN_FILES.get(route.removeprefix(OWN_ROUTE))
    if not route.startswith(OWN_ROUTE) or content is None:
        return PlainTextResponse("Not found.", HTTPStatus.NOT_FOUND)
    if method not in ("GET", "HEAD"):
        return PlainTextResponse("Method not allowed.", HTTPStatus.METHOD_NOT_ALLOWED)
    return Response(
        content,
        media_type=CONTENT_TYPES[route.rpartition(".")[2]],
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )
