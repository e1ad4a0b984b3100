"""Memory of the page's server over thousands of mixed requests, most of them hostile or broken off.

    python -m tests.benchmarks.soak [--requests 2000]

Starts app.py in a process of its own and sends, in random order, good photos, damaged and hostile
files, questions, visitors who leave while they wait, uploads that stop half way, and oversized
requests. Prints the memory of the server and of its workers, and what became of the requests.
"""

import argparse
import asyncio
import contextlib
import io
import random
from collections import Counter

import httpx
import numpy as np
import psutil
from PIL import Image

from tests.benchmarks.load import make_photo, served, view_event, visit

AT_ONCE = 8
REPORT_EVERY = 200


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with served() as (address, pid):
        asyncio.run(soak(Visitors(address, options.seed), pid, options.requests))


class Visitors:
    """Sends requests of all kinds."""

    def __init__(self, address: str, seed: int) -> None:
        self.address = address
        self.api = f"{address}/gradio_api"
        self.chance = random.Random(seed)
        self.event = 0
        self.count = 0
        self.outcomes: Counter[str] = Counter()
        self.kinds = (
            self.good_photo, self.bad_file, self.leaves, self.half_upload, self.slow_upload,
            self.other_path, self.oversized, self.nonsense,
        )  # fmt: skip

    async def send(self) -> None:
        """Send one request of a random kind."""
        self.count += 1
        kind = self.chance.choice(self.kinds)
        async with httpx.AsyncClient(timeout=60) as client:
            try:
                outcome = await kind(client, self.count)
            except httpx.HTTPError as error:
                outcome = type(error).__name__
        self.outcomes[f"{kind.__name__}: {outcome}"] += 1

    async def upload(self, client: httpx.AsyncClient, content: bytes) -> dict[str, str]:
        files = {"files": ("photo.jpg", content)}
        reply = await client.post(f"{self.api}/upload", files=files)
        return {"path": reply.raise_for_status().json()[0]}

    async def ask(self, client: httpx.AsyncClient, photo: object) -> str:
        reply = await client.post(f"{self.api}/call/caption", json={"data": [photo]})
        event = reply.raise_for_status().json()["event_id"]
        answer = await client.get(f"{self.api}/call/caption/{event}")
        return "captioned" if "event: complete" in answer.text else "message"

    async def good_photo(self, client: httpx.AsyncClient, number: int) -> str:
        return await self.ask(client, await self.upload(client, make_photo(number)))

    async def bad_file(self, client: httpx.AsyncClient, number: int) -> str:
        content = bytearray(make_photo(number))
        choice = number % 4
        if choice == 0:
            del content[len(content) // 2 :]
        elif choice == 1:
            content[100:200] = bytes(100)
        elif choice == 2:
            buffer = io.BytesIO()
            Image.fromarray(np.zeros((4_000, 9), np.uint8)).save(buffer, "PNG")
            content = bytearray(buffer.getvalue())
        else:
            content = bytearray(self.chance.randbytes(50_000))
        return await self.ask(client, await self.upload(client, bytes(content)))

    async def leaves(self, client: httpx.AsyncClient, number: int) -> str:
        photo = await self.upload(client, make_photo(number))
        request = {"kind": "view", "photo": photo["path"]}
        session = {"fn_index": self.event, "session_hash": f"s{number}"}
        question = {"data": [], "event_data": request, **session}
        (await client.post(f"{self.api}/queue/join", json=question)).raise_for_status()
        if number % 2:
            stream = f"{self.api}/queue/data?session_hash=s{number}"
            async with client.stream("GET", stream) as response:
                async for _ in response.aiter_bytes():
                    break
        return "left"

    async def half_upload(self, client: httpx.AsyncClient, number: int) -> str:
        await self._raw_upload(number, wait_seconds=0)
        return "broken off"

    async def slow_upload(self, client: httpx.AsyncClient, number: int) -> str:
        await self._raw_upload(number, wait_seconds=0.5)
        return "broken off late"

    async def _raw_upload(self, number: int, wait_seconds: float) -> None:
        host, port = self.address.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /gradio_api/upload?upload_id={number} HTTP/1.1\r\nHost: {host}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
            '--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        )
        writer.write(head.encode() + bytes(200_000))
        await writer.drain()
        await asyncio.sleep(wait_seconds)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def other_path(self, client: httpx.AsyncClient, number: int) -> str:
        path = self.chance.choice(["/etc/passwd", "/dev/ptmx", "/dev/zero", "http://127.0.0.1:9/"])
        return await self.ask(client, {"path": path})

    async def oversized(self, client: httpx.AsyncClient, number: int) -> str:
        body = b'{"data": ["' + bytes(2_000_000)
        reply = await client.post(f"{self.api}/call/caption", content=body)
        return str(reply.status_code)

    async def nonsense(self, client: httpx.AsyncClient, number: int) -> str:
        body = self.chance.choice([b"[" * 50_000, b"{", b'{"data": 3}', b'{"data": [{"path": 3}]}'])
        reply = await client.post(f"{self.api}/call/caption", content=body)
        return str(reply.status_code)


async def soak(visitors: Visitors, pid: int, requests: int) -> None:
    """Send them all, a few at a time, and print the memory now and then."""
    visitors.event = await view_event(visitors.address)
    await visit(visitors.address, visitors.event, 1, 0, Counter())  # until the model is loaded
    print("| requests | server, MB | workers, MB | threads | open files |\n|---|---|---|---|---|")
    report(pid, 0)
    sent = 0
    while sent < requests:
        number = min(REPORT_EVERY, requests - sent)
        waiting = asyncio.Semaphore(AT_ONCE)

        async def send_one(waiting: asyncio.Semaphore = waiting) -> None:
            async with waiting:
                await visitors.send()

        await asyncio.gather(*(send_one() for _ in range(number)))
        sent += number
        report(pid, sent)
    for outcome, count in sorted(visitors.outcomes.items()):
        print(f"{outcome}: {count}")


def report(pid: int, sent: int) -> None:
    """Print a row."""
    server = psutil.Process(pid)
    workers = sum(child.memory_info().rss for child in server.children(recursive=True))
    print(
        f"| {sent} | {server.memory_info().rss / 2**20:.0f} | {workers / 2**20:.0f} | "
        f"{server.num_threads()} | {server.num_fds()} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
