"""Where photos come from, in the browser: chosen, dropped, pasted, or taken with the camera."""

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import JSHandle, Page, Route, expect

from captioner.page import EXAMPLES, read_texts
from tests.page.engines import wait_for
from tests.page.visiting import (
    HOPPER,
    OpenPage,
    canvas,
    choose,
    count_questions,
    example,
    expect_captioned,
    expect_word,
    options,
    status,
)
from tests.serving import FakeModel, write_bad_file, write_photo

TRANSFER = """([files, text]) => {
    const transfer = new DataTransfer();
    for (const [name, type, data] of files) {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type }));
    }
    if (text) transfer.setData("text/plain", text);
    return transfer;
}"""
PASTE = """([selector, transfer]) => document.querySelector(selector).dispatchEvent(
    new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true }))"""
TEXTS = read_texts("en")


def transfer(page: Page, *paths: Path, text: str = "") -> JSHandle:
    """What is dragged, or is on the clipboard."""
    files = [
        (path.name, f"image/{path.suffix[1:]}", base64.b64encode(path.read_bytes()).decode())
        for path in paths
    ]
    return page.evaluate_handle(TRANSFER, [files, text])


def drop(page: Page, on: str, data: JSHandle) -> bool:
    """Drop it on a part of the page. Whether the browser would not do what it usually does."""
    target = page.locator(on).first
    target.dispatch_event("dragover", {"dataTransfer": data})
    return page.evaluate(
        """([target, data]) => !document.querySelector(target).dispatchEvent(
            new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }))""",
        [on, data],
    )


def expect_shape(page: Page, ratio: float) -> None:
    """Wait until the photo on the stage has this ratio of width to height."""
    page.wait_for_function(
        """([canvas, ratio]) => {
            const { width, height } = canvas.getBoundingClientRect();
            return Math.abs(width / height / ratio - 1) < 0.03;
        }""",
        arg=[canvas(page).element_handle(), ratio],
    )


def watch_uploads(page: Page) -> None:
    """Keep, from now on, what is uploaded, for `uploads`."""
    page.evaluate(
        """() => {
            window.uploads = [];
            const { fetch } = window;
            window.fetch = (address, request) => {
                if (String(address).endsWith("/upload")) window.uploads.push(request.body.get("files"));
                return fetch(address, request);
            };
        }"""  # noqa: E501
    )


def uploads(page: Page) -> list[bytes]:
    """The files that were uploaded."""
    found = page.evaluate(
        """() => Promise.all(window.uploads.map(async (file) => {
            const bytes = new Uint8Array(await file.arrayBuffer());
            return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
        }))"""
    )
    return [base64.b64decode(text) for text in found]


@pytest.mark.parametrize("on", ["#heading", "#viewer .stage", "#viewer .film", "#about"])
def test_a_photo_dropped_anywhere_takes_the_place_of_the_one_before(
    open_page: OpenPage, fake_address: str, tmp_path: Path, on: str
) -> None:
    """A second drop destroyed the first photo, and one on the stage opened the file in a tab."""
    page = open_page(fake_address)
    asked = count_questions(page)
    for number, size in enumerate(((300, 200), (200, 400))):
        photo = transfer(page, write_photo(tmp_path / f"{number}.png", size))
        assert drop(page, on, photo)
        expect_captioned(page)
        expect_shape(page, size[0] / size[1])
    assert len(asked) == 2, "each photo must be captioned exactly once"


def test_where_to_drop_a_photo_is_shown_while_it_is_over_the_page(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    veil = page.get_by_text(TEXTS["intake_drop"])
    data = transfer(page, write_photo(tmp_path / "photo.png"))
    page.locator("#about").dispatch_event("dragover", {"dataTransfer": data})
    expect(veil).to_be_visible()
    page.locator("#about").dispatch_event("dragleave", {"dataTransfer": data})
    expect(veil).to_be_hidden()
    page.locator("#about").dispatch_event("dragover", {"dataTransfer": transfer(page, text="x")})
    expect(veil).to_be_hidden()


def test_what_is_no_photo_leaves_the_photo_that_is_there_and_nothing_is_fetched(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    assert drop(page, "#viewer .stage", transfer(page, text="http://127.0.0.1:9/photo.jpg"))
    expect(page.locator("#viewer .origin")).to_have_text(TEXTS["intake_no_file"])
    expect(status(page)).to_have_text(TEXTS["intake_no_file"])
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear")
    page.locator("#viewer input[type=file]").set_input_files(letter)
    expect(page.locator("#viewer .origin")).to_have_text("letter.txt is not a photo.")
    expect(page.locator("#viewer .viewer")).to_have_attribute("data-state", "done")
    assert requests == []


def test_of_several_photos_the_first_is_taken_and_the_visitor_is_told(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    first, second = (tmp_path / "first.png", tmp_path / "second.png")
    write_photo(first, (300, 200)), write_photo(second, (200, 300))
    drop(page, "#viewer", transfer(page, first, second))
    expect_captioned(page)
    expect_shape(page, 1.5)
    said = "The model’s own caption. Of 2 files, the first was taken: first.png."  # noqa: RUF001
    expect(page.locator("#viewer .origin")).to_have_text(said)


def test_a_photo_is_pasted_anywhere_but_text_goes_into_a_text_field(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    asked = count_questions(page)
    data = transfer(page, write_photo(tmp_path / "photo.png", (300, 100)))
    page.locator("#viewer [data-tab=own]").click()
    page.evaluate(PASTE, [".own input", data])
    assert asked == []
    page.evaluate(PASTE, ["body", transfer(page, text="a dog")])
    expect(page.locator("#viewer .origin")).to_have_text(TEXTS["intake_nothing_pasted"])
    page.evaluate(PASTE, ["body", data])
    expect_captioned(page)
    expect_shape(page, 3)
    assert len(asked) == 1


def test_the_keyboard_pastes_what_is_on_the_clipboard(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address, permissions=["clipboard-read", "clipboard-write"])
    photo = base64.b64encode(write_photo(tmp_path / "photo.png", (300, 100)).read_bytes()).decode()
    page.evaluate(
        """async (data) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const blob = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        photo,
    )
    page.keyboard.press("Control+v")
    expect_captioned(page)
    expect_shape(page, 3)


def test_the_camera_takes_a_photo_and_is_off_afterwards(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address, permissions=["camera"])
    page.evaluate(
        """() => {
            window.tracks = [];
            const { mediaDevices } = navigator;
            const get = mediaDevices.getUserMedia.bind(mediaDevices);
            mediaDevices.getUserMedia = async (wanted) => {
                const stream = await get(wanted);
                window.tracks.push(...stream.getTracks());
                return stream;
            };
        }"""
    )
    watch_uploads(page)
    dialog = page.get_by_role("dialog")
    page.get_by_role("button", name="Take a photo").click()
    expect(dialog.get_by_role("button", name="Take the photo")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    state = "window.tracks.map((track) => track.readyState)"
    wait_for(lambda: page.evaluate(state), ["ended"])  # its close event comes a moment later
    page.get_by_role("button", name="Take a photo").click()
    shutter = dialog.get_by_role("button", name="Take the photo")
    expect(shutter).to_be_enabled()
    shutter.click()
    expect(dialog).to_be_hidden()
    expect_captioned(page)
    assert page.evaluate("window.tracks.map((track) => track.readyState)") == ["ended", "ended"]
    (sent,) = uploads(page)
    with Image.open(io.BytesIO(sent)) as photo:
        assert photo.format == "JPEG"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NotAllowedError", "camera_refused"),
        ("NotFoundError", "camera_missing"),
        ("NotReadableError", "camera_in_use"),
    ],
)
def test_a_camera_that_gives_no_picture_is_explained(
    open_page: OpenPage, fake_address: str, name: str, key: str
) -> None:
    """A missing camera gave an error that nobody caught."""
    page = open_page(fake_address)
    page.evaluate(
        "name => { navigator.mediaDevices.getUserMedia = () => "
        "Promise.reject(new DOMException('', name)); }",
        name,
    )
    page.get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("alert")).to_have_text(TEXTS[key])
    expect(dialog.get_by_role("button", name="Take the photo")).to_be_disabled()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#viewer .viewer")).to_have_attribute("data-state", "done")


def test_a_large_photo_is_sent_small_upright_and_without_what_the_camera_noted(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"  # lies on its side
    photo = tmp_path / "photo.jpg"
    left = Image.new("RGB", (3200, 2400), "red")
    left.paste("blue", (1600, 0, 3200, 2400))
    left.save(photo, exif=exif)
    page = open_page(fake_address)
    watch_uploads(page)
    choose(page, photo)
    expect_captioned(page)
    expect_shape(page, 0.75)
    (sent,) = uploads(page)
    with Image.open(io.BytesIO(sent)) as small:
        assert (small.format, small.size) == ("JPEG", (1200, 1600))
        assert not small.getexif()
        top, bottom = small.getpixel((600, 100)), small.getpixel((600, 1500))
    assert top == pytest.approx((255, 0, 0), abs=6)
    assert bottom == pytest.approx((0, 0, 255), abs=6)


def test_a_small_photo_is_sent_as_it_is(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    watch_uploads(page)
    choose(page, HOPPER)
    expect_captioned(page)
    (sent,) = uploads(page)
    assert sent == HOPPER.read_bytes()


@pytest.mark.parametrize("locale", ["en", "fr"])
def test_heic_that_nobody_can_read_is_named(
    open_page: OpenPage, fake_address: str, tmp_path: Path, locale: str
) -> None:
    page = open_page(fake_address, locale=locale)
    photo = write_bad_file(tmp_path, "phone.heic")
    choose(page, photo)
    expect(page.locator("#viewer .message")).to_have_text(read_texts(locale)["errors"]["heic"])


@pytest.mark.parametrize(
    ("answer", "key"),
    [(413, "upload_too_large"), (503, "upload_busy"), (400, "upload_refused"), (None, "no_answer")],
)
def test_a_photo_that_did_not_arrive_stays_and_can_be_sent_again(
    open_page: OpenPage, fake_address: str, answer: int | None, key: str
) -> None:
    page = open_page(fake_address)

    def fail(route: Route) -> None:
        route.abort() if answer is None else route.fulfill(status=answer, body="no")

    page.route("**/upload", fail)
    choose(page, HOPPER)
    message = page.locator("#viewer .message")
    expect(message).to_have_text(TEXTS["errors"][key].format(limit=10))
    expect(status(page)).to_have_text(message.inner_text())
    expect_shape(page, 512 / 600)
    again = page.get_by_role("button", name="Try again")
    if key in ("upload_too_large", "upload_refused"):
        expect(again).to_be_hidden()
        return
    page.unroute("**/upload")
    again.click()
    expect_captioned(page)


def test_a_photo_given_without_a_network_is_sent_when_there_is_one(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    page.context.set_offline(True)
    choose(page, HOPPER)
    expect(page.locator("#viewer .lost")).not_to_be_empty()
    expect(page.locator("#viewer .lost span")).to_be_in_viewport()
    expect_shape(page, 512 / 600)
    page.context.set_offline(False)
    expect_captioned(page)


def test_an_example_chosen_while_a_photo_is_captioned_stays(
    open_page: OpenPage, fake_address: str, fake_model: FakeModel
) -> None:
    page = open_page(fake_address)
    fake_model.seconds = 0.7
    choose(page, HOPPER)
    example(page, "pavilion").click()
    page.wait_for_timeout(4000)
    expect(page.locator("#viewer .credit")).to_contain_text(EXAMPLES["pavilion"]["author"])
    expect_shape(page, 640 / 427)


def test_the_arrow_keys_step_at_once_and_after_a_photo_was_chosen_with_the_mouse(
    open_page: OpenPage, fake_address: str
) -> None:
    page = open_page(fake_address)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    expect_word(page, 0)
    page.keyboard.press("ArrowRight")
    expect_word(page, 1)
    expect(options(page).nth(1)).to_be_focused()
    page.mouse.click(640, 5)  # nowhere
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a photo").click()
    chooser.value.set_files(HOPPER)
    expect(page.locator("#viewer .viewer")).to_have_attribute("data-state", "done")
    page.wait_for_function("document.activeElement.matches('#viewer [role=option]')")
    page.keyboard.press("Home")
    expect_word(page, 0)
    expect(options(page).first).to_be_focused()


def test_a_photo_of_too_many_pixels_is_left_to_the_server(
    open_page: OpenPage, fake_address: str, tmp_path: Path
) -> None:
    page = open_page(fake_address)
    watch_uploads(page)
    bomb = write_bad_file(tmp_path, "bomb.png")
    choose(page, bomb)
    expect(page.locator("#viewer .message")).to_have_text(re.compile("pixels"))
    assert uploads(page) == [bomb.read_bytes()]
