"""`python -m captioner`: what it prints, what it writes, and how it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import captioner.__main__ as command_line
from captioner import Caption, DecodingOptions, ImageCaptioningModel, Word, save_model

Run = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def checkpoint(model: ImageCaptioningModel, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def folder(photos: list[Image.Image], tmp_path: Path) -> Path:
    """A folder with four photos, a.png to d.png."""
    (tmp_path / "photos").mkdir()
    for name, photo in zip("abcd", photos, strict=True):
        photo.save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


@pytest.fixture
def run(checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line with the tiny checkpoint: exit status, lines of stdout, stderr."""

    def run_with(*arguments: Any) -> tuple[int, list[str], str]:
        try:
            status = command_line.main([*map(str, arguments), "--checkpoint", str(checkpoint)])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        output, errors = capfd.readouterr()
        return status, output.splitlines(), errors

    return run_with


def test_one_photo_gives_its_caption_alone(run: Run, folder: Path, checkpoint: Path) -> None:
    status, lines, errors = run(folder / "a.png")
    wanted = captioner_says(checkpoint, folder / "a.png")
    assert (status, lines, errors) == (0, [str(wanted)], "")
    assert wanted.words


def captioner_says(checkpoint: Path, photo: Path, **options: Any) -> Caption:
    return command_line.load_model(checkpoint).generate_caption(photo, **options)


def test_several_photos_give_a_line_each_in_their_order(
    run: Run, folder: Path, checkpoint: Path
) -> None:
    paths = [folder / f"{name}.png" for name in "cab"]
    status, lines, _ = run(*paths)
    assert status == 0
    assert lines == [f"{path}\t{captioner_says(checkpoint, path)}" for path in paths]


@pytest.mark.parametrize("count", [7, 8, 9, 17])
def test_order_holds_across_batches_and_bad_photos(run: Run, folder: Path, count: int) -> None:
    names = [("a", "b", "gone", "c", "d")[number % 5] for number in range(count)]
    status, lines, errors = run(*(folder / f"{name}.png" for name in names))
    assert status == 1
    wanted = [str(folder / f"{name}.png") for name in names if name != "gone"]
    assert [line.split("\t")[0] for line in lines] == wanted
    captions = dict(line.split("\t") for line in lines)
    assert all(
        line == f"{path}\t{captions[path]}" for path, line in zip(wanted, lines, strict=True)
    )
    assert errors.count("no such photo") == names.count("gone")


def test_memory_does_not_grow_with_the_photos(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = ImageCaptioningModel.generate_captions

    def watch(self: ImageCaptioningModel, photos: list[Any], options: Any) -> list[Caption]:
        sizes.append(len(photos))
        return original(self, photos, options)

    monkeypatch.setattr(ImageCaptioningModel, "generate_captions", watch)
    run(*[folder / "a.png"] * 19)
    assert sizes == [8, 8, 3]


def test_a_folder_stands_for_the_photos_in_it(run: Run, folder: Path) -> None:
    (folder / "notes.txt").write_text("not a photo")
    (folder / "inner.jpg").mkdir()
    (folder / "a.png").rename(folder / "e.PNG")
    status, lines, _ = run(folder)
    assert status == 0
    names = [Path(line.split("\t")[0]).name for line in lines]
    assert names == ["b.png", "c.png", "d.png", "e.PNG"]


def test_a_folder_of_one_photo_still_names_it(run: Run, folder: Path) -> None:
    for name in "bcd":
        (folder / f"{name}.png").unlink()
    assert run(folder)[1][0].startswith(f"{folder / 'a.png'}\t")


def test_a_folder_without_photos_is_complained_of(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, lines, errors = run(tmp_path / "empty")
    assert (status, lines) == (1, [])
    assert "empty is a folder, not a photo" in errors


def test_json_lines_hold_all_there_is(run: Run, folder: Path, checkpoint: Path) -> None:
    status, lines, _ = run(folder / "a.png", folder / "b.png", "--format", "jsonl")
    assert status == 0
    paths = [folder / "a.png", folder / "b.png"]
    captions = command_line.load_model(checkpoint).generate_captions(paths)
    for line, path, caption in zip(lines, paths, captions, strict=True):
        data = json.loads(line)
        assert data == {"photo": str(path), **caption.to_json()}
        assert list(data) == ["photo", "caption", "score", "grid", "words"]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        (("--beam-size", 1), {"beam_size": 1}),
        (("--max-length", 3), {"max_length": 3}),
        (("--min-length", 9, "--beam-size", 2), {"min_length": 9, "beam_size": 2}),
        (("--length-penalty", 0), {"length_penalty": 0.0}),
        (("--no-repeat-ngram", 1), {"no_repeat_ngram": 1}),
    ],
)
def test_decoding_options_reach_the_model(
    run: Run, folder: Path, checkpoint: Path, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    _, lines, _ = run(folder / "a.png", "--format", "jsonl", *arguments)
    wanted = captioner_says(checkpoint, folder / "a.png", **options).to_json()
    assert json.loads(lines[0])["words"] == wanted["words"]


def test_every_decoding_option_has_a_flag_with_its_default(run: Run) -> None:
    status, lines, _ = run("--help")
    assert status == 0
    text = " ".join(" ".join(lines).split())
    for field in fields(DecodingOptions):
        flag = f"--{field.name.replace('_', '-')} N "
        assert f"default: {field.default}" in text.split(flag)[1][:150], flag
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "PHOTO"),
        (("x.jpg", "--beam-size", "0"), "beam_size must be from 1 to 100, got 0"),
        (("x.jpg", "--beam-size", "2.5"), "invalid int value: '2.5'"),
        (("x.jpg", "--beam", "2"), "unrecognized arguments: --beam"),
        (("x.jpg", "--format", "xml"), "invalid choice: 'xml'"),
        (("x.jpg", "--device", "toaster"), "toaster cannot be used here: "),
        (("x.jpg", "--device", "meta"), "meta cannot be used here: "),
        (("x.jpg", "--overlays", __file__), "File exists"),
    ],
)
def test_wrong_usage_ends_with_status_2(run: Run, arguments: tuple[str, ...], message: str) -> None:
    status, lines, errors = run(*arguments)
    assert (status, lines) == (2, [])
    assert message in errors


def test_a_missing_or_damaged_checkpoint_ends_with_status_2(
    run: Run, folder: Path, checkpoint: Path
) -> None:
    os.truncate(checkpoint / "model.safetensors", 100)
    status, lines, errors = run(folder / "a.png")
    assert (status, lines) == (2, [])
    assert errors.startswith("captioner: ")
    assert "is damaged or cut short" in errors
    for path in checkpoint.iterdir():
        path.unlink()
    checkpoint.rmdir()
    status, lines, errors = run(folder / "a.png")
    assert (status, lines) == (2, [])
    assert errors == f"captioner: no checkpoint folder {checkpoint}; name a folder that " + (
        "save_model wrote, or owner/name of a model on the Hugging Face Hub\n"
    )


def test_bad_photos_do_not_stop_the_rest(run: Run, folder: Path) -> None:
    (folder / "text.jpg").write_text("hello")
    long = "x" * 5000
    status, lines, errors = run(folder / "text.jpg", long, folder / "gone.jpg", folder / "a.png")
    assert status == 1
    assert [line.split("\t")[0] for line in lines] == [str(folder / "a.png")]
    complaints = errors.splitlines()
    assert len(complaints) == 3
    assert all(complaint.startswith("captioner: ") for complaint in complaints)
    assert "text.jpg is not a photo" in complaints[0]
    assert long in complaints[1]
    assert "gone.jpg" in complaints[2]


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


@pytest.mark.parametrize("stem", ["ü ß", "a" * 250, ".hidden", "日" * 80, "-", "a\tb\nc"])
def test_overlays_of_any_name_and_word_have_names_a_disk_takes(
    photos: list[Image.Image], tmp_path: Path, stem: str
) -> None:
    path = tmp_path / f"{stem}.png"
    photos[0].save(path)
    alpha = np.full((3, 3), 1 / 9, np.float32)
    texts = ["../../etc/x", "'s", ".", "", "a/b\\c:d", "NUL", "-", "w" * 300, "日" * 300, "\0"]
    caption = Caption(tuple(Word(text, 0.5, (), alpha) for text in texts), -1.0, (3, 3), -2.0)
    folder = command_line.OverlayFolder(tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "attention_sheet", lambda *_: Sheet())
        folder.write(str(path), caption)
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

    monkeypatch.setattr(command_line, "overlay", full)
    status, lines, errors = run(folder / "a.png", "--overlays", tmp_path / "out")
    assert status == 1
    assert len(lines) == 1
    assert errors == f"captioner: {folder / 'a.png'}: [Errno 28] No space left on device\n"


def test_ctrl_c_ends_without_a_traceback(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "caption_photos", interrupt)
    assert run(folder / "a.png") == (130, [], "")


def test_a_closed_pipe_and_names_that_are_no_text_end_without_a_traceback(
    folder: Path, checkpoint: Path
) -> None:
    """As in `| head -1`: one line is read, then the reader goes."""
    odd = os.fsencode(folder) + b"/\xff.png"
    (folder / "a.png").rename(os.fsdecode(odd))
    photos = [odd, *[os.fsencode(folder / "b.png")] * 40]
    command = [sys.executable, "-W", "error", "-m", "captioner", *photos]
    with subprocess.Popen(
        [*command, "--checkpoint", str(checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith(odd + b"\t")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == command_line.READER_GONE
