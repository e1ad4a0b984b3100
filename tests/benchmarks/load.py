"""Load on the page's server: how long visitors wait, and whether any photo is lost.

    python -m tests.benchmarks.load [--visitors 1 16 64] [--photos 5] [--app FOLDER]

Starts app.py in a process of its own. Each visitor uploads a photo, joins the queue as the page
does, reads the stream until the caption is there, and begins again. The line of one visitor is the
single-stream rate of the machine: no batch ever has more than one photo in it. The load comes from
this same machine and takes part of it.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from tests.free_port import free_port

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 300


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--visitors", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--photos", type=int, default=5, help="of each visitor, one by one")
    parser.add_argument("--app", type=Path, default=ROOT, help="the checkout to serve")
    options = parser.parse_args()
    with served(options.app) as (address, _):
        asyncio.run(measure(address, options.visitors, options.photos))


@contextlib.contextmanager
def served(checkout: Path = ROOT) -> Iterator[tuple[str, int]]:
    """Start app.py of a checkout, not yet answering; gives its address and its process's id."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with subprocess.Popen(
            [sys.executable, "app.py", "--server-port", str(port)],  # as older checkouts know it
            cwd=checkout,
            env={**os.environ, "GRADIO_TEMP_DIR": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield f"http://127.0.0.1:{port}", process.pid
            finally:
                process.terminate()


async def measure(address: str, numbers: list[int], photos: int) -> None:
    """Print a line for each number of visitors."""
    event = await view_event(address)
    print("| visitors | photos | captioned | lost | p50 s | p95 s | max s | photos a second |")
    print("|---|---|---|---|---|---|---|---|")
    losses: Counter[str] = Counter()
    await visit(address, event, 1, max(numbers), losses)  # which waits until the model is loaded
    for number in numbers:
        start = time.monotonic()
        visits = [visit(address, event, photos, visitor, losses) for visitor in range(number)]
        seconds = sorted(time for visit in await asyncio.gather(*visits) for time in visit)
        rate = len(seconds) / (time.monotonic() - start)
        shares = [
            seconds[min(int(len(seconds) * share), len(seconds) - 1)] for share in (0.5, 0.95, 1)
        ]
        wanted = number * photos
        print(
            f"| {number} | {wanted} | {len(seconds)} | {wanted - len(seconds)} | "
            f"{' | '.join(f'{share:.2f}' for share in shares)} | {rate:.1f} |",
            flush=True,
        )
    for reason, count in losses.most_common():
        print(f"lost {count}: {reason}")


async def view_event(address: str) -> int:
    """Wait until the page is there, and give the number of the event by which it gets captions."""
    async with httpx.AsyncClient(timeout=60) as client:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                config = (await client.get(f"{address}/config")).json()
                return next(
                    part["id"] for part in config["dependencies"] if part["api_name"] == "respond"
                )
            await asyncio.sleep(0.2)
    raise TimeoutError(f"no server at {address}")


async def visit(
    address: str, event: int, photos: int, visitor: int, losses: Counter[str]
) -> list[float]:
    """Caption photos one after the other, as a visitor does; gives the seconds that each took."""
    taken: list[float] = []
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
        for number in range(photos):
            photo = make_photo(1000 * visitor + number)
            start = time.monotonic()
            try:
                await caption(client, address, event, photo, f"v{visitor}n{number}")
            except (httpx.HTTPError, RuntimeError) as error:
                losses[str(error)[:160]] += 1
            else:
                taken.append(time.monotonic() - start)
    return taken


async def caption(
    client: httpx.AsyncClient, address: str, event: int, photo: bytes, session: str
) -> None:
    """Upload a photo, ask for its caption, and wait for it.

    Raises:
        RuntimeError: there is no caption, and why.
    """
    files = {"files": ("photo.jpg", photo, "image/jpeg")}
    reply = await client.post(f"{address}/gradio_api/upload", files=files)
    path = reply.raise_for_status().json()[0]
    request = {"kind": "view", "photo": path}
    question = {"data": [], "event_data": request, "fn_index": event, "session_hash": session}
    reply = await client.post(f"{address}/gradio_api/queue/join", json=question)
    if reply.status_code != 200:
        raise RuntimeError(f"{reply.status_code} {reply.text}")
    stream = client.stream(
        "GET", f"{address}/gradio_api/queue/data", params={"session_hash": session}
    )
    captioned = False
    async with stream as response:
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            message = json.loads(line.removeprefix("data: "))
            captioned = captioned or '"captions"' in line
            if message["msg"] == "process_completed":
                if not (message["success"] and captioned):
                    raise RuntimeError(line[:160])
                return
    raise RuntimeError("the stream ended")


def make_photo(seed: int) -> bytes:
    """A photo of 640 x 480 as a JPEG of some 100 kB."""
    noise = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
