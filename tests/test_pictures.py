"""The pictures that the command line writes: their names, and what is in them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from captioner import Caption, Word, load_model
from captioner.cli import pictures
from captioner.cli.photos import Listed
from captioner.cli.pictures import Pictures
from tests.conftest import Run


def test_overlays_are_one_for_each_word_and_a_sheet(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    _, lines, _ = run(folder / "a.png", "--overlays", out, "--max-length", 3, "--min-length", 3)
    words = lines[0].split()
    names = [f"a-{number:02d}-{word}.jpg" for number, word in enumerate(words, start=1)]
    assert sorted(path.name for path in out.iterdir()) == ["a-00-sheet.png", *names]
    assert len(names) == 3
    for name in names:
        with Image.open(out / name) as overlay:
            assert overlay.size == (90, 60)


def test_photos_of_the_same_name_keep_their_overlays_apart(
    run: Run, folder: Path, photos: list[Image.Image], tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("one/a.png", "two/A.jpg", "three/a-2.png", "two/a.png")]
    for path, photo in zip(paths, photos, strict=True):
        path.parent.mkdir(exist_ok=True)
        photo.save(path)
    out = tmp_path / "out"
    status, lines, _ = run(*paths, "--overlays", out, "--max-length", 2)
    assert status == 0
    written = sorted(path.name for path in out.iterdir())
    counts = [len(line.split("\t")[1].split()) + 1 for line in lines]
    assert len(written) == sum(counts)
    sheets = {name for name in written if name.endswith("-00-sheet.png")}
    assert sheets == {
        "a-00-sheet.png", "A-2-00-sheet.png", "a-2-2-00-sheet.png", "a-3-00-sheet.png",
    }  # fmt: skip
    assert len({name.casefold() for name in written}) == len(written)


def test_the_parts_of_a_word_stay_together_in_a_name(
    photos: list[Image.Image], tmp_path: Path
) -> None:
    photos[0].save(tmp_path / "a.png")
    word = Word("coffee pot", 0.5, (), np.full((3, 3), 1 / 9, np.float32))
    wanted = Pictures(overlays=tmp_path / "out")
    wanted.make_folders()
    (photo,) = wanted.name([Listed(str(tmp_path / "a.png"))])
    wanted.write(photo, Caption((word,), -1.0, (3, 3), -2.0))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"a-00-sheet.png", "a-01-coffee_pot.jpg"}


@pytest.mark.parametrize("stem", ["ü ß", "a" * 250, ".hidden", "日" * 80, "-", "a\tb\nc"])
def test_overlays_of_any_name_and_word_have_names_a_disk_takes(
    photos: list[Image.Image], tmp_path: Path, stem: str
) -> None:
    path = tmp_path / f"{stem}.png"
    photos[0].save(path)
    alpha = np.full((3, 3), 1 / 9, np.float32)
    texts = ["../../etc/x", "'s", ".", "", "a/b\\c:d", "NUL", "-", "w" * 300, "日" * 300, "\0"]
    caption = Caption(tuple(Word(text, 0.5, (), alpha) for text in texts), -1.0, (3, 3), -2.0)
    wanted = Pictures(overlays=tmp_path / "out")
    wanted.make_folders()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "attention_sheet", lambda *_: Sheet())
        (photo,) = wanted.name([Listed(str(path))])
        wanted.write(photo, caption)
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) == len(texts) + 1
    assert all(file.is_file() and not file.name.startswith(".") for file in written)
    assert {file.name for file in tmp_path.iterdir()} == {"out", path.name}


class Sheet:
    """Stands for a figure: fonts lack some of the letters above, and say so."""

    def savefig(self, path: Path, **_: Any) -> None:
        path.write_bytes(b"")


def test_a_photo_whose_overlays_fail_is_captioned_all_the_same(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures, "overlay", full)
    status, lines, errors = run(folder / "a.png", "--overlays", tmp_path / "out")
    assert status == 1
    assert len(lines) == 1
    assert errors == f"captioner: {folder / 'a.png'}: [Errno 28] No space left on device\n"


@pytest.mark.slow
def test_an_animation_and_a_sheet_of_each_photo_are_written(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    arguments = ("--gif", tmp_path / "gifs", "--sheet", tmp_path / "sheets", "--max-length", 3)
    status, lines, errors = run(folder, *arguments, "--sheet-format", "svg", "--min-length", 3)
    assert (status, len(lines), errors) == (0, 4, "")
    sheets = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert sheets == [f"{name}-sheet.svg" for name in "abcd"]
    assert "<svg" in (tmp_path / "sheets" / "a-sheet.svg").read_text()
    gifs = sorted((tmp_path / "gifs").iterdir())
    assert [path.name for path in gifs] == [f"{name}-words.gif" for name in "abcd"]
    with Image.open(gifs[0]) as gif:
        assert getattr(gif, "n_frames", 1) == 4  # the photo, and its three words


def test_the_sheet_among_overlays_has_the_format_too(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    run(folder / "a.png", "--overlays", tmp_path / "out", "--sheet-format", "pdf")
    assert (tmp_path / "out" / "a-00-sheet.pdf").read_bytes().startswith(b"%PDF")


def test_pictures_show_a_persons_own_words(
    run: Run, folder: Path, tmp_path: Path, checkpoint: Path
) -> None:
    run(folder / "a.png", "--caption", "zebra dog", "--overlays", tmp_path)
    overlays = sorted(path.name for path in tmp_path.glob("a-*.jpg"))
    assert overlays == ["a-01-zebra.jpg", "a-02-dog.jpg"]
    model = load_model(checkpoint)
    scored = model.score_caption(folder / "a.png", "zebra dog")
    for name, wanted in zip(
        overlays, model.visualize_attention(folder / "a.png", scored), strict=True
    ):
        with Image.open(tmp_path / name) as found:
            difference = np.asarray(found).astype(int) - np.asarray(wanted)
        assert abs(difference).mean() < 6  # what JPEG takes


def test_no_picture_takes_the_place_of_its_photo(
    run: Run, photos: list[Image.Image], tmp_path: Path
) -> None:
    for suffix in ("gif", "png"):
        photos[0].save(tmp_path / f"a.{suffix}")
    before = {path: path.read_bytes() for path in tmp_path.glob("a.*")}
    flags = ("--gif", "--sheet", "--overlays")
    run(tmp_path, *(part for flag in flags for part in (flag, tmp_path)))
    assert {path: path.read_bytes() for path in before} == before
    assert (tmp_path / "a-words.gif").exists()
    assert (tmp_path / "a-2-sheet.png").exists()


def test_a_resumed_run_gives_pictures_the_names_that_a_whole_one_would(
    run: Run, photos: list[Image.Image], tmp_path: Path
) -> None:
    """Otherwise they would replace those of a photo of the same name that was done before."""
    paths = [tmp_path / name / "a.png" for name in "xyz"]
    for path, photo in zip(paths, photos, strict=False):
        path.parent.mkdir()
        photo.save(path)
    gifs = tmp_path / "gifs"
    arguments = ("--gif", gifs, "--output", tmp_path / "out.jsonl", "--max-length", 2)
    paths[0].rename(tmp_path / "away")
    assert run(*paths[:2], *arguments)[0] == 1
    (before,) = gifs.iterdir()
    content = before.read_bytes()
    (tmp_path / "away").rename(paths[0])
    assert run(*paths, *arguments, "--resume")[0] == 0
    assert sorted(path.name for path in gifs.iterdir()) == [
        "a-2-words.gif", "a-3-words.gif", "a-words.gif",
    ]  # fmt: skip
    assert before.name == "a-2-words.gif"
    assert before.read_bytes() == content


@pytest.mark.slow
def test_many_photos_of_one_name_are_named_at_once() -> None:
    names = Pictures(gifs=Path("out")).name(Listed(f"{number}/a.jpg") for number in range(20_000))
    assert len({photo.picture_name for photo in names}) == 20_000


def test_a_sheet_of_letters_that_its_font_lacks_says_nothing(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        status, _, errors = run(folder / "a.png", "--caption", "日 本", "--sheet", tmp_path)
    assert (status, errors) == (0, "")
