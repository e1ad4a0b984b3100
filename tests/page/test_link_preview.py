"""What sites show of a link to the page."""

import io
from html.parser import HTMLParser
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from captioner.page import VisitorFiles
from captioner.page.link_preview import HEIGHT, WIDTH, link_preview
from tests.serving import FakeModel, serving


class MetaTags(HTMLParser):
    """Collects a document's meta tags, by name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        name = named.get("property") or named.get("name")
        if tag == "meta" and name:
            self.found.setdefault(name, []).append(named.get("content") or "")


def preview(address: str, **headers: str) -> dict[str, list[str]]:
    return MetaTags(httpx.get(address, headers=headers).text).found


def test_a_link_shows_title_description_and_a_picture_that_is_there(fake_address: str) -> None:
    tags = preview(fake_address)
    assert tags["og:title"] == ["What the model sees"]
    assert tags["og:description"] == tags["description"]
    assert tags["og:url"] == [f"{fake_address}/"]
    assert tags["twitter:card"] == ["summary_large_image"]
    assert len(tags["og:image:alt"]) == 1
    (address,) = tags["og:image"]
    assert address.startswith(fake_address)
    picture = httpx.get(address)
    assert picture.headers["content-type"] == tags["og:image:type"][0] == "image/jpeg"
    assert len(picture.content) < 150_000
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.size == (WIDTH, HEIGHT)
    assert tags["og:image:width"] == [str(WIDTH)]
    assert tags["og:image:height"] == [str(HEIGHT)]


def test_a_link_names_no_other_site(fake_address: str) -> None:
    hosts = {
        urlsplit(value).hostname
        for values in preview(fake_address).values()
        for value in values
        if value.startswith("http")
    }
    assert hosts == {urlsplit(fake_address).hostname}


def test_a_link_names_the_address_that_a_proxy_serves(files: VisitorFiles) -> None:
    with serving(FakeModel(), files, root_path="/captions") as address:
        port = urlsplit(address).port
        headers = {"Host": "localhost", "X-Forwarded-Proto": "https"}
        tags = preview(f"http://127.0.0.1:{port}/", **headers)
    assert tags["og:url"] == ["https://localhost/captions/"]
    assert tags["og:image"][0].startswith("https://localhost/captions/page/")


def test_a_host_that_is_not_allowed_is_in_no_preview(fake_address: str) -> None:
    headers = {"X-Forwarded-Host": "evil.example", "X-Gradio-Server": "http://evil.example"}
    assert "evil.example" not in httpx.get(fake_address, headers=headers).text
    assert httpx.get(fake_address, headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("hostile", ['http://a"><script>x</script>', "http://a'&<b>"])
def test_an_address_adds_no_tag_of_its_own(hostile: str) -> None:
    tags = MetaTags(link_preview(hostile))
    assert set(tags.tags) == {"meta"}
    assert tags.found["og:url"] == [f"{hostile}/"]
