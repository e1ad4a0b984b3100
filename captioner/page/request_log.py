"""A line of JSON for each request: what kind, how long, what came of it. Nothing of its content.

Knows no request and no visitor: never a photo, a name, a caption or an address.
"""

import json
import logging
from datetime import UTC, datetime

log = logging.getLogger("captioner.requests")

OK, REFUSED, BUSY, LEFT, FAULT = "ok", "refused", "busy", "left", "fault"
"""Outcomes, besides the codes of PhotoError: answered, refused with a message, refused because too
many wait, given up by the visitor, and failed here."""


def log_request(kind: str, seconds: float, outcome: str) -> None:
    """Log a request that is done.

    Args:
        kind: of a fixed set, never a visitor's text.
        seconds: it took, waiting included.
        outcome: OK and the like, a PhotoError's code, or an HTTP status.
    """
    log.info("", extra={"kind": kind, "ms": round(seconds * 1000, 1), "outcome": outcome})


class JsonLines(logging.Formatter):
    """Formats records of `log_request` as JSON, and any other record as text within it."""

    def format(self, record: logging.LogRecord) -> str:
        """One line: time, level, and the request's fields or the message."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "level": record.levelname.lower()}
        if hasattr(record, "kind"):
            line |= {name: getattr(record, name) for name in ("kind", "ms", "outcome")}
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr() -> None:
    """Send what this package logs to standard error, a line of JSON each."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in ("captioner", "uvicorn.error"):
        log = logging.getLogger(name)
        log.handlers = [handler]
        log.setLevel(logging.INFO if name == "captioner" else logging.WARNING)
        log.propagate = False
