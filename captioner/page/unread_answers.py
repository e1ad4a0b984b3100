"""Answers that nobody reads: Gradio keeps them until 2,000 sessions later; here they are dropped.

Knows Gradio's queue, private parts of release 6.31 included: it has no setting for this. An answer
takes up to a megabyte, and who calls need not read.
"""

import time
from typing import Any

MAX_SESSIONS = 512
"""That have calls under way or answers to read; more than can wait in the line. Gradio would cut
off the oldest, which may be waiting, for one more."""
MAX_UNREAD = 32
"""Calls and answers of one session. The page has two or three."""
CHECK_SECONDS = 30.0


class UnreadAnswers:
    """Drops the answers of a queue that nobody reads."""

    def __init__(self, queue: Any, check_seconds: float = CHECK_SECONDS) -> None:
        """Bound what the queue keeps.

        Args:
            queue: a gradio.queueing.Queue.
            check_seconds: between two checks. An answer that is there at both has no reader: a
                reader takes it at once.
        """
        self._queue, self._check_seconds = queue, check_seconds
        queue.pending_messages_per_session.max_size = 2 * MAX_SESSIONS  # never reached
        self._checked_at = time.monotonic()
        self._lying: dict[str, int] = {}

    def admits(self, session: str | None) -> bool:
        """Whether a session may make one more call. To be called in the queue's event loop.

        Args:
            session: its hash; None for a new one.
        """
        if time.monotonic() - self._checked_at >= self._check_seconds:
            self._checked_at = time.monotonic()
            self._drop()
        messages = self._queue.pending_messages_per_session
        if session is None or session not in messages:
            return len(messages) < MAX_SESSIONS
        events = self._queue.pending_event_ids_session.get(session, ())
        return len(events) + messages[session].qsize() < MAX_UNREAD

    def _drop(self) -> None:
        messages = self._queue.pending_messages_per_session
        events: dict[str, set[str]] = self._queue.pending_event_ids_session
        unread = {
            session: id(answers)
            for session, answers in messages.items()
            if not answers.empty() and not self._is_under_way(session)
        }
        for session in [s for s in unread if self._lying.get(s) == unread[s]]:
            del messages[session], unread[session]
            events.pop(session, None)
        for session in [s for s in events if not events[s] or s not in messages]:
            if session not in unread and not self._is_under_way(session):
                del events[session]
                messages.pop(session, None)
        self._lying = unread

    def _is_under_way(self, session: str) -> bool:
        events = self._queue.pending_event_ids_session.get(session, ())
        return any(event in self._queue.event_ids_to_events for event in events)
