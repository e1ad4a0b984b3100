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
