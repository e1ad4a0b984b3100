"""The page's look: its theme, and what another site shows of a link to it."""

import re
from importlib.resources import files

from gradio.themes import Default, GoogleFont
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CSS = (files("captioner.ui") / "page.css").read_text(encoding="utf-8")

GRADIO_PREVIEW = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')


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
