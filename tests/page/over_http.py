"""What tests send to the page's server over plain HTTP, as a program or an attacker would."""

import itertools
import json
from pathlib import Path
from typing import Any

import httpx

TIMEOUT = 60
META = {"_type": "gradio.FileData"}
_sessions = itertools.count()


def upload(address: str, path: Path) -> dict[str, Any]:
    """Upload a file; gives it as the page names it afterwards."""
    with path.open("rb") as file:
        reply = httpx.post(f"{address}/gradio_api/upload", files={"files": file}, timeout=TIMEOUT)
    return {"path": reply.raise_for_status().json()[0], "meta": META}


def call(address: str, photo: object, path: str = "call/caption") -> str:
    """Call the endpoint for programs. Gives the stream of events, or the refusal's text."""
    body = {"photo": photo} if "/v2/" in path else {"data": [photo]}
    reply = httpx.post(f"{address}/gradio_api/{path}", json=body, timeout=TIMEOUT)
    if reply.status_code != 200 or "event_id" not in reply.json():
        return reply.text
    event = reply.json()["event_id"]
    return httpx.get(f"{address}/gradio_api/call/caption/{event}", timeout=TIMEOUT).text


def page_event(address: str) -> int:
    """The number of the event by which the page sends its requests."""
    dependencies = httpx.get(f"{address}/config", timeout=TIMEOUT).json()["dependencies"]
    return next(part["id"] for part in dependencies if part["api_name"] == "respond")


def about(photo: object, request: object = None) -> object:
    """A request of the page about a photo, by default for its captions, as an event's data."""
    path = photo.get("path") if isinstance(photo, dict) else photo
    if request is None or isinstance(request, dict):
        return {"kind": "view", **(request or {}), "photo": path}
    return request  # from someone who sends anything at all


def join(address: str, photo: object, request: object = None) -> str:
    """Send what the page sends, past the page. Gives the stream of messages."""
    session = f"past-the-page-{next(_sessions)}"
    question = {
        "data": [],
        "event_data": about(photo, request),
        "fn_index": page_event(address),
        "session_hash": session,
    }
    reply = httpx.post(f"{address}/gradio_api/queue/join", json=question, timeout=TIMEOUT)
    if reply.status_code != 200:
        return reply.text
    stream = f"{address}/gradio_api/queue/data?session_hash={session}"
    return httpx.get(stream, timeout=TIMEOUT).text


def outcome(stream: str) -> str:
    """The end of a stream of messages, without times and the echo of the path that was sent."""
    if "data: {" not in stream:
        return stream.replace("event: heartbeat\ndata: null\n\n", "")
    messages = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    done = [message for message in messages if message.get("msg") == "process_completed"]
    if not done:
        return stream
    output = {**done[-1]["output"], "duration": None, "average_duration": None}
    told = [{**value, "of": None} if value else value for value in output.get("data", [])]
    return json.dumps([done[-1]["success"], {**output, "data": told}], sort_keys=True)
