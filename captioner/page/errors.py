"""Errors of the page: codes, the values that belong to them, and the English for both.

The viewer shows them in the browser's language, by code: see `errors` in `locales`.
"""

import math
from typing import Any, ClassVar

from captioner.errors import CodedError, PhotoError

REQUEST_ERROR = "request_error"
"""The code of a ValueError that has none."""
MAX_LETTERS = 300
"""Of a value that is text, as a visitor gets it."""


class PageError(CodedError):
    """A request that cannot be answered. The text is fit for a visitor to read."""

    MESSAGES: ClassVar[dict[str, str]] = {
        "no_photo": "There is no photo yet. Choose one, and it will be captioned.",
        "queue_full": "Too many photos are waiting here just now. Try again in a minute.",
        "fault": "Something went wrong here, not with your photo. Try again in a moment.",
        "option_unknown": "no such option here: {name!r}",
        "option_out_of_range": "{name} must be from {low} to {high}, got {got}",
        "caption_too_many_letters": "A caption here must have at most {limit} letters, got {got}.",
        "caption_too_many_words": "A caption here must have at most {limit} words, got {got}.",
        "caption_malformed": "this is not a caption's data: {reason}",
        "animation_length": "an animation must have from {low} to {high} words, got {got}",
        "request_malformed": "{reason}",
    }

    def __init__(self, code: str, **values: Any) -> None:
        super().__init__(code, values)


def error_data(error: ValueError) -> dict[str, Any]:
    """Describe an error to a visitor, as plain JSON data: `code`, `values`, and `message`."""
    values = {name: _plain(value) for name, value in getattr(error, "values", {}).items()}
    if isinstance(error, PhotoError) and "name" in values:
        values["name"] = "This file"  # not a name that only the server knows
    code = getattr(error, "code", REQUEST_ERROR)
    return {"code": code, "values": values, "message": visitors_message(error)}


def visitors_message(error: ValueError) -> str:
    """What a visitor reads of an error: no name of a file that only the server knows."""
    if isinstance(error, PhotoError):
        named = {**error.values, "name": "This file"} if "name" in error.values else error.values
        text = str(PhotoError(error.code, named))
        return text if text.endswith(".") else f"{text}."
    return str(error)


def _plain(value: Any) -> Any:
    """A value that JSON can hold, and no more of it than a visitor would read."""
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))[:MAX_LETTERS]
    return str(value)[:MAX_LETTERS]
