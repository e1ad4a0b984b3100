"""Uploads: how much of a form is read, and of what parts.

Knows HTTP, forms and the folder of visitors' files; knows no photo and no model.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captioner.page.routes import UPLOAD_ROUTE, declared_size, refuse, route_of
from captioner.page.visitor_files import VisitorFiles

MAX_UPLOAD_BYTES = 10 * 1024 * 1024
"""Of a photo; Gradio's `max_file_size` must be the same."""
MAX_FORM_BYTES = MAX_UPLOAD_BYTES + 64_000
MAX_FILES = 4
"""In one request. The page sends one."""
UPLOAD_SECONDS = 120.0
"""For an upload to arrive."""
STALL_SECONDS = 15.0
"""For the next part of it to arrive."""
STEPS = 16
"""Into which the quota of visitors' files is divided: room is made again after each."""
BUSY = "Too many uploads are arriving just now. Try again in a minute."


class BoundedUploads:
    """Lets through forms of a few files, and makes room for them on the disk.

    It raises the errors of Starlette's parser, on which Gradio deletes what it has written.
    """

    def __init__(self, app: ASGIApp, files: VisitorFiles) -> None:
        self.app, self._files = app, files
        self._step = files.quota_bytes // STEPS
        self._received = 0
        """Bytes since room was last made for what arrives."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or route_of(scope).rstrip("/") != UPLOAD_ROUTE:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if (size := declared_size(headers)) is not None and size > MAX_FORM_BYTES:
            text = f"This file has more than {MAX_UPLOAD_BYTES} bytes, which is the limit."
            refusal = refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
            await refusal(scope, receive, send)
            return
        _, options = parse_options_header(headers.get("content-type"))
        form = _Form(options.get(b"boundary", b""))
        if not await self._make_room(MAX_FORM_BYTES if size is None else size):
            await refuse(HTTPStatus.SERVICE_UNAVAILABLE, BUSY)(scope, receive, send)
            return
        clock = asyncio.get_running_loop().time
        ends_at = clock() + UPLOAD_SECONDS

        async def receive_checked() -> Message:
            try:
                async with asyncio.timeout_at(min(ends_at, clock() + STALL_SECONDS)):
                    message = await receive()
            except TimeoutError:
                raise MultiPartException("The upload took too long.") from None
            if message["type"] == "http.request":
                form.check(message.get("body", b""))
                await self._count(len(message.get("body", b"")))
                if not message.get("more_body"):
                    form.is_whole = True
            elif not form.is_whole:
                raise MultiPartException("The upload was broken off.")
            return message

        await self.app(scope, receive_checked, send)

    async def _count(self, size: int) -> None:
        """Check the disk whenever so much has arrived, in all uploads together."""
        self._received += size
        if self._received > self._step:
            self._received = 0
            if not await self._make_room(self._step):
                raise MultiPartException(BUSY)

    async def _make_room(self, size: int) -> bool:
        return await asyncio.to_thread(self._files.make_room, size)


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
