"""Regular files alone are photos: what else a path can lead to is refused at once."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from captioner import images
from captioner.errors import PhotoError
from captioner.images import load_image

PATIENCE_SECONDS = 60


def refusal(path: Path | str) -> PhotoError:
    """The error of reading a photo, which must come at once."""
    pool = ThreadPoolExecutor()
    try:
        error = pool.submit(load_image, path).exception(PATIENCE_SECONDS)
    finally:
        pool.shutdown(wait=False)
    assert isinstance(error, PhotoError)
    return error


@pytest.mark.parametrize("device", ["/dev/ptmx", "/dev/zero", "/dev/tty", "/dev/null"])
def test_a_device_is_no_photo(device: str) -> None:
    """Opening /dev/ptmx once waited for ever, and reading /dev/zero filled the memory."""
    assert refusal(device).code == "not_a_file"
    assert str(refusal(device)) == f"{device} is not a regular file"


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_and_a_socket_are_no_photos(tmp_path: Path, linked: bool) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        for name in ("pipe.jpg", "socket.jpg"):
            path = tmp_path / name
            if linked:
                path = tmp_path / f"link-{name}"
                path.symlink_to(tmp_path / name)
            error = refusal(path)
            assert (error.code, error.values) == ("not_a_file", {"name": str(path)})


def test_a_pipe_that_takes_the_place_of_a_file_in_between_is_no_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.png")
    regular = (tmp_path / "photo.png").stat()
    os.mkfifo(tmp_path / "pipe.png")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda self, **_: regular)
        assert refusal(tmp_path / "pipe.png").code == "not_a_file"


def test_a_link_to_a_photo_is_a_photo(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.png")
    (tmp_path / "link").symlink_to(tmp_path / "photo.png")
    assert load_image(tmp_path / "link").size == (20, 20)


def test_a_folder_has_a_code_of_its_own(tmp_path: Path) -> None:
    assert refusal(tmp_path).code == "folder"


@pytest.mark.parametrize("name", ["gone.jpg", "photo.png/x", "a\0b"])
def test_a_path_that_leads_nowhere_is_a_missing_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "photo.png").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="no such photo: "):
        load_image(tmp_path / name)


def test_a_path_that_the_system_refuses_says_why(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert refusal(tmp_path / "loop").code == "unreadable"
    assert "cannot be read (Too many levels of symbolic links)" in str(refusal(tmp_path / "loop"))
    assert "cannot be read (File name too long)" in str(refusal(tmp_path / ("a" * 300)))


def test_a_photo_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "photo.png")
    (tmp_path / "photo.png").chmod(0)
    user = os.geteuid()
    if user == 0:  # root may read everything
        os.seteuid(65534)
    try:
        assert refusal(tmp_path / "photo.png").code == "permission_denied"
    finally:
        os.seteuid(user)


def test_a_file_of_very_many_bytes_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large.png").touch()
    os.truncate(tmp_path / "large.png", images.MAX_BYTES + 1)
    error = refusal(tmp_path / "large.png")
    assert (error.code, error.values["max_bytes"]) == ("too_many_bytes", images.MAX_BYTES)


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    os.mkfifo(tmp_path / "pipe")
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(20):
        for name in ("text", "pipe", "gone"):
            with pytest.raises((PhotoError, FileNotFoundError)):
                load_image(tmp_path / name)
    assert len([*Path("/proc/self/fd").iterdir()]) == before
