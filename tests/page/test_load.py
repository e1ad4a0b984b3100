"""Many visitors at once: none is lost, each knows their place, and photos go in batches."""

import asyncio
import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from playwright.sync_api import expect

import app
from captioner.page import VisitorFiles
from tests.benchmarks.load import visit
from tests.page.engines import wait_for
from tests.page.over_http import about, call, page_event, upload
from tests.page.visiting import HOPPER, OpenPage, choose, expect_captioned, expect_word, status
from tests.serving import FakeModel, serving, write_photo


def test_of_200_visitors_at_once_none_is_lost_and_photos_go_in_batches(
    fake_address: str, fake_model: FakeModel
) -> None:
    """Of 320 photos of 64 visitors, 215 were refused."""
    fake_model.seconds = 0.002
    fake_model.batches.clear()
    losses: Counter[str] = Counter()
    view = page_event(fake_address)

    async def visit_all() -> list[list[float]]:
        return await asyncio.gather(
            *(visit(fake_address, view, 1, visitor, losses) for visitor in range(200))
        )

    visits = asyncio.run(visit_all())
    assert losses == Counter()
    assert sum(len(seconds) for seconds in visits) == 200
    assert max(fake_model.batches) > 1
    assert sum(fake_model.batches) >= 200


def join_only(address: str, event: int, photo: object, session: str) -> httpx.Response:
    question = {"data": [], "fn_index": event, "session_hash": session, "event_data": about(photo)}
    return httpx.post(f"{address}/gradio_api/queue/join", json=question, timeout=60)


@pytest.mark.parametrize(("locale", "before", "near"), [
    ("en-GB", "ahead of you: about", "You are next"),
    ("fr-FR", "avant vous : environ", "bientôt votre tour"),
])  # fmt: skip
def test_who_waits_sees_their_place_and_about_how_long(
    open_page: OpenPage,
    fake_address: str,
    fake_model: FakeModel,
    tmp_path: Path,
    locale: str,
    before: str,
    near: str,
) -> None:
    fake_model.seconds = 0.5  # of each caption; a batch of a photo takes three of them
    page = open_page(fake_address, locale=locale)
    answer = page_event(fake_address)
    photo = upload(fake_address, write_photo(tmp_path / "photo.jpg"))
    for number in range(5):  # questions, which are answered one by one
        question = {
            "data": [],
            "fn_index": answer,
            "session_hash": f"before{number}",
            "event_data": about(photo, {"id": number, "kind": "score", "text": "a dog"}),
        }
        httpx.post(f"{fake_address}/gradio_api/queue/join", json=question, timeout=60)
    choose(page, HOPPER)
    message = page.locator("#viewer .message")
    expect(message).to_contain_text(before)
    expect(status(page)).to_contain_text("4" if "4" in message.inner_text() else "s.")
    expect_word(page, 0)


def test_a_question_that_waits_says_so_and_is_answered(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    choose(page, HOPPER)
    expect_captioned(page)
    fake_model.seconds = 0.5
    view = page_event(fake_address)
    for number in range(3):
        photo = upload(fake_address, write_photo(tmp_path / f"{number}.jpg", seed=number))
        join_only(fake_address, view, photo, f"ahead{number}")
    page.locator("#viewer [data-alternative]").first.click()
    expect(page.locator("#viewer .origin")).to_contain_text("about")
    expect(page.locator("#viewer .origin")).to_contain_text("Continued from")


def test_one_too_many_is_told_to_come_again(files: VisitorFiles, tmp_path: Path) -> None:
    model = FakeModel()
    with serving(model, files, queue_length=2) as address:
        model.seconds = 1.0
        view = page_event(address)
        for number in range(2):
            photo = upload(address, write_photo(tmp_path / f"{number}.jpg", seed=number))
            join_only(address, view, photo, f"full{number}")
        assert "Too many photos are waiting" in call(address, photo)


def test_a_visitor_who_goes_makes_room(files: VisitorFiles, tmp_path: Path) -> None:
    model = FakeModel()
    with serving(model, files) as address:
        model.seconds = 0.3
        view = page_event(address)
        photos = [upload(address, write_photo(tmp_path / f"{n}.jpg", seed=n)) for n in range(40)]
        join_only(address, view, photos[0], "stays")
        for number, photo in enumerate(photos[1:]):
            join_only(address, view, photo, f"goes{number}")
            with httpx.stream(
                "GET", f"{address}/gradio_api/queue/data?session_hash=goes{number}", timeout=60
            ):
                pass  # and away
        assert "dog" in call(address, photos[0])
    assert app.QUEUE_LENGTH == 200


def photo_workers() -> set[int]:
    """The processes that read photos for servers of this process."""
    children = psutil.Process().children()
    return {child.pid for child in children if "captioner.photo_worker" in child.cmdline()}


def _is_too_slow(answer: str) -> bool:
    return "takes more than 5 seconds" in answer


def test_a_photo_that_takes_for_ever_to_read_holds_up_no_other(
    files: VisitorFiles, tmp_path: Path
) -> None:
    before = photo_workers()
    written = set(files.examples.glob("*/examples.json"))
    with serving(FakeModel(), files, photo_seconds=5.0) as address:
        photo = upload(address, write_photo(tmp_path / "photo.jpg"))
        assert "dog" in call(address, photo)
        wait_for(lambda: set(files.examples.glob("*/examples.json")) > written, True)
        worker = min(photo_workers() - before)
        os.kill(worker, signal.SIGSTOP)  # as if the next photo never ended
        with ThreadPoolExecutor(16) as pool:  # so many that both workers are needed at once
            calls = [pool.submit(call, address, photo) for _ in range(16)]
            *answers, last = sorted((done.result() for done in calls), key=_is_too_slow)
        assert _is_too_slow(last)
        assert all("dog" in answer for answer in answers)
        assert worker not in photo_workers()
        assert "dog" in call(address, photo)
