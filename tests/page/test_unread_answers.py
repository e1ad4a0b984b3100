"""Answers that nobody reads are dropped, and no others."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

import captioner.page.unread_answers as module
from captioner.page.unread_answers import UnreadAnswers


class SimpleDict(dict[str, Any]):
    max_size = 2000


def queue_of(**sessions: tuple[int, bool]) -> Any:
    """Gradio's queue: for each session, so many answers, and whether an event is under way."""
    queue = SimpleNamespace(
        pending_messages_per_session=SimpleDict(),
        pending_event_ids_session={},
        event_ids_to_events={},
    )
    for session, (answers, under_way) in sessions.items():
        queue.pending_messages_per_session[session] = asyncio.Queue()
        for _ in range(answers):
            queue.pending_messages_per_session[session].put_nowait("answer")
        queue.pending_event_ids_session[session] = {f"event of {session}"}
        if under_way:
            queue.event_ids_to_events[f"event of {session}"] = "event"
    return queue


def test_an_answer_that_lies_there_at_two_checks_is_dropped() -> None:
    queue = queue_of(unread=(2, False), read=(0, False), runs=(1, True))
    queue.pending_event_ids_session["over"] = set()
    unread = UnreadAnswers(queue, check_seconds=0)
    unread.admits(None)
    assert set(queue.pending_messages_per_session) == {"unread", "read", "runs"}
    assert "over" not in queue.pending_event_ids_session
    unread.admits(None)
    assert set(queue.pending_messages_per_session) == {"read", "runs"}
    assert set(queue.pending_event_ids_session) == {"read", "runs"}
    queue.event_ids_to_events.clear()
    unread.admits(None)
    unread.admits(None)
    assert set(queue.pending_messages_per_session) == {"read"}


def test_a_session_that_begins_anew_is_not_taken_for_the_one_before() -> None:
    queue = queue_of(page=(1, False))
    unread = UnreadAnswers(queue, check_seconds=0)
    unread.admits(None)
    queue.pending_messages_per_session["page"] = asyncio.Queue()
    queue.pending_messages_per_session["page"].put_nowait("answer")
    unread.admits(None)
    assert set(queue.pending_messages_per_session) == {"page"}


def test_checks_come_only_so_often() -> None:
    queue = queue_of(unread=(1, False))
    unread = UnreadAnswers(queue, check_seconds=60)
    for _ in range(3):
        unread.admits(None)
    assert set(queue.pending_messages_per_session) == {"unread"}


def test_no_session_begins_where_there_are_too_many_and_none_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_SESSIONS", 2)
    queue = queue_of(waits=(0, True), other=(1, False))
    unread = UnreadAnswers(queue, check_seconds=60)
    assert queue.pending_messages_per_session.max_size > 2
    assert not unread.admits(None)
    assert not unread.admits("new")
    assert unread.admits("waits")
    del queue.pending_messages_per_session["other"]
    assert unread.admits("new")


def test_a_session_has_only_so_many_calls_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNREAD", 3)
    unread = UnreadAnswers(queue_of(page=(1, True), full=(2, True)), check_seconds=60)
    assert unread.admits("page")
    assert not unread.admits("full")
