"""The page's look and manners: its theme, what another site shows of a link, how much it reads."""

import re
from importlib.resources import files

from gradio.themes import Default, GoogleFont
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSS = (files("captioner.ui") / "page.css").read_text(encoding="utf-8")

GRADIO_PREVIEW = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')


MAX_QUESTION_BYTES = 1_000_000
"""Of what a visitor sends, besides photos. A caption of 40 words is some 30 kB."""


def page_theme() -> Default:
    """Make the theme, of fonts that come with Gradio."""
    # Not 600: the semi-bold file that comes with Gradio lacks most letters.
    sans = GoogleFont("IBM Plex Sans", weights=(400, 700))
    return Default(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="zinc",
        font=[sans, "system-ui", "sans-serif"],
    )


class OwnPreview:
    """Takes Gradio's link preview, with a picture from another host, out of the page.

    Middleware, since Gradio has no setting for it. What remains for a preview is the title.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        start: Message = {}
        page = b""

        async def send_cleaned(message: Message) -> None:
            nonlocal start, page
            if message["type"] == "http.response.start":
                start = message
                return
            page += message.get("body", b"")
            if message.get("more_body"):
                return
            page = GRADIO_PREVIEW.sub(b"", page)
            MutableHeaders(scope=start)["content-length"] = str(len(page))
            await send(start)
            await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, send_cleaned)


class SmallQuestions:
    """Refuses to read long questions, before any of them is in memory.

    Photos are uploaded elsewhere, with a limit of their own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and "/upload" not in scope["path"]:
            size = Headers(scope=scope).get("content-length", "")
            if not size.isdecimal() or int(size) > MAX_QUESTION_BYTES:
                refusal = PlainTextResponse("That is too much to ask at once.", status_code=413)
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)
