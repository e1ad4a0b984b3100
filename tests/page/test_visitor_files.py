"""The server's folder for visitors' files: what may be read in it, and when it is emptied."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import captioner.page.visitor_files as module
from captioner.errors import PhotoError
from captioner.page import VisitorFiles
from captioner.page.visitor_files import LOCK_FILE, PREFIX, delete_abandoned

ROOT = Path(__file__).parents[2]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[VisitorFiles]:
    with VisitorFiles(tmp_path / "place", quota_bytes=1000, max_age_seconds=100) as files:
        yield files


def put(files: VisitorFiles, name: str, size: int = 10, age_seconds: float = 0) -> Path:
    """An upload as Gradio leaves it, in a folder of its own."""
    path = files.uploads / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytes(size))
    then = time.time() - age_seconds
    os.utime(path, (then, then))
    return path


def test_uploads_and_examples_are_read_and_nothing_else_is(
    files: VisitorFiles, tmp_path: Path
) -> None:
    photo = put(files, "a/photo.jpg")
    assert files.read(str(photo)) == bytes(10)
    (files.examples / "lion.jpg").write_bytes(b"lion")
    assert files.read(str(files.examples / "lion.jpg")) == b"lion"
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (photo.parent / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    os.mkfifo(photo.parent / "fifo.jpg")
    for path in (
        tmp_path / "secret.jpg",
        photo.parent / "link.jpg",
        photo.parent / "fifo.jpg",
        photo.parent / "absent.jpg",
        photo.parent,
        files.uploads,
        files.folder / LOCK_FILE,
        files.uploads / ".." / ".." / ".." / "secret.jpg",
        "photo.jpg",
        "\0",
        "",
        None,
        7,
        ["a"],
    ):
        with pytest.raises(PhotoError, match="no longer on the server") as caught:
            files.read(str(path) if isinstance(path, Path) else path)
        assert caught.value.code == "gone"


def test_a_link_that_leads_to_another_upload_may_be_read(files: VisitorFiles) -> None:
    photo = put(files, "a/photo.jpg")
    (photo.parent / "link.jpg").symlink_to(photo)
    assert files.read(str(photo.parent / "link.jpg")) == bytes(10)


def test_old_uploads_are_deleted_and_their_folders_with_them(files: VisitorFiles) -> None:
    old, new = put(files, "a/old.jpg", age_seconds=101), put(files, "b/new.jpg", age_seconds=50)
    example = files.examples / "lion.jpg"
    example.write_bytes(b"lion")
    os.utime(example, (0, 0))
    files.make_room(0)
    assert not old.parent.exists()
    assert new.exists()
    assert example.exists()
    assert files.uploads.is_dir()


def test_an_upload_that_was_broken_off_is_deleted_sooner(
    files: VisitorFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNFINISHED_SECONDS", 20)
    broken, whole = put(files, "tmp1", age_seconds=30), put(files, "a/whole", age_seconds=30)
    files.make_room(0)
    assert not broken.exists()
    assert whole.exists()
    assert files.uploads.is_dir()


def test_the_oldest_uploads_make_room_for_new_ones(files: VisitorFiles) -> None:
    paths = [put(files, f"{age}/photo", size=300, age_seconds=age) for age in (30, 20, 10)]
    files.make_room(100)
    assert [path.exists() for path in paths] == [True, True, True]
    files.make_room(101)
    assert [path.exists() for path in paths] == [False, True, True]
    files.make_room(500)
    assert [path.exists() for path in paths] == [False, False, True]


def test_there_are_only_so_many_uploads(
    files: VisitorFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    paths = [put(files, f"{age}/photo", size=1, age_seconds=age) for age in (40, 30, 20, 10)]
    files.make_room(0)
    assert [path.exists() for path in paths] == [False, False, True, True]


def test_an_upload_under_way_is_no_room_for_others(files: VisitorFiles) -> None:
    """The oldest of those that were arriving were deleted, and kept their place on the disk."""
    arriving = put(files, "tmp1", size=400, age_seconds=30)
    photo = put(files, "a/photo", size=300, age_seconds=20)
    assert files.make_room(100)
    assert photo.exists()
    assert not files.make_room(101), "half of the quota is for those that have arrived"
    assert photo.exists()
    put(files, "b/photo", size=250)
    assert files.make_room(100)
    assert not photo.exists()
    assert arriving.exists()


def test_uploads_are_swept_without_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.01)
    with VisitorFiles(tmp_path, max_age_seconds=100) as files:
        old = put(files, "a/old.jpg", age_seconds=101)
        deadline = time.monotonic() + 30
        while old.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_folder_is_private_and_deleted_at_the_end(tmp_path: Path) -> None:
    with VisitorFiles(tmp_path) as files:
        assert files.folder.stat().st_mode & 0o077 == 0
        put(files, "a/photo.jpg")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_left_is_deleted_by_the_next(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from captioner.page import VisitorFiles\n"
        "files = VisitorFiles(Path(sys.argv[1])); print(files.folder, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        (left / "uploads" / "photo.jpg").write_bytes(b"photo")
        with VisitorFiles(tmp_path):
            assert left.exists(), "its server runs"
        process.kill()
    assert left.exists()
    with VisitorFiles(tmp_path) as files:
        assert list(tmp_path.iterdir()) == [files.folder]


def test_only_a_servers_own_folders_are_deleted(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / LOCK_FILE).touch()
    starting = tmp_path / f"{PREFIX}starting"
    starting.mkdir()
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(photos)
    (tmp_path / f"{PREFIX}file").touch()
    before = sorted(tmp_path.iterdir())
    delete_abandoned(tmp_path)
    assert sorted(tmp_path.iterdir()) == before
    os.utime(starting, (0, 0))
    delete_abandoned(tmp_path)
    assert not starting.exists()
    assert (photos / LOCK_FILE).exists()


def test_a_place_that_cannot_be_written_to_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="GRADIO_TEMP_DIR"):
        VisitorFiles(tmp_path / "file" / "place")
