"""Firefox and WebKit, each driven by what can drive Debian's build of it, behind one interface."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from playwright.sync_api import Page, sync_playwright
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.webkitgtk.service import Service

WIDTH, HEIGHT = 1280, 800
WAIT_SECONDS = 45


class Engine(Protocol):
    """A browser with one page. Elements are named by CSS selectors, the first match counts."""

    downloads: Path
    """Where it puts the files that the page gives."""

    def open(self, address: str) -> None: ...

    def run(self, function: str, argument: Any = None) -> Any:
        """Call a JavaScript function in the page, with JSON in and out."""

    def give_file(self, selector: str, path: Path) -> None:
        """Choose a file in a file input."""

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Click with the mouse, at fractions of the element's width and height."""

    def paste(self) -> None:
        """Press Ctrl+V."""


Visits = Callable[[], AbstractContextManager[Engine]]
"""Makes the engine's one page, for a visitor who has never been there."""


@contextmanager
def firefox(downloads: Path) -> Iterator[Visits]:
    """Start Debian's Firefox, without a window."""
    program = installed("firefox-esr", "firefox")
    with sync_playwright() as playwright:
        browser = playwright.firefox.launch(
            channel="moz-firefox", executable_path=program, downloads_path=downloads
        )

        @contextmanager
        def visit() -> Iterator[Engine]:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            yield Firefox(page, downloads)
            page.context.close()

        yield visit
        browser.close()


@contextmanager
def webkit(downloads: Path) -> Iterator[Visits]:
    """Make Debian's WebKitGTK ready, in a window on a screen that nobody sees."""
    program = installed("WebKitWebDriver")
    with screen() as display:
        environment = {**os.environ, "DISPLAY": display, "HOME": str(downloads)}

        @contextmanager
        def visit() -> Iterator[Engine]:
            driver = webdriver.WebKitGTK(service=Service(program, env=environment))
            try:
                yield WebKit(driver, downloads)
            finally:
                driver.quit()

        yield visit


ENGINES = {"firefox": firefox, "webkit": webkit}


class Firefox:
    """Through Playwright and WebDriver BiDi."""

    def __init__(self, page: Page, downloads: Path) -> None:
        self._page, self.downloads = page, downloads
        page.set_default_timeout(1000 * WAIT_SECONDS)

    def open(self, address: str) -> None:
        self._page.goto(address)

    def run(self, function: str, argument: Any = None) -> Any:
        return self._page.evaluate(function, argument)

    def give_file(self, selector: str, path: Path) -> None:
        self._page.locator(selector).first.set_input_files(path)

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        element = self._page.locator(selector).first
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        assert box is not None
        element.click(position={"x": x * box["width"], "y": y * box["height"]})

    def paste(self) -> None:
        self._page.keyboard.press("Control+V")


class WebKit:
    """Through Selenium."""

    def __init__(self, driver: webdriver.WebKitGTK, downloads: Path) -> None:
        self._driver, self.downloads = driver, downloads
        driver.set_window_size(WIDTH, HEIGHT)

    def open(self, address: str) -> None:
        self._driver.get(address)

    def run(self, function: str, argument: Any = None) -> Any:
        return self._driver.execute_script(f"return ({function})(arguments[0])", argument)

    def give_file(self, selector: str, path: Path) -> None:
        self._driver.find_element(By.CSS_SELECTOR, selector).send_keys(str(path))

    def click(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        element = self._driver.find_element(By.CSS_SELECTOR, selector)
        self._driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        width, height = element.size["width"], element.size["height"]
        mouse = ActionChains(self._driver)
        # Selenium counts from the middle.
        mouse.move_to_element_with_offset(
            element, round((x - 0.5) * width), round((y - 0.5) * height)
        )
        mouse.click().perform()

    def paste(self) -> None:
        keys = ActionChains(self._driver)
        keys.key_down(Keys.CONTROL).send_keys("v").key_up(Keys.CONTROL).perform()


def installed(*names: str) -> str:
    """Find a program by the first of its names that is installed."""
    found = filter(None, map(shutil.which, names))
    program = next(found, None)
    assert program, f"these tests need {names[0]}: `tests/run`, as root, installs it on Debian"
    return program


@contextmanager
def screen() -> Iterator[str]:
    """Run an X server without a screen; gives the value of DISPLAY."""
    readable, writable = os.pipe()
    size = f"{WIDTH + 100}x{HEIGHT + 100}x24"
    command = [installed("Xvfb"), "-displayfd", str(writable), "-screen", "0", size]
    with subprocess.Popen(
        [*command, "-nolisten", "tcp"], pass_fds=[writable], stderr=subprocess.DEVNULL
    ) as server:
        os.close(writable)
        with os.fdopen(readable) as number:
            display = number.readline().strip()
        assert display, "Xvfb did not start"
        try:
            yield f":{display}"
        finally:
            server.terminate()


def wait_for(look: Callable[[], Any], expected: Any) -> None:
    """Look again and again until what is expected is there."""
    end = time.monotonic() + WAIT_SECONDS
    while (found := look()) != expected and time.monotonic() < end:
        time.sleep(0.05)
    assert found == expected
