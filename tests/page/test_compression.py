"""What the server compresses: everything but what streams, and what is compressed already."""

import httpx
import pytest

from captioner.page.own_files import OWN_ROUTE
from tests.page.over_http import TIMEOUT, about, page_event

MAX_DOCUMENT_BYTES = 60_000


@pytest.fixture
def client(fake_address: str) -> httpx.Client:
    return httpx.Client(base_url=fake_address, timeout=TIMEOUT)


def test_the_document_with_its_captioned_examples_comes_compressed_and_small(address: str) -> None:
    reply = httpx.get(address, timeout=TIMEOUT)
    assert reply.headers["content-encoding"] == "gzip"
    assert int(reply.headers["content-length"]) < MAX_DOCUMENT_BYTES
    assert reply.text.startswith("<!doctype html>")
    assert f'href="{OWN_ROUTE[1:]}static/viewer.js"' in reply.text


@pytest.mark.parametrize("name", ["static/viewer.js", "static/viewer.css", "locales/fr.json"])
def test_own_files_come_compressed(client: httpx.Client, name: str) -> None:
    reply = client.get(OWN_ROUTE + name)
    assert reply.headers["content-encoding"] == "gzip"
    assert int(reply.headers["content-length"]) < 0.6 * len(reply.content)


def test_a_program_that_cannot_decompress_gets_the_document_as_it_is(client: httpx.Client) -> None:
    reply = client.get("/", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in reply.headers
    assert "Accept-Encoding" in reply.headers["vary"]
    assert reply.content == client.get("/").content


def test_events_are_not_compressed_so_that_each_arrives_at_once(client: httpx.Client) -> None:
    event = page_event(str(client.base_url).rstrip("/"))
    question = {"data": [], "fn_index": event, "session_hash": "uncompressed"}
    request = {**question, "event_data": about(None)}
    client.post("/gradio_api/queue/join", json=request).raise_for_status()
    stream = client.get("/gradio_api/queue/data", params={"session_hash": "uncompressed"})
    assert "process_completed" in stream.text
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert "content-encoding" not in stream.headers
