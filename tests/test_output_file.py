"""What the command line writes to a file, and how a run that stopped at any byte is resumed."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captioner import Caption, ImageCaptioningModel, Word, load_model
from captioner.cli import pictures
from captioner.cli.formats import Csv, JsonLines, Text
from captioner.cli.output import OutputFile, Recorded, examine_output
from captioner.cli.photos import Answer, Listed
from tests.conftest import Run

ROOT = Path(__file__).parent.parent
SUFFIXES = {"text": "txt", "jsonl": "jsonl", "csv": "csv"}


def caption_of(text: str, probability: float = 0.5) -> Caption:
    alpha = np.full((1, 2), 0.5, np.float32)
    words = tuple(Word(word, probability, (), alpha, word != "zebra") for word in text.split())
    return Caption(words, -0.5, (1, 2), -1.25)


def answer(photo: str, *captions: str, own: str | None = None) -> Answer:
    scored = None if own is None else caption_of(own)
    return Answer(Listed(photo), [caption_of(text) for text in captions], scored)


@pytest.mark.slow
def test_an_output_file_holds_what_standard_output_would(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    for form in SUFFIXES:
        _, wanted, _ = run(folder, "--format", form)
        status, lines, errors = run(folder, "--format", form, "--output", tmp_path / form)
        assert (status, lines, errors) == (0, [], "")
        assert (tmp_path / form).read_text().splitlines() == wanted


def test_the_name_of_an_output_file_says_its_format(run: Run, folder: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.CSV", "a.txt", "a"):
        run(folder / "a.png", "--output", tmp_path / name)
    run(folder / "a.png", "--output", tmp_path / "b.csv", "--format", "jsonl")
    starts = {path.name: path.read_text()[:9] for path in tmp_path.glob("[ab]*.*")}
    assert starts.pop("a.CSV") == '"photo","'
    assert starts.pop("a.txt") == str(folder)[:9]
    assert starts == {"a.jsonl": '{"photo":', "b.csv": '{"photo":'}
    assert (tmp_path / "a").read_text() == (tmp_path / "a.txt").read_text()


def test_a_table_has_a_row_for_each_caption(run: Run, folder: Path, checkpoint: Path) -> None:
    path = folder / "a.png"
    _, lines, _ = run(path, "--format", "csv", "--num-captions", 2)
    rows = list(csv.DictReader(lines))
    captions = load_model(checkpoint).generate_n_best([path], num_captions=2)[0]
    assert rows == [
        {
            "photo": str(path),
            "rank": str(rank),
            "caption": str(caption),
            "score": str(round(caption.score, 4)),
            "perplexity": str(round(caption.perplexity, 4)),
            "words": " ".join(f"{w.text}:{round(w.probability, 4)}" for w in caption.words),
            "familiarity": "",
        }
        for rank, caption in enumerate(captions, start=1)
    ]
    _, lines, _ = run(path, "--format", "csv", "--caption", "a cat zebra")
    own = list(csv.DictReader(lines))[1]
    scored = load_model(checkpoint).score_caption(path, "a cat zebra")
    assert (own["rank"], own["caption"], own["unknown_words"]) == ("0", "a cat zebra", "a zebra")
    assert own["perplexity"] == str(round(scored.perplexity, 4))


@pytest.mark.parametrize(
    "photo",
    [
        "=cmd|' /C calc'!A0.jpg",
        "+1.jpg",
        "-1.jpg",
        "@SUM(A1).jpg",
        "\t=1.jpg",
        "\r=1.jpg",
        "\uff1d1",
    ],
)
def test_no_cell_of_a_table_is_a_formula(photo: str) -> None:
    """A spreadsheet runs a cell that begins with =; photos from the network may be called so."""
    form = Csv(with_own_caption=True)
    text = form.header + form.write(answer(photo, "= dog", own="@zebra zebra"))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    for cell in (cell for row in rows for cell in row if not cell.startswith("-0.5")):
        assert cell[:1] not in set("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
    assert rows[1][0] == f"./{photo}"  # the same photo, by a path that is no formula
    assert rows[1][2] == "'= dog"
    assert rows[2][5] == "'@zebra:0.5 zebra:0.5"
    assert rows[2][1] == "0"


def test_a_table_keeps_any_path_and_word_apart_from_its_own_marks() -> None:
    form, photo = Csv(), 'a "b", c;\nd\t=e\r\n.jpg'
    text = form.write(answer(photo, '12:30 " , ;=1'))
    ((name, _, caption, *_, words, _),) = csv.reader(io.StringIO(text, newline=""))
    assert (name, caption.split()[0]) == (photo, "12:30")
    assert [word.rpartition(":")[0] for word in words.split()] == ["12:30", '"', ",", ";=1"]
    row = form.write(answer("a;=1.jpg", "dog"))
    assert row.startswith('"a;=1.jpg",1,"')  # where ; is the separator, it begins no cell


def test_a_table_has_the_familiarity_and_the_parts_of_a_word_together() -> None:
    caption = replace(caption_of("the zebra"), familiarity=0.123456)
    caption = replace(
        caption,
        words=tuple(replace(w, text=f"{w.text} crossing", blind=0.5) for w in caption.words),
    )
    form = Csv(with_own_caption=True)
    text = form.header + form.write(Answer(Listed("a.jpg"), [caption], caption))
    for row in csv.DictReader(io.StringIO(text, newline="")):
        assert row["caption"] == "the crossing zebra crossing"
        assert row["words"] == "the_crossing:0.5 zebra_crossing:0.5"
        assert row["familiarity"] == "0.1235"
        assert row["unknown_words"] == "zebra_crossing"


def test_lines_for_people_say_what_was_recognized_and_what_is_habit() -> None:
    caption = caption_of("the zebra crossing")
    the, zebra, crossing = caption.words
    words = (
        replace(the, recognized=0.0099, blind=0.45),
        replace(zebra, recognized=0.9, blind=0.02),
        replace(crossing, text="zebra crossing"),
    )
    own = replace(caption, words=words, familiarity=0.031)
    lines = Text(alone=True).write(Answer(Listed("a.jpg"), [caption], own)).splitlines()
    assert lines[1:] == [
        "your caption: the 50% (45% blind)  zebra 50% (unknown, 90% recognized, 2.00% blind)  "
        "zebra crossing 50%",
        f"perplexity: {own.perplexity:.1f} for your caption, {caption.perplexity:.1f} for the "
        "model's",
        "familiarity of the photo: 3.10%",
    ]


def test_a_path_with_a_line_break_is_no_line_of_text(run: Run, folder: Path) -> None:
    odd = folder / "e\nf.png"
    (folder / "a.png").rename(odd)
    status, lines, errors = run(folder)
    assert (status, len(lines)) == (1, 3)
    assert "its path has a line break in it; use --format jsonl or csv" in errors
    assert json.loads(run(odd, "--format", "jsonl")[1][0])["photo"] == str(odd)
    assert len(run(odd)[1]) == 1  # alone, it is not named


def test_an_output_file_that_exists_is_left_alone(run: Run, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("precious\n")
    status, _, errors = run(folder, "--output", path)
    assert status == 2
    assert errors == (
        f"captioner: {path} exists: --overwrite replaces it, --resume continues JSON Lines\n"
    )
    assert path.read_text() == "precious\n"
    assert run(folder, "--output", path, "--overwrite")[0] == 0
    assert len(path.read_text().splitlines()) == 4
    path.write_text("")
    assert run(folder, "--output", path)[0] == 0  # nothing is lost


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("precious", "line 1 is not one .* cut off"),
        ("precious\n", "line 1 is not one .*Expecting value"),
        ('{"photo": "a.png"}\n[1]\n', "line 2 is not one .* not an object with a photo"),
        ('{"photo": "a.png"}\n{"pho\n', "line 2 is not one .*Invalid control character"),
        ('{"photo": "a.png", "rank": 1}\n', "another --num-captions, or with or without"),
        ('{"photo": "a.png", "rank": "1"}\n', "its rank is not a whole number"),
        ('{"photo": "a.png", "scored": {}}\n', "another --num-captions, or with or without"),
    ],
)
def test_a_file_of_something_else_is_not_resumed(
    run: Run, folder: Path, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "out"
    path.write_text(content)
    status, _, errors = run(folder, "--output", path, "--format", "jsonl", "--resume")
    assert status == 2
    assert errors.startswith(f"captioner: {path} cannot be resumed: ")
    assert re.search(message, errors), errors
    assert path.read_text() == content


@pytest.mark.parametrize(
    "ranked",
    [
        [("a.png", 2)],
        [("a.png", 1), ("b.png", 2)],
        [("a.png", 1), ("a.png", 3)],
        [("a.png", 1), ("a.png", 2), ("a.png", 3), ("a.png", 4)],
        [("a.png", 0)],
    ],
)
def test_captions_out_of_order_are_not_resumed(
    tmp_path: Path, ranked: list[tuple[str, int]]
) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("".join(f'{{"photo": "{p}", "rank": {rank}}}\n' for p, rank in ranked))
    with pytest.raises(ValueError, match="its rank is not the next one"):
        examine_output(path, JsonLines(3), False)


@pytest.mark.parametrize("form", ["text", "csv"])
def test_resuming_another_format_says_what_to_use(
    run: Run, folder: Path, tmp_path: Path, form: str
) -> None:
    path = tmp_path / "out"
    path.write_text("precious\n")
    status, _, errors = run(folder, "--output", path, "--format", form, "--resume")
    assert status == 2
    assert "--resume is for JSON Lines: name the output file .jsonl, or set --format" in errors
    assert path.read_text() == "precious\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--output", "{}/gone/out.txt"), "there is no folder {}/gone for out.txt; make it first"),
        (("--output", "{}"), "{} is a folder; name a file"),
        (
            ("--output", "/dev/null", "--format=jsonl", "--resume"),
            "/dev/null is not a regular file, and so cannot be resumed",
        ),
    ],
)
def test_an_output_file_that_cannot_be_is_refused(
    run: Run, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    status, _, errors = run(folder, *(word.format(folder) for word in arguments))
    assert (status, errors) == (2, f"captioner: {message.format(folder)}\n")


def test_a_wrong_checkpoint_leaves_an_output_file_as_it_is(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.jsonl"
    wrong = ("--checkpoint", tmp_path / "gone")
    assert run(folder, "--output", path, *wrong)[0] == 2
    assert not path.exists()
    path.write_text('{"photo": "a.png"}\n{"ph')
    assert run(folder, "--output", path, "--overwrite", *wrong)[0] == 2
    assert run(folder, "--output", path, "--resume", *wrong)[0] == 2
    assert path.read_text() == '{"photo": "a.png"}\n{"ph'


def test_standard_output_can_be_named(run: Run, folder: Path) -> None:
    assert run(folder, "--output", "-") == run(folder)


def test_a_run_that_was_killed_is_resumed_where_it_stopped(
    run: Run, folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """The kill comes while the run waits for the fourth photo: what it finished is on the disk."""
    names = ["a.png", "b.png", "a.png", "c.png", "a.png", "d.png"]
    paths = [f"{folder / name}\n".encode() for name in names]
    path = tmp_path / "out.jsonl"
    command = [sys.executable, "-m", "captioner", "-", "--batch-size=1", "--output", str(path)]
    with subprocess.Popen(
        [*command, "--checkpoint", str(checkpoint)], stdin=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdin
        process.stdin.write(b"".join(paths[:3]))
        process.stdin.flush()
        wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") == 3)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    kept = path.read_bytes()
    with path.open("ab") as file:
        file.write(kept[:100])  # as if the kill had come in the middle of a line
    arguments = ("-", "--batch-size", 1, "--output")  # the last digits depend on the batch
    status, _, errors = run(*arguments, path, "--resume", stdin=b"".join(paths))
    assert (status, errors) == (0, "")
    assert path.read_bytes().startswith(kept)
    run(*arguments, tmp_path / "whole.jsonl", stdin=b"".join(paths))
    texts, numbers = texts_and_numbers(path)
    wanted_texts, wanted_numbers = texts_and_numbers(tmp_path / "whole.jsonl")
    assert texts == wanted_texts
    assert numbers == pytest.approx(wanted_numbers, abs=2e-4)  # another process rounds otherwise


def texts_and_numbers(path: Path) -> tuple[list[str], list[float]]:
    """What stands between the decimal numbers of a file, and these."""
    decimal = re.compile(r"-?\d+\.\d+")
    text = path.read_text(encoding="utf-8")
    return decimal.split(text), [float(number) for number in decimal.findall(text)]


def wait_for(condition: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def test_what_is_done_is_not_done_again_and_what_failed_is(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.jsonl"
    photo = (folder / "b.png").read_bytes()
    (folder / "b.png").write_text("no photo")
    assert run(folder, "--output", path, "--resume")[0] == 1
    (folder / "b.png").write_bytes(photo)
    seen: list[Path] = []
    original = ImageCaptioningModel.preprocess

    def watch(self: ImageCaptioningModel, photo: Any) -> Any:
        seen.append(Path(photo))
        return original(self, photo)

    monkeypatch.setattr(ImageCaptioningModel, "preprocess", watch)
    assert run(folder, "--output", path, "--resume") == (0, [], "")
    assert seen == [folder / "b.png"]
    assert names_in(path) == ["a.png", "c.png", "d.png", "b.png"]
    assert run(folder, "--output", path, "--resume") == (0, [], "")
    assert len(seen) == 1
    whole = path.read_text()
    assert len(whole.splitlines()) == 4
    path.write_text(
        f'{whole}{{"photo": "{folder}/e.pn'
    )  # of a photo that is not asked for any more
    assert run(folder, "--output", path, "--resume") == (0, [], "")
    assert path.read_text() == whole


def names_in(path: Path) -> list[str]:
    return [Path(json.loads(line)["photo"]).name for line in path.read_text().splitlines()]


def test_a_photo_that_its_decoder_fails_on_stops_no_run_that_is_resumed(
    run: Run, folder: Path, tmp_path: Path, damaged: Path
) -> None:
    """A RuntimeError of the AVIF decoder once ended every run at the same photo."""
    arguments = (damaged, folder, "--output", tmp_path / "out.jsonl", "--resume")
    for _ in range(2):
        status, _, errors = run(*arguments)
        assert status == 1
        assert errors.startswith(f"captioner: {damaged} is damaged or incomplete (")
        assert errors.count("\n") == 1
    assert names_in(tmp_path / "out.jsonl") == ["a.png", "b.png", "c.png", "d.png"]


def test_a_photo_whose_pictures_fail_is_tried_again(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    arguments = (folder / "a.png", "--output", tmp_path / "out.jsonl", "--gif", tmp_path / "gifs")
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "save_animation", full)
        status, _, errors = run(*arguments)
    assert (status, errors) == (1, f"captioner: {folder / 'a.png'}: [Errno 28] {os.strerror(28)}\n")
    assert run(*arguments, "--resume")[0] == 0
    assert [path.name for path in (tmp_path / "gifs").iterdir()] == ["a-words.gif"]


ANSWERS = [
    answer("a.png", "a dog", "a cat", "the dog"),
    answer("a.png", "a dog", "a cat", "the dog"),
    answer("=b.png", "the sofa", "the grass"),  # a search may end with fewer than were wanted
    answer("=b.png", "the sofa", "the grass"),
    answer("ü\udcff.png", "sofa sofa", "grass grass", "on on"),
    answer('"c,\t.png', 'dog " dog', "b 's", "c"),
    answer('line "1"\nline\r\n2"\u2028\x85.png', "a dog"),
    answer("d.png", "the end"),
]
FORMS = [JsonLines(3), JsonLines(3, True), JsonLines(), JsonLines(1, True)]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.slow
def test_a_file_cut_off_at_any_byte_ends_as_if_it_had_not_been(
    form: JsonLines, tmp_path: Path
) -> None:
    answers = [
        each._replace(
            captions=each.captions[: form.num_captions],
            scored=caption_of("my zebra") if form.with_own_caption else None,
        )
        for each in ANSWERS
    ]
    whole, sizes = written(tmp_path / "whole", form, answers)
    ends = [match.end() for match in re.finditer(rb"\n", whole)]
    around = {end + shift for end in ends for shift in (-1, 0, 1)}
    for size in sorted({*range(0, len(whole), 29), *around} - {len(whole) + 1}):
        path = tmp_path / "cut"
        path.write_bytes(whole[:size])
        recorded = examine_output(path, form, False)
        count = recorded.photos.total()
        finished = sum(end <= size for end in sizes)
        assert finished - 1 <= count <= finished  # one that may lack a caption is done again
        assert recorded.photos == Counter(a.photo.path for a in answers[:count])
        file = OutputFile(path, form.header, recorded)
        for each in answers[count:]:
            file.write(form.write(each))
        file.close()
        assert path.read_bytes() == whole


def test_lines_of_json_end_at_line_breaks_alone(tmp_path: Path) -> None:
    """Other programs may write U+2028 as it is; str.splitlines cuts a line there."""
    path = tmp_path / "out.jsonl"
    path.write_text('{"photo": "a\u2028b\x85.png"}\n', encoding="utf-8")
    recorded = examine_output(path, JsonLines(), False)
    assert recorded == Recorded(Counter({"a\u2028b\x85.png": 1}), path.stat().st_size)


def written(path: Path, form: JsonLines, answers: Iterable[Answer]) -> tuple[bytes, list[int]]:
    """The whole file, and where each answer ends in it."""
    file, sizes = OutputFile(path, form.header, Recorded()), []
    for each in answers:
        file.write(form.write(each))
        sizes.append(path.stat().st_size)
    file.close()
    return path.read_bytes(), sizes


def test_a_full_disk_leaves_whole_records_and_a_message(folder: Path, checkpoint: Path) -> None:
    """The system lets the file grow to 2,500 bytes, in the middle of the second or third line."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500)); "
        "from captioner.__main__ import main; sys.exit(main())"
    )
    path = folder / "out.jsonl"
    command = [str(folder), "--output", str(path), "--checkpoint", str(checkpoint)]
    command += ["--min-length=3", "--max-length=3"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert done.stderr == f"captioner: {path} cannot be written: File too large\n"
    lines = path.read_text().splitlines(keepends=True)
    assert 1 <= len(lines) < 4
    assert all(json.loads(line)["photo"] for line in lines)
    assert lines[-1].endswith("\n")
