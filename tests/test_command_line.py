"""`python -m captioner`: what it prints, and how it ends."""

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import captioner.__main__ as command_line
from captioner import Caption, DecodingOptions, ImageCaptioningModel
from captioner.cli import parser
from captioner.cli.formats import percent
from tests.conftest import Run

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 300
"""After which a process that does not answer is ended."""


def captioner_says(checkpoint: Path, photo: Path, **options: Any) -> Caption:
    return command_line.load_model(checkpoint).generate_caption(photo, **options)


def n_best(checkpoint: Path, photo: Path, **options: Any) -> list[Caption]:
    return command_line.load_model(checkpoint).generate_n_best([photo], **options)[0]


def test_one_photo_gives_its_caption_alone(run: Run, folder: Path, checkpoint: Path) -> None:
    status, lines, errors = run(folder / "a.png")
    wanted = captioner_says(checkpoint, folder / "a.png")
    assert (status, lines, errors) == (0, [str(wanted)], "")
    assert wanted.words


def test_several_photos_give_a_line_each_in_their_order(
    run: Run, folder: Path, checkpoint: Path
) -> None:
    paths = [folder / f"{name}.png" for name in "cab"]
    status, lines, _ = run(*paths)
    assert status == 0
    assert lines == [f"{path}\t{captioner_says(checkpoint, path)}" for path in paths]


def test_photos_may_stand_before_between_and_after_flags(run: Run, folder: Path) -> None:
    """argparse by itself takes those in one place for all there are."""
    (folder / "d.png").rename(folder / "-d.png")
    paths = [folder / f"{name}.png" for name in "abc"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        arguments = (paths[0], "--beam-size", 1, paths[1], "--format=text", paths[2])
        status, lines, errors = run(*arguments, "--", "-d.png")
    assert (status, errors) == (0, "")
    assert [line.split("\t")[0] for line in lines] == [*map(str, paths), "-d.png"]


@pytest.mark.slow
@pytest.mark.parametrize("count", [15, 16, 17, 33])
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


def test_no_batch_is_larger_than_it_may_be_and_few_photos_are_divided(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # two batches at a time
    sizes: list[int] = []
    original = ImageCaptioningModel.generate_n_best

    def watch(self: ImageCaptioningModel, photos: list[Any], options: Any) -> list[list[Caption]]:
        sizes.append(len(photos))
        return original(self, photos, options)

    monkeypatch.setattr(ImageCaptioningModel, "generate_n_best", watch)
    run(*[folder / "a.png"] * 35)
    assert sorted(sizes) == [1, 2, 16, 16]
    sizes.clear()
    run("-", "--batch-size", 5, stdin=f"{folder / 'a.png'}\n".encode() * 12)
    assert sorted(sizes) == [1, 1, 5, 5]
    sizes.clear()
    run(*[folder / "a.png"] * 2)
    assert sizes == [1, 1]


def test_a_folder_stands_for_the_photos_in_it(run: Run, folder: Path) -> None:
    (folder / "notes.txt").write_text("not a photo")
    (folder / "inner.jpg").mkdir()
    (folder / "a.png").rename(folder / "e.PNG")
    status, lines, _ = run(folder)
    assert status == 0
    names = [Path(line.split("\t")[0]).name for line in lines]
    assert names == ["b.png", "c.png", "d.png", "e.PNG"]


def test_a_folder_is_searched_below_too(run: Run, folder: Path) -> None:
    for number, inner in enumerate(("b", "a/deep", ".hidden/inner", "c.jpg")):
        (folder / inner).mkdir(parents=True)
        shutil.copy(folder / "a.png", folder / inner / f"{number}.png")
    status, lines, errors = run(folder)
    assert (status, errors) == (0, "")
    assert [line.split("\t")[0] for line in lines] == [
        str(folder / name)
        for name in (
            "a.png", "b.png", "c.png", "d.png", "a/deep/1.png", "b/0.png", "c.jpg/3.png",
        )
    ]  # fmt: skip
    assert len(run(folder / ".hidden")[1]) == 1  # it is named


def test_links_of_folders_lead_nowhere_and_links_of_photos_do(run: Run, folder: Path) -> None:
    """A link to a folder above it would be a loop."""
    (folder / "inner").mkdir()
    (folder / "inner" / "loop").symlink_to(folder)
    (folder / "inner" / "link.png").symlink_to(folder / "a.png")
    (folder / "inner" / "itself.png").symlink_to(folder / "inner" / "itself.png")
    status, lines, errors = run(folder)
    assert status == 1
    names = [str(Path(line.split("\t")[0]).relative_to(folder)) for line in lines]
    assert names == ["a.png", "b.png", "c.png", "d.png", "inner/link.png"]
    assert "itself.png cannot be read (Too many levels of symbolic links)" in errors
    linked = folder.parent / "linked"
    linked.symlink_to(folder)
    assert len(run(linked)[1]) == 5  # it is named


def test_a_folder_below_that_may_not_be_read_stops_no_other(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = os.scandir

    def refuse(path: str) -> Any:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", path)
        return original(path)

    for name in ("locked", "open"):
        (folder / name).mkdir()
        shutil.copy(folder / "a.png", folder / name)
    monkeypatch.setattr(os, "scandir", refuse)
    status, lines, errors = run(folder)
    assert (status, len(lines)) == (1, 5)
    assert errors == f"captioner: [Errno 13] Permission denied: '{folder / 'locked'}'\n"


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_captions_do_not_depend_on_the_batch_or_on_bad_photos_in_it(
    run: Run, folder: Path, checkpoint: Path, damaged: Path, batch_size: int
) -> None:
    paths = [folder / "a.png", damaged, folder / "b.png", folder / "gone.png", folder / "c.png"]
    status, lines, _ = run(*paths, "--format", "jsonl", "--batch-size", batch_size)
    assert status == 1
    assert len(lines) == 3
    for line, path in zip(map(json.loads, lines), paths[::2], strict=True):
        wanted = captioner_says(checkpoint, path).to_json()
        assert line["photo"] == str(path)
        assert line["score"] == pytest.approx(wanted["score"], abs=2e-4)
        for word, other in zip(line["words"], wanted["words"], strict=True):
            assert word["text"] == other["text"]
            assert word["probability"] == pytest.approx(other["probability"], abs=2e-4)


def test_the_readable_photos_of_a_batch_are_encoded_a_few_at_a_time(
    run: Run, folder: Path, damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = ImageCaptioningModel.encode_tensors

    def watch(self: ImageCaptioningModel, images: list[Any], *rest: Any) -> Any:
        sizes.append(len(images))
        return original(self, images, *rest)

    monkeypatch.setattr(ImageCaptioningModel, "encode_tensors", watch)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # two batches at a time
    run(folder, damaged, *[folder / "a.png"] * 6, folder / "gone.png", "--batch-size", 6)
    assert sorted(sizes[1:]) == [1, 1, 4, 4]  # first load_model tries the model


def test_a_folder_of_one_photo_still_names_it(run: Run, folder: Path) -> None:
    for name in "bcd":
        (folder / f"{name}.png").unlink()
    assert run(folder)[1][0].startswith(f"{folder / 'a.png'}\t")


def test_a_folder_without_photos_is_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    status, lines, errors = run(tmp_path / "empty")
    assert (status, lines) == (1, [])
    assert "empty is a folder without photos: no file in it ends in one of .jpg .jpeg" in errors
    assert run(tmp_path / "empty", "-", stdin=os.fsencode(tmp_path / "empty"))[0] == 1


def test_what_is_no_regular_file_is_refused_at_once_and_the_batch_goes_on(
    checkpoint: Path, folder: Path, tmp_path: Path
) -> None:
    """Opening a pipe once waited for ever for someone to write to it."""
    os.mkfifo(tmp_path / "pipe.jpg")
    odd = [str(tmp_path / "pipe.jpg"), "/dev/ptmx", "/dev/zero"]
    done = subprocess.run(
        [sys.executable, "-m", "captioner", "--checkpoint", checkpoint, *odd, folder / "a.png"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 1
    assert done.stdout.startswith(f"{folder / 'a.png'}\t")
    assert done.stderr.splitlines() == [f"captioner: {path} is not a regular file" for path in odd]


def test_a_photo_that_its_decoder_fails_on_stops_no_batch(
    run: Run, folder: Path, damaged: Path
) -> None:
    """A RuntimeError of the AVIF decoder once did."""
    status, lines, errors = run(folder / "a.png", damaged, folder / "b.png")
    assert (status, len(lines)) == (1, 2)
    assert f"{damaged} is damaged or incomplete (" in errors


def test_a_folder_that_may_not_be_read_is_reported(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    status, lines, errors = run(folder)
    assert (status, lines) == (1, [])
    assert errors == f"captioner: [Errno 13] Permission denied: '{folder}'\n"


def test_paths_come_from_standard_input_too(run: Run, folder: Path) -> None:
    """Folders among them; blank lines and Windows' line ends do no harm."""
    given = f"{folder / 'd.png'}\n\n{folder / 'gone.png'}\r\n{folder}\n{folder / 'c.png'}"
    status, lines, errors = run(folder / "b.png", "-", folder / "a.png", stdin=given.encode())
    assert status == 1
    assert [Path(line.split("\t")[0]).stem for line in lines] == list("bdabcdca")
    assert errors == f"captioner: no such photo: {folder / 'gone.png'}\n"


def test_one_photo_on_standard_input_is_named(run: Run, folder: Path) -> None:
    assert run("-", stdin=os.fsencode(folder / "a.png"))[1][0].startswith(f"{folder / 'a.png'}\t")
    assert run("-") == (0, [], "")


def test_standard_input_that_cannot_be_read_is_reported(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.BytesIO):
        def __next__(self) -> bytes:
            raise IsADirectoryError(21, "Is a directory")

    monkeypatch.setattr(io, "BytesIO", Broken)
    status, lines, errors = run("-", folder / "a.png")
    assert (status, len(lines)) == (1, 1)
    assert errors == "captioner: standard input: [Errno 21] Is a directory\n"


@pytest.mark.parametrize("names", ["abcd", "a"])
def test_photos_on_standard_input_are_answered_before_more_are_read(
    folder: Path, checkpoint: Path, names: str
) -> None:
    """However many a batch may have."""
    command = [sys.executable, "-m", "captioner", "-", "--batch-size=3", "--checkpoint", checkpoint]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        patience = threading.Timer(PATIENCE_SECONDS, process.kill)
        patience.start()
        paths = [f"{folder / name}.png" for name in names]
        for _ in range(2):
            process.stdin.write("\n".join(paths) + "\n")
            process.stdin.flush()
            answers = [process.stdout.readline().split("\t")[0] for _ in paths]
            assert answers == paths
        process.stdin.close()
        assert process.wait() == 0
        patience.cancel()


def flat(data: Any, place: str = "") -> dict[str, Any]:
    """All that JSON data hold, by their places. Photos in a batch change the last digits."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    found: dict[str, Any] = {}
    for name, value in items:
        if isinstance(value, (dict, list)):
            found |= flat(value, f"{place}/{name}")
        else:
            found[f"{place}/{name}"] = value
    return found


def test_json_lines_hold_all_there_is(run: Run, folder: Path, checkpoint: Path) -> None:
    status, lines, _ = run(folder / "a.png", folder / "b.png", "--format", "jsonl")
    assert status == 0
    paths = [folder / "a.png", folder / "b.png"]
    captions = command_line.load_model(checkpoint).generate_captions(paths)
    for line, path, caption in zip(lines, paths, captions, strict=True):
        data = json.loads(line)
        assert data["photo"] == str(path)
        assert list(data) == ["photo", *caption.to_json()]
        assert flat(data) == pytest.approx(flat({**data, **caption.to_json()}), abs=2e-4)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((), {}),
        (("--beam-size", 1), {"beam_size": 1}),
        (("--max-length", 3), {"max_length": 3}),
        (("--min-length", 9, "--beam-size", 2), {"min_length": 9, "beam_size": 2}),
        (("--length-penalty", 0), {"length_penalty": 0.0}),
        (("--no-repeat-ngram", 1), {"no_repeat_ngram": 1}),
        (("--temperature", 2.5), {"temperature": 2.5}),
        (("--temperature", 2, "--seed", 7), {"temperature": 2, "seed": 7}),
        (("--temperature", 2, "--top-k", 2), {"temperature": 2, "top_k": 2}),
        (("--temperature", 2, "--top-p", 0.4), {"temperature": 2, "top_p": 0.4}),
        (("--prefix", "The cat"), {"prefix": "The cat"}),
        (("--banned-words", "dog, Sofa"), {"banned_words": ("dog", "Sofa")}),
        (("--banned-words", "dog", "--banned-words=cat"), {"banned_words": ("dog", "cat")}),
    ],
)
def test_decoding_options_reach_the_model(
    run: Run, folder: Path, checkpoint: Path, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    _, lines, _ = run(folder / "a.png", "--format", "jsonl", *arguments)
    wanted = captioner_says(checkpoint, folder / "a.png", **options).to_json()
    assert json.loads(lines[0])["words"] == wanted["words"]


def test_a_flag_of_banned_words_takes_no_photo_for_a_word(
    run: Run, folder: Path, checkpoint: Path
) -> None:
    arguments = ("--banned-words", "dog,cat", "--banned-words", "runs on")
    status, lines, errors = run(*arguments, folder / "a.png")
    banned = ("dog", "cat", "runs", "on")
    wanted = captioner_says(checkpoint, folder / "a.png", banned_words=banned)
    assert (status, lines, errors) == (0, [str(wanted)], "")
    assert not {word.text for word in wanted.words} & set(banned)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (",", [","]),
        (" a,,b  c, ", ["a", "b", "c"]),
        ("coffee_pot, dog tug_of_war", ["coffee pot", "dog", "tug of war"]),
        ("_ _a b__c", ["_", "_a", "b__c"]),
    ],
)
def test_banned_words_stand_between_commas_and_spaces(given: str, words: list[str]) -> None:
    settings = parser.parse_arguments(["x.jpg", "--banned-words", given])
    assert settings.options.banned_words == tuple(words)


def test_a_banned_word_that_the_model_does_not_know_is_reported(run: Run, folder: Path) -> None:
    status, lines, errors = run(folder / "a.png", "--banned-words", "Dog,dgo")
    assert (status, len(lines)) == (0, 1)
    assert (
        errors == "captioner: the model does not know the banned word 'dgo', and so never uses it\n"
    )


def test_every_decoding_option_has_a_flag_with_its_default(run: Run) -> None:
    status, lines, _ = run("--help")
    assert status == 0
    text = " ".join(" ".join(lines).split()).split(" decoding: ")[1]
    for field in fields(DecodingOptions):
        flag = f"--{field.name.replace('_', '-')} "
        help_ = text.split(flag)[1][:250]
        assert help_.startswith(("N ", "TEXT ", "WORDS "))
        if field.default:
            assert f"default: {field.default}" in help_, flag
    assert max(map(len, lines)) <= 100


def test_several_captions_give_a_line_each(run: Run, folder: Path, checkpoint: Path) -> None:
    paths = [folder / "a.png", folder / "b.png"]
    wanted = [n_best(checkpoint, path, num_captions=3) for path in paths]
    assert list(map(len, wanted)) == [3, 1]  # none of the second photo's three comes to an end
    assert run(paths[0], "--num-captions", 3)[1] == list(map(str, wanted[0]))
    assert run(*paths, "--num-captions", 3)[1] == [
        f"{path}\t{caption}"
        for path, captions in zip(paths, wanted, strict=True)
        for caption in captions
    ]


def test_several_captions_as_json_have_a_rank(run: Run, folder: Path, checkpoint: Path) -> None:
    arguments = ("--num-captions", 3, "--diversity", 2)
    _, lines, _ = run(folder / "a.png", "--format", "jsonl", *arguments)
    wanted = n_best(checkpoint, folder / "a.png", num_captions=3, diversity=2.0)
    assert wanted != n_best(checkpoint, folder / "a.png", num_captions=3)
    assert [json.loads(line) for line in lines] == [
        {"photo": str(folder / "a.png"), "rank": rank, **caption.to_json()}
        for rank, caption in enumerate(wanted, start=1)
    ]


def test_own_words_are_scored_beside_the_models(run: Run, folder: Path, checkpoint: Path) -> None:
    path, words = folder / "a.png", "The zebra, runs"
    model = command_line.load_model(checkpoint)
    own, scored = model.generate_caption(path), model.score_caption(path, words)
    status, lines, errors = run(path, "--caption", words)
    assert (status, errors) == (0, "")
    the, zebra, comma, runs = (percent(word.probability) for word in scored.words)
    shown = f"the {the}  zebra {zebra} (unknown)  , {comma} (unknown)  runs {runs}"
    assert lines == [
        str(own),
        f"your caption: {shown}",
        f"perplexity: {scored.perplexity:.1f} for your caption, {own.perplexity:.1f} for the "
        "model's",
    ]
    _, lines, _ = run(path, path, "--caption", words, "--num-captions", 2)
    assert len(lines) == 8
    assert all(line.startswith(f"{path}\t") for line in lines)


def test_own_words_as_json_stand_in_the_first_object_of_a_photo(
    run: Run, folder: Path, checkpoint: Path
) -> None:
    model = command_line.load_model(checkpoint)
    arguments = ("--caption", "a cat", "--format", "jsonl", "--length-penalty", 2)
    paths = [folder / "a.png", folder / "b.png"]
    options = DecodingOptions(length_penalty=2.0)
    _, lines, _ = run(*paths, *arguments)
    for line, path in zip(lines, paths, strict=True):
        scored = json.loads(line).pop("scored")
        assert Caption.from_json(scored).unknown_words == ("a",)
        assert scored == model.score_caption(path, "a cat", options).to_json()
    _, lines, _ = run(*paths, *arguments, "--num-captions", 2)
    assert ["scored" in json.loads(line) for line in lines] == [True, False, True]


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(1, "100%"), (0.104, "10%"), (0.0994, "9.94%"), (0.0001, "0.01%"), (0.00009, "<0.01%")],
)
def test_small_probabilities_are_told_apart(probability: float, shown: str) -> None:
    assert percent(probability) == shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prefix", "zebra"), "prefix holds a word that the model does not know: zebra"),
        (("--prefix", "a " * 31), "captioner: prefix holds"),
        (("--prefix", "dog " * 31), "prefix must have at most max_length = 30 words, got 31"),
        (("--caption", " "), "a caption must have from 1 to 200 words, got 0"),
        (("--caption", "dog " * 201), "a caption must have from 1 to 200 words, got 201"),
    ],
)
def test_words_that_the_model_cannot_use_are_refused_before_a_photo_is_read(
    run: Run, arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> Any:
        raise AssertionError("a photo was read")

    monkeypatch.setattr(command_line, "caption_batches", read)
    status, lines, errors = run("gone.jpg", *arguments)
    assert (status, lines) == (2, [])
    assert message in errors


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
        (("x.jpg", "--gif", __file__), "File exists"),
        (("x.jpg", "--batch-size", "0"), "--batch-size must be from 1 to 4096, got 0"),
        (("x.jpg", "--top-k", "3"), "set temperature above 0"),
        (("x.jpg", "--ray-address", "auto"), "set --ray-workers"),
        (("x.jpg", "--num-gpus", "0"), "set --ray-workers"),
        (("x.jpg", "--output", "x.csv", "--resume"), "--resume is for JSON Lines: name the output"),
        (("x.jpg", "--output", "x", "--resume"), "or set --format jsonl"),
        (("x.jpg", "--diversity", "1"), "set --num-captions"),
        (
            ("x.jpg", "--diversity=1", "--num-captions=2", "--temperature=1"),
            "--diversity is for several captions of a beam search",
        ),
        (("x.jpg", "--resume"), "name it with --output"),
        (("x.jpg", "--overwrite", "--output", "-"), "name it with --output"),
        (("x.jpg", "--output", "x", "--resume", "--overwrite"), "not allowed with argument"),
        (("x.jpg", "--sheet-format", "pdf"), "--sheet or --overlays"),
        (("x.jpg", "--sheet", "x", "--sheet-format", "gif"), "invalid choice: 'gif'"),
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
    messages = errors.splitlines()
    assert len(messages) == 3
    assert all(message.startswith("captioner: ") for message in messages)
    assert "text.jpg is not a photo" in messages[0]
    assert long in messages[1]
    assert "gone.jpg" in messages[2]


def test_ctrl_c_ends_without_a_traceback(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "caption_batches", interrupt)
    assert run(folder / "a.png") == (130, [], "")


def test_a_device_without_room_ends_without_a_traceback(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(ImageCaptioningModel, "generate_n_best", fill)
    status, lines, errors = run(folder / "a.png")
    assert (status, lines) == (1, [])
    assert "set a smaller --batch-size" in errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.parametrize("form", ["text", "csv"])
def test_a_full_disk_ends_without_a_traceback(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        status, _, errors = run(folder, "--format", form)
        monkeypatch.undo()
        full.flush()  # as the interpreter does at its end
    assert status == 1
    assert errors == "captioner: standard output cannot be written: No space left on device\n"


def test_a_closed_standard_output_is_reported(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    status, _, errors = run(folder / "a.png")
    assert status == 2
    assert errors == "captioner: standard output is closed; name a file with --output\n"
    assert run(folder / "a.png", "--output", tmp_path / "out.txt")[0] == 0


def test_a_caption_that_standard_output_cannot_encode_is_reported(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.png").rename(folder / "ü.png")
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    status, _, errors = run(folder)
    assert status == 1
    assert "standard output cannot encode it in ascii; use --output" in errors
    assert narrow.buffer.getvalue().count(b"\n") == 3  # type: ignore[attr-defined]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_progress_and_errors_above_it(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    (folder / "a.png").write_text("no photo")
    assert run(folder)[0] == 1
    seen = terminal.getvalue()
    assert "4/4" in seen
    assert any(line.startswith("captioner: ") for line in seen.replace("\r", "\n").splitlines())
    terminal.truncate(0)
    run("-", stdin=os.fsencode(folder / "b.png"))
    assert "1 photos" in terminal.getvalue()  # how many will come, nobody knows


def test_no_progress_is_shown_where_it_would_be_in_the_way(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(folder)[2] == ""  # stderr is a file
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run(folder / "a.png")
    assert terminal.getvalue() == ""  # there is only one photo
    monkeypatch.setattr(sys, "stdout", Terminal())
    run(folder)
    assert terminal.getvalue() == ""  # the captions stand on the same terminal


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
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"},
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith(odd + b"\t")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == command_line.READER_GONE
