"""What the browser tests share: how a visitor gives photos, and what they see of the page."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Request, expect

OpenPage = Callable[..., Page]
HOPPER = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
PHONE = {"width": 390, "height": 844}
LAPTOP = {"width": 1280, "height": 800}
LOOKS = [
    {"viewport": size, "color_scheme": scheme}
    for size in (PHONE, LAPTOP)
    for scheme in ("light", "dark")
]
"""Ways in which a visitor may see the page."""
OPPOSITE_LOOKS = [LOOKS[0], LOOKS[-1]]
"""For what does not depend on how size and colours come together."""


def look_name(look: dict[str, object]) -> str:
    """A look's name, for the tests that are made of each."""
    return f"{'phone' if look['viewport'] is PHONE else 'laptop'}-{look['color_scheme']}"


def choose(page: Page, photo: Path) -> None:
    """Give a photo as the file chooser does."""
    page.locator("#viewer input[type=file]").set_input_files(photo)


def example(page: Page, name: str) -> Locator:
    """The button of an example, by its id."""
    return page.locator(f"#viewer [data-example={name}]")


def expect_word(page: Page, index: int) -> None:
    """Wait until the word stands, with its overlay drawn."""
    expect(canvas(page)).to_have_attribute("data-word", str(index))
    expect(options(page).nth(index)).to_have_attribute("aria-selected", "true")


def expect_captioned(page: Page) -> None:
    """Wait for the caption of a photo just given, and go to its first word."""
    expect(page.locator("#viewer .viewer")).to_have_attribute("data-state", "done")
    options(page).first.click()
    expect_word(page, 0)


def open_tab(page: Page, name: str) -> None:
    """Open a tab beside the photo, by its `data-tab`."""
    page.locator(f"#viewer [data-tab={name}]").click()


def open_with_photo(open_page: OpenPage, address: str, **settings: object) -> Page:
    """Open the page and give it a photo, which the fake model captions."""
    page = open_page(address, **settings)
    choose(page, HOPPER)
    expect_captioned(page)
    expect(page.locator("#viewer .others button")).to_have_count(3)
    return page


def options(page: Page) -> Locator:
    """The caption's words."""
    return page.locator("#viewer [role=option]")


def canvas(page: Page) -> Locator:
    """The large photo."""
    return page.locator("#viewer .stage canvas")


def status(page: Page) -> Locator:
    """What a screen reader is told last."""
    return page.locator("#viewer .announcer")


def picture(page: Page) -> str:
    """All pixels of the large photo."""
    return canvas(page).evaluate("canvas => canvas.toDataURL()")


def pixel(page: Page, x: float, y: float) -> list[int]:
    """RGB of the overlaid photo, at fractions of its width and height."""
    return canvas(page).evaluate(
        """(canvas, [x, y]) => [...canvas.getContext("2d").getImageData(
            x * canvas.width, y * canvas.height, 1, 1).data].slice(0, 3)""",
        [x, y],
    )


def count_questions(page: Page) -> list[str]:
    """Collect, from now on, each request by which the page asks for words."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if request.url.split("?")[0].endswith("/queue/join"):
            asked.append(request.url)

    page.on("request", note)
    return asked


def count_requests(page: Page) -> list[str]:
    """Collect, from now on, each request that the page makes of the server, but for its health."""
    requests: list[str] = []

    def note(request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")) and "/healthz" not in request.url:
            requests.append(request.url)

    page.on("request", note)
    return requests


def serious(page: Page) -> list[tuple[str, str]]:
    """What axe-core calls serious or critical: its name, and where it is."""
    found = Axe().run(page).response["violations"]
    return [
        (problem["id"], node["html"][:120])
        for problem in found
        if problem["impact"] in ("serious", "critical")
        for node in problem["nodes"]
    ]
