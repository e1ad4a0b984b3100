"""A server that is killed while visitors are there, and started again."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.free_port import free_port
from tests.page.test_memory import expect_shown, give
from tests.page.visiting import HOPPER, OpenPage, choose, options

START_SECONDS = 120

Restart = Callable[..., str]


@pytest.fixture
def restart() -> Iterator[Restart]:
    """Kills the server, and starts it again unless told otherwise; gives its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    running: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        for server in running:
            server.kill()
            server.wait()
        running.clear()

    def restart(starts: bool = True, seconds: float = 0) -> str:
        kill()
        if starts:
            command = [sys.executable, "-m", "tests.page.fake_server", str(port), str(seconds)]
            running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            _wait_for(f"{address}/healthz")
        return address

    yield restart
    kill()


def _wait_for(address: str) -> None:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        with suppress(httpx.HTTPError):
            if httpx.get(address).status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError("the server does not start")


def ask(page: Page) -> None:
    """Request a branch from the second word."""
    options(page).nth(1).click()
    page.get_by_role("button", name="Continue with cat").click()


def expect_lost(page: Page, lost: bool) -> None:
    strip = page.locator("#viewer .lost")
    if lost:
        expect(strip).to_contain_text("The server is not answering. Your caption stays")
    else:
        expect(strip).to_have_text("")


def test_a_visitor_loses_nothing_when_the_server_is_killed_and_started_again(
    open_page: OpenPage, restart: Restart
) -> None:
    page = open_page(restart())
    give(page)
    page.evaluate("() => { window.isTheSamePage = true; }")
    page.get_by_role("tab", name="Compare").click()
    page.get_by_label("Write a caption").fill("a cat")
    page.get_by_role("tab", name="Word").click()

    restart(starts=False)
    ask(page)
    expect_lost(page, True)
    expect(options(page)).to_have_text(["a", "dog", "runs", "far"])

    restart(seconds=2)
    expect(options(page)).to_have_text(["a", "cat", "sleeps"])
    expect_lost(page, False)

    # Once more, in the middle of an answer.
    page.get_by_role("button", name="Undo").click()
    ask(page)
    page.wait_for_timeout(1000)
    restart(starts=False)
    expect_lost(page, True)
    restart()
    expect(options(page)).to_have_text(["a", "cat", "sleeps"])
    expect_lost(page, False)

    assert page.evaluate("window.isTheSamePage")
    expect(page.locator("[data-testid=toast-body]")).to_have_count(0)
    page.get_by_role("tab", name="Compare").click()
    expect(page.get_by_label("Write a caption")).to_have_value("a cat")


def test_a_photo_chosen_while_the_server_is_away_is_captioned_when_it_is_back(
    open_page: OpenPage, restart: Restart
) -> None:
    page = open_page(restart(), locale="fr-FR")
    expect_shown(page)
    restart(starts=False)
    choose(page, HOPPER)
    expect(page.locator("#viewer .lost")).to_contain_text("Le serveur ne répond pas.")
    expect(options(page)).to_have_count(0)
    restart()
    expect(options(page)).to_have_text(["a", "dog", "runs", "far"])
    expect_lost(page, False)
