"""Why a photo cannot be read: a code, the values that belong to it, and the English for both."""

from typing import Any

MESSAGES = {
    "folder": "{name} is a folder, not a photo; name the photos in it",
    "not_a_file": "{name} is not a regular file",
    "permission_denied": "{name} cannot be opened: permission denied",
    "unreadable": "{name} cannot be read ({reason})",
    "too_many_bytes": "{name} has more than {max_bytes} bytes, which is the limit",
    "format": "{name} is not a photo this program can read; "
    "use JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF",
    "damaged": "{name} is damaged or incomplete ({reason}); try another copy",
    "too_small": "{name} must be at least {min_side} pixels on each side, got {width} x {height}",
    "too_long_sides": "{name} must have sides of at most {max_side} pixels, got {width} x {height}",
    "too_elongated": "{name} must be at most {max_ratio} times as long as it is wide, "
    "got {width} x {height}",
    "too_many_pixels": "{name} has more than {max_pixels} pixels, which is the limit",
    "too_complex": "{name} is made of too many parts; save it again with another program",
    "too_slow": "{name} takes more than {seconds:g} seconds to read, which is the limit",
    "too_much_memory": "{name} takes too much memory to read",
    "gone": "The photo is no longer on the server. Choose it again.",
}
"""By code. A placeholder is the name of a value."""


class PhotoError(ValueError):
    """A photo cannot be read. The text is English, and fit for a visitor to read.

    Attributes:
        code: a key of MESSAGES.
        values: what the message's placeholders stand for, as plain JSON data.
    """

    def __init__(self, code: str, values: dict[str, Any] | None = None) -> None:
        """Make the error.

        Args:
            code: a key of MESSAGES. Anything else is the message itself: torch's DataLoader
                rebuilds an error of its workers from a text alone.
        """
        super().__init__(code, values)
        self.code, self.values = code, values or {}

    def __str__(self) -> str:
        """The message in English."""
        return MESSAGES[self.code].format(**self.values) if self.code in MESSAGES else self.code
