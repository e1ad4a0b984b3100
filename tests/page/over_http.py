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


def page_events(address: str) -> dict[str, int]:
    """The numbers of the page's events that reach the server, by what they are called there."""
    dependencies = httpx.get(f"{address}/config", timeout=TIMEOUT).json()["dependencies"]
    return {
        str(part["api_name"]): part["id"] for part in dependencies if part["backend_fn"]
    }  # fmt: skip


def join(address: str, event: int, photo: object, event_data: object = None) -> str:
    """Send what the page sends for an event, past the page. Gives the stream of messages."""
    session = f"past-the-page-{next(_sessions)}"
    question = {
        "data": [photo],
        "event_data": event_data,
        "fn_index": event,
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
