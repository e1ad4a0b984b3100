"""The viewer's element by itself: in a plain page with a JSON file, and its files on the server."""

from importlib.resources import files as package_files
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from captioner.page import VisitorFiles
from captioner.page.own_files import OWN_FILES, OWN_ROUTE, VERSION
from tests.page.visiting import HOPPER, OpenPage, choose, expect_captioned
from tests.serving import FakeModel, serving
from tests.test_space import SUBPATH, Proxy
from tests.test_space import serving as serving_http


def test_the_element_steps_through_a_caption_in_a_plain_page(plain_page: Page) -> None:
    page = plain_page
    words = page.get_by_role("option")
    expect(words).to_have_text(["a", "dog", "runs"])
    expect(page.locator(".others button")).to_have_count(2)
    words.first.focus()
    canvas = page.locator(".stage canvas")
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    page.keyboard.press("ArrowRight")
    expect(canvas).to_have_attribute("data-word", "1")
    expect(page.locator(".sure b")).to_have_text("60% sure")
    assert canvas.evaluate("canvas => canvas.toDataURL()") != before
    assert page.evaluate("window.requests") == []


def test_the_element_fires_an_event_for_a_branch_and_shows_the_answer(plain_page: Page) -> None:
    page = plain_page
    page.get_by_role("option").nth(1).click()
    page.get_by_role("button", name="Continue with cat").click()
    page.wait_for_function("window.requests.length")
    (request,) = page.evaluate("window.requests")
    assert (request["kind"], request["position"], request["word"]) == ("branch", 1, "cat")
    assert request["caption"] == FakeModel().caption(("a", "dog", "runs")).to_json()
    branch = FakeModel().caption(("a", "cat")).to_json()
    page.evaluate(
        "answer => { document.querySelector('caption-viewer').value = { answer }; }",
        {"id": request["id"], "caption": branch},
    )
    expect(page.get_by_role("option")).to_have_text(["a", "cat"])
    expect(page.locator(".origin")).to_have_text("Continued from “cat” in place of “dog”.")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("option")).to_have_text(["a", "dog", "runs"])


def test_two_elements_on_a_page_do_not_disturb_each_other(plain_page: Page) -> None:
    page = plain_page
    page.evaluate(
        """() => {
            const second = document.createElement("caption-viewer");
            document.body.append(second);
            second.value = document.querySelector("caption-viewer").value;
        }"""
    )
    first, second = page.locator("caption-viewer").all()
    expect(second.locator(".stage canvas")).to_have_attribute("data-word", "0")
    second.get_by_role("option").nth(2).click()
    expect(second.locator(".stage canvas")).to_have_attribute("data-word", "2")
    expect(first.locator(".stage canvas")).to_have_attribute("data-word", "0")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((part) => part.id)")
    assert len(ids) == len({*ids}) > 10
    second.locator("[data-tab=own]").click()
    second.locator("label", has_text="Write a caption").click()
    expect(second.locator(".own input")).to_be_focused()


def test_a_value_may_be_set_before_the_element_is_known(plain_page: Page) -> None:
    page = plain_page
    page.evaluate(
        """async () => {
            const early = document.createElement("caption-early");
            early.value = document.querySelector("caption-viewer").value;
            document.body.append(early);
            const { CaptionViewerElement } = await import("./page/static/viewer.js");
            customElements.define("caption-early", class extends CaptionViewerElement {});
        }"""
    )
    expect(page.locator("caption-early").get_by_role("option")).to_have_count(3)


def test_an_element_that_is_taken_off_the_page_takes_no_photos_until_it_is_back(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    expect(page.get_by_role("option")).to_have_count(4)
    drop = """() => {
        const event = new DragEvent("drop", { cancelable: true });
        document.dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    page.evaluate("window.viewer = document.querySelector('caption-viewer')")
    page.evaluate("window.place = window.viewer.parentElement")
    assert page.evaluate(drop)
    page.evaluate("window.viewer.remove()")
    assert not page.evaluate(drop)
    page.evaluate("window.place.append(window.viewer)")
    assert page.evaluate(drop)


def test_the_page_works_behind_a_sub_path(
    browser: Browser, files: VisitorFiles, tmp_path: Path
) -> None:
    """Where a proxy takes the sub-path away, all modules are found below it."""
    with serving(FakeModel(), files, root_path=SUBPATH) as address:
        port = int(address.removesuffix(SUBPATH).rpartition(":")[2])
        with serving_http(type("ProxyOfPage", (Proxy,), {"port": port})) as proxy:
            page = browser.new_page(reduced_motion="reduce")
            urls: list[str] = []
            page.on("request", lambda request: urls.append(request.url))
            page.goto(f"{proxy}{SUBPATH}/")
            choose(page, HOPPER)
            expect_captioned(page)
            page.get_by_role("button", name="Continue with cat").click()
            expect(page.locator("#viewer .origin")).to_contain_text("Continued from")
            page.close()
    own = [url for url in urls if OWN_ROUTE in url]
    assert len(own) == len(set(own)), "each file must be loaded once"
    modules = {url.rpartition(OWN_ROUTE)[2] for url in urls if f"{SUBPATH}{OWN_ROUTE}" in url}
    scripts = {name for name in modules if name.endswith(".js")}
    assert scripts == {f"static/{path.name}" for path in _modules()}
    assert {"static/viewer.html", "static/viewer.css", "locales/en.json"} <= modules - scripts
    assert all(url.startswith((f"{proxy}{SUBPATH}/", "data:", "blob:")) for url in urls)


def _modules() -> list[Path]:
    """The modules that the viewer imports; types.js is for the type checker alone."""
    static = Path(str(package_files("captioner.page"))) / "static"
    return [path for path in static.glob("*.js") if path.name != "types.js"]


def test_the_page_names_the_modules_so_that_they_load_while_gradio_starts(
    fake_address: str,
) -> None:
    page = httpx.get(fake_address).text
    for path in _modules():
        assert f'<link rel="modulepreload" href="page/{VERSION}/static/{path.name}">' in page


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("static/viewer.js", "text/javascript; charset=utf-8"),
        ("static/viewer.css", "text/css; charset=utf-8"),
        ("static/viewer.html", "text/html; charset=utf-8"),
        ("locales/fr.json", "application/json"),
    ],
)
def test_own_files_come_with_their_types_and_are_kept_by_browsers(
    fake_address: str, name: str, content_type: str
) -> None:
    reply = httpx.get(f"{fake_address}{OWN_ROUTE}{name}")
    assert reply.content == OWN_FILES[name]
    assert reply.headers["content-type"] == content_type
    assert "immutable" in reply.headers["cache-control"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in reply.headers["content-security-policy"]
    assert httpx.head(f"{fake_address}{OWN_ROUTE}{name}").status_code == 200
    assert httpx.post(f"{fake_address}{OWN_ROUTE}{name}").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/000000000000/static/viewer.js",
        f"{OWN_ROUTE}service.py",
        f"{OWN_ROUTE}static/../service.py",
        f"{OWN_ROUTE}static/%2e%2e/service.py",
        f"{OWN_ROUTE}static/",
        f"{OWN_ROUTE}/etc/passwd",
    ],
)
def test_nothing_else_is_served_beside_them(fake_address: str, path: str) -> None:
    assert httpx.get(f"{fake_address}{path}").status_code == 404
