"""Errors with codes: what went wrong as data, and the English for it."""

from typing import Any, ClassVar


class CodedError(ValueError):
    """An error that callers may handle by its code; its text is English.

    Attributes:
        code: a key of MESSAGES.
        values: what the message's placeholders stand for, as plain JSON data.
    """

    MESSAGES: ClassVar[dict[str, str]] = {}

    def __init__(self, code: str, values: dict[str, Any] | None = None) -> None:
        super().__init__(code, values)
        self.code, self.values = code, values or {}

    def __str__(self) -> str:
        return (
            self.MESSAGES[self.code].format(**self.values)
            if self.code in self.MESSAGES
            else self.code
        )


class PhotoError(CodedError):
    """A photo cannot be read. The text is fit for a visitor of the page to read."""

    MESSAGES: ClassVar[dict[str, str]] = {
        "folder": "{name} is a folder, not a photo; name the photos in it",
        "not_a_file": "{name} is not a regular file",
        "permission_denied": "{name} cannot be opened: permission denied",
        "unreadable": "{name} cannot be read ({reason})",
        "too_many_bytes": "{name} has more than {max_bytes} bytes, which is the limit",
        "format": "{name} is not a photo this program can read; "
        "use JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF",
        "damaged": "{name} is damaged or incomplete ({reason}); try another copy",
        "too_small": "{name} must be at least {min_side} pixels on each side, "
        "got {width} x {height}",
        "too_long_sides": "{name} must have sides of at most {max_side} pixels, "
        "got {width} x {height}",
        "too_elongated": "{name} must be at most {max_ratio} times as long as it is wide, "
        "got {width} x {height}",
        "too_many_pixels": "{name} has more than {max_pixels} pixels, which is the limit",
        "too_complex": "{name} is made of too many parts; save it again with another program",
        "too_slow": "{name} takes more than {seconds:g} seconds to read, which is the limit",
        "too_much_memory": "{name} takes too much memory to read",
        "gone": "The photo is no longer on the server. Choose it again.",
    }
