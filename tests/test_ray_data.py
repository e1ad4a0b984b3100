"""Large collections: what a Ray Data actor makes of a batch, and `captioner --ray-workers`.

On a real Ray cluster of two workers, on this machine.
"""

import functools
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import ray.data
import torch
from PIL import Image

import captioner.__main__ as command_line
from captioner import (
    Caption,
    DecodingOptions,
    ModelConfig,
    PreprocessConfig,
    Vocabulary,
    Word,
    ray_data,
)
from captioner.checkpoint import load_model, save_model
from captioner.parquet import plain_text, read_errors, row_of, row_schema, write_tables
from captioner.ray_data import PhotoCaptioner
from tests.tiny_models import WORDS, build_model

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:ray.data.context"  # Ray's settings warn of each other
)
load_once = functools.cache(load_model)
Row = dict[str, Any]
Run = Callable[..., tuple[int, str, list[str]]]


class Collection(NamedTuple):
    """Photos, and a checkpoint to caption them with."""

    checkpoint: Path
    photos: Path
    """A folder: photos in inner/deep, one of them with a name that is no text; text.jpg, which is
    no photo; notes.txt."""
    good: list[str]
    """The paths of the photos that can be read."""

    def caption(self, path: str, **options: Any) -> Caption:
        """What the model says of one photo alone."""
        return load_once(self.checkpoint).generate_caption(path, **options)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    folder = tmp_path_factory.mktemp("collection")
    torch.manual_seed(0)
    config = ModelConfig(
        encoder="test_resnet",
        embedding_size=24,
        hidden_size=32,
        attention_size=16,
        projection_size=20,
        preprocess=PreprocessConfig(image_size=96),
    )
    save_model(build_model(config, Vocabulary(WORDS)), folder / "checkpoint")
    deep = folder / "photos" / "inner" / "deep"
    deep.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name in [*(f"{number}.png" for number in range(10)), os.fsdecode(b"\xff.PNG")]:
        colours = generator.integers(0, 256, (4, 6, 3), np.uint8)
        Image.fromarray(colours).resize((90, 60), 0).save(deep / name)
    good = sorted(map(str, deep.iterdir()))
    (folder / "photos" / "text.jpg").write_text("hello")
    (folder / "photos" / "notes.txt").write_text("not meant as a photo")
    return Collection(folder / "checkpoint", folder / "photos", good)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of two workers, started as the command starts one; its address."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_USAGE_STATS_ENABLED"):
            patch.setenv(name, "")  # so that it is put back
            patch.delenv(name)
        patch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex)  # else Ray writes one to the home folder
        with ray_data.connected("local", 2):
            yield ray.get_runtime_context().gcs_address


@pytest.fixture(scope="module")
def command(
    cluster: str, collection: Collection, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The command run on all photos: its output folder, and how it ended."""
    output = tmp_path_factory.mktemp("output") / "new"
    paths = [collection.photos, "--output", output, "--checkpoint", collection.checkpoint]
    ray_flags = ["--ray-address", cluster, "--ray-workers", "2"]
    options = ["--batch-size", "2", "--beam-size", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "captioner", *map(str, paths), *ray_flags, *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return output, done


@pytest.fixture
def run(collection: Collection, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process: exit status, standard output, lines of standard error."""

    def run_with(photos: Path, output: Path, *arguments: Any) -> tuple[int, str, list[str]]:
        flags = ["--output", output, *arguments]
        for flag, value in (("--checkpoint", collection.checkpoint), ("--ray-workers", 2)):
            if flag not in arguments:
                flags += [flag, value]
        try:
            status = command_line.main([str(photos), *map(str, flags)])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        output, errors = capfd.readouterr()
        return status, output, errors.splitlines()

    return run_with


def rows_in(folder: Path) -> list[Row]:
    """All rows of a folder of captions, in order of their photos."""
    tables = [pq.read_table(path) for path in folder.glob("*.parquet")]
    assert all(table.schema.equals(row_schema()) for table in tables)
    rows = [row for table in tables for row in table.to_pylist()]
    return sorted(rows, key=lambda row: row["photo"])


def assert_says(row: Row, caption: Caption) -> None:
    assert row["caption"] == str(caption)
    assert row["words"] == [word.text for word in caption.words]
    assert row["score"] == pytest.approx(caption.score, abs=1e-4)
    assert row["perplexity"] == pytest.approx(caption.perplexity, rel=1e-4)
    probabilities = [word.probability for word in caption.words]
    assert row["probabilities"] == pytest.approx(probabilities, abs=1e-5)
    assert_near(row["recognized"], [word.recognized for word in caption.words])
    assert_near(row["blind"], [word.blind for word in caption.words])
    assert_near(row["entropy"], [word.entropy for word in caption.words])
    assert_near(row["ending"], [word.ending for word in caption.words])
    assert_near([row["familiarity"]], [caption.familiarity])
    alphas = np.stack(row["alphas"]).reshape(-1, *row["grid"])
    np.testing.assert_allclose(alphas, [word.alpha for word in caption.words], atol=1e-5)
    assert row["error"] is None


def test_a_row_has_what_a_model_gives_beside_probabilities() -> None:
    alpha = np.full((1, 2), 0.5, np.float32)
    pot = Word("coffee pot", 0.5, (), alpha, recognized=0.75, blind=0.125, entropy=1.5)
    caption = Caption(
        (pot, replace(pot, blind=None, ending=0.5)), -0.5, (1, 2), -1.5, familiarity=0.25
    )
    (row,) = pa.Table.from_pylist([row_of("a.jpg", caption)], schema=row_schema()).to_pylist()
    assert row["words"] == ["coffee pot", "coffee pot"]
    assert row["recognized"] == [0.75, 0.75]
    assert row["blind"] == [0.125, None]
    assert row["entropy"] == [1.5, 1.5]
    assert row["ending"] == [None, 0.5]
    assert row["familiarity"] == 0.25
    assert_says(row, caption)


def assert_near(row: list[float | None], wanted: list[float | None]) -> None:
    assert [value is None for value in row] == [value is None for value in wanted]
    assert [value or 0 for value in row] == pytest.approx([v or 0 for v in wanted], abs=1e-5)


def assert_failed(row: Row, message: str) -> None:
    assert message in row["error"]
    assert all(row[name] is None for name in row if name not in ("photo", "error"))


def test_a_batch_of_paths_becomes_rows_of_what_the_model_says(collection: Collection) -> None:
    options = DecodingOptions(beam_size=2, min_length=2)
    captioner = PhotoCaptioner(collection.checkpoint, options)
    table = captioner({"path": np.array(collection.good, object), "label": np.arange(11)})
    assert table.schema.equals(row_schema())
    rows = table.to_pylist()
    assert [row["photo"] for row in rows] == [plain_text(path) for path in collection.good]
    assert plain_text("é\udcff.jpg") == r"é\xff.jpg"
    for row, path in zip(rows, collection.good, strict=True):
        assert_says(row, collection.caption(path, beam_size=2, min_length=2))
    assert len({row["caption"] for row in rows}) > 3


def test_bytes_are_read_in_place_of_the_path_where_there_are_any(collection: Collection) -> None:
    captioner = PhotoCaptioner(collection.checkpoint)
    first, second = collection.good[:2]
    content = Path(second).read_bytes()
    batch = {"path": [first, "elsewhere.jpg", None], "bytes": [None, content, content]}
    rows = captioner(batch).to_pylist()
    assert [row["photo"] for row in rows] == [first, "elsewhere.jpg", None]
    for row, path in zip(rows, (first, second, second), strict=True):
        assert_says(row, collection.caption(path))
    (alone,) = captioner({"bytes": np.array([content], object)}).to_pylist()
    assert alone["photo"] is None
    assert_says(alone, collection.caption(second))


def test_bad_photos_become_rows_with_an_error(
    collection: Collection, damaged: Path, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    captioner = PhotoCaptioner(collection.checkpoint)
    good = Path(collection.good[0])
    bad = {
        str(good.parent / "gone.jpg"): (None, "no such photo: "),
        os.fsdecode(b"\xff.jpg"): (None, r"no such photo: \xff.jpg"),
        str(collection.photos): (None, "is a folder, not a photo"),
        str(collection.photos / "text.jpg"): (None, "text.jpg is not a photo"),
        str(damaged): (None, "damaged.avif is damaged or incomplete"),
        str(tmp_path / "pipe.jpg"): (None, "pipe.jpg is not a regular file"),
        "/dev/ptmx": (None, "/dev/ptmx is not a regular file"),
        "x" * 5000: (None, "File name too long"),
        "": (None, "is a folder, not a photo"),
        "empty": (b"", "the file is not a photo"),
        "cut": (good.read_bytes()[:200], "the file is damaged or incomplete"),
        None: (None, "neither a path nor bytes"),
    }
    contents = [content for content, _ in bad.values()]
    batch = {"path": [*bad, str(good)], "bytes": [*contents, None]}
    *rows, last = captioner(batch).to_pylist()
    for row, (_, message) in zip(rows, bad.values(), strict=True):
        assert_failed(row, message)
    assert_says(last, collection.caption(str(good)))
    (alone,) = captioner({"path": ["gone.jpg"]}).to_pylist()
    assert_failed(alone, "no such photo: gone.jpg")


def test_a_batch_without_photos_is_refused_by_its_columns(collection: Collection) -> None:
    captioner = PhotoCaptioner(collection.checkpoint)
    with pytest.raises(ValueError, match=r"a column path or bytes, got \['image'\]"):
        captioner({"image": ["a.jpg"]})


def test_a_bad_photo_does_not_change_the_others_of_its_batch(collection: Collection) -> None:
    captioner = PhotoCaptioner(collection.checkpoint)
    first, second = collection.good[:2]
    rows = captioner({"path": [first, "gone.jpg", second]}).to_pylist()
    for row, path in zip(rows[::2], (first, second), strict=True):
        assert_says(row, collection.caption(path))


def test_an_actor_uses_one_thread(collection: Collection) -> None:
    torch.set_num_threads(2)
    PhotoCaptioner(collection.checkpoint)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, 4), (100, 4), (2 * 64, 8), (2 * 64 + 63, 8), (3 * 64, 12), (10**6, 32)],
)
def test_tasks_are_whole_batches_and_enough_for_all_workers(count: int, expected: int) -> None:
    assert ray_data._photos_per_task(count, batch_size=4, workers=2) == expected


def test_a_cluster_started_here_has_a_cpu_for_each_worker(cluster: str) -> None:
    assert cluster
    assert ray.cluster_resources()["CPU"] == 2


@pytest.mark.parametrize(("setting", "expected"), [(None, "0"), ("0", "0"), ("1", "1")])
def test_usage_statistics_are_off_unless_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, expected: str
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", setting or "")
    if setting is None:
        monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    with ray_data.connected("auto", 2):
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == expected


def test_two_workers_share_the_photos_and_say_what_the_model_says_one_by_one(
    cluster: str, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Signed(PhotoCaptioner):
        def __call__(self, batch: Any) -> pa.Table:
            table = super().__call__(batch)
            return table.append_column("process", pa.array([os.getpid()] * len(table)))

    # So that neither can have done all before the other has started.
    monkeypatch.setattr(ray.data.DataContext.get_current(), "wait_for_min_actors_s", 1200)
    items = [{"path": p, "bytes": Path(p).read_bytes()} for p in collection.good[:8]]
    rows = [
        row
        for table in ray.data.from_items(items, override_num_blocks=8)
        .map_batches(
            Signed,
            fn_constructor_args=(collection.checkpoint,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        .iter_batches(batch_size=None, batch_format="pyarrow")
        for row in table.to_pylist()
    ]
    for row, path in zip(sorted(rows, key=lambda row: row["photo"]), collection.good, strict=False):
        assert row["photo"] == path
        assert_says(row, collection.caption(path))
    processes = {row["process"] for row in rows}
    assert len(rows) == 8
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_the_command_captions_a_folder_and_the_folders_in_it(
    command: tuple[Path, subprocess.CompletedProcess[str]], collection: Collection
) -> None:
    output, done = command
    assert done.returncode == 1, done.stderr
    *rows, bad = rows_in(output)
    assert [row["photo"] for row in rows] == [plain_text(path) for path in collection.good]
    for row, path in zip(rows, collection.good, strict=True):
        assert_says(row, collection.caption(path, beam_size=2))
    assert bad["photo"] == str(collection.photos / "text.jpg")
    assert_failed(bad, "text.jpg is not a photo")
    assert done.stdout == ""
    *said, summary = [line for line in done.stderr.splitlines() if "core_worker.cc" not in line]
    assert said == [f"captioner: {bad['error']}", "captioner: 12 of 12 photos"]
    assert summary.startswith("captioner: 12 photos, 1 of them without a caption; ")
    assert summary.endswith(" a second by 2 workers, including their start")


def test_a_folder_with_captions_is_not_written_to_again(
    command: tuple[Path, subprocess.CompletedProcess[str]], collection: Collection, run: Run
) -> None:
    output, _ = command
    before = {path: path.read_bytes() for path in output.iterdir()}
    status, printed, errors = run(collection.photos, output)
    assert (status, printed) == (2, "")
    assert errors == [
        f"captioner: {output} holds Parquet files: name another folder, or continue with --resume"
    ]
    assert {path: path.read_bytes() for path in output.iterdir()} == before


def test_resume_captions_the_rest_alone_and_keeps_what_there_is(
    command: tuple[Path, subprocess.CompletedProcess[str]],
    collection: Collection,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_data, "ROWS_PER_FILE", 2)
    wanted = rows_in(command[0])
    bad, good = wanted.pop(), wanted.pop()
    assert good["photo"].endswith(r"\xff.PNG")
    output = tmp_path / "output"
    output.mkdir()
    (output / ".captions-0-00000.parquet.part").write_bytes(b"PAR1")  # of a run that was killed
    kept = pa.Table.from_pylist([good, bad, *wanted[:5]], schema=row_schema())
    pq.write_table(kept, output / "first.parquet")
    arguments = (collection.photos, output, "--resume", "--batch-size", 1, "--beam-size", 2)
    status, printed, errors = run(*arguments)
    assert (status, printed) == (1, "")
    *said, summary = [line for line in errors if "core_worker.cc" not in line]  # Ray's own
    assert summary.startswith("captioner: 12 photos, 1 of them without a caption; ")
    assert said == [f"captioner: {count} of 5 photos" for count in (2, 4, 5)]
    again = rows_in(output)
    assert [row["photo"] for row in again] == [row["photo"] for row in (*wanted, good, bad)]
    assert [row["caption"] for row in again[:10]] == [row["caption"] for row in wanted]
    assert pq.read_table(output / "first.parquet").equals(kept)
    assert len(list(output.glob("*.parquet"))) == 1 + 3
    monkeypatch.setattr(ray_data, "caption_on_cluster", lambda *_: pytest.fail("all were done"))
    assert run(*arguments) == (
        1, "", ["captioner: 12 photos, 1 of them without a caption; all were done already"],
    )  # fmt: skip


def test_nothing_is_lost_when_all_photos_are_captioned_and_the_status_is_0(
    command: tuple[Path, subprocess.CompletedProcess[str]],
    collection: Collection,
    run: Run,
    tmp_path: Path,
) -> None:
    shutil.copytree(command[0], tmp_path / "output")
    (path,) = (tmp_path / "output").glob("*.parquet")
    table = pq.read_table(path)
    column = table.schema.get_field_index("error")
    pq.write_table(table.set_column(column, "error", pa.nulls(12, pa.string())), path)
    assert run(collection.photos, tmp_path / "output", "--resume") == (
        0, "", ["captioner: 12 photos, 0 of them without a caption; all were done already"],
    )  # fmt: skip


def tables(*photos: str) -> list[pa.Table]:
    return [pa.Table.from_pylist([{"photo": photo}], schema=row_schema()) for photo in photos]


def test_an_interruption_keeps_what_is_written(
    collection: Collection, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Iterator[pa.Table]:
        yield from tables("a.jpg")
        raise KeyboardInterrupt

    monkeypatch.setattr(ray_data, "caption_on_cluster", interrupted)
    monkeypatch.setattr(ray_data, "connected", lambda *_: nullcontext())
    status, printed, errors = run(collection.photos, tmp_path / "output")
    assert (status, printed) == (130, "")
    assert errors[-1] == "captioner: interrupted; --resume continues with the rest"
    assert read_errors(tmp_path / "output") == {"a.jpg": None}


def test_a_full_disk_leaves_no_broken_file(
    collection: Collection, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(table: pa.Table, path: Path) -> None:
        if table["photo"].to_pylist() == ["a.jpg"]:
            original(table, path)
        else:
            path.write_bytes(b"PAR1")
            raise OSError(28, "No space left on device")

    original = pq.write_table
    monkeypatch.setattr(pq, "write_table", full)
    monkeypatch.setattr(ray_data, "caption_on_cluster", lambda *_: iter(tables("a.jpg", "b.jpg")))
    monkeypatch.setattr(ray_data, "connected", lambda *_: nullcontext())
    status, _, errors = run(collection.photos, tmp_path / "output")
    assert status == 1
    assert errors[-1] == (
        "captioner: [Errno 28] No space left on device; --resume continues with the rest"
    )
    (path,) = (tmp_path / "output").iterdir()
    assert pq.read_table(path)["photo"].to_pylist() == ["a.jpg"]


def test_two_runs_never_write_the_same_file(tmp_path: Path) -> None:
    for _ in range(2):
        assert len(list(write_tables(tables("a.jpg", "b.jpg"), tmp_path))) == 2
    assert len(list(tmp_path.glob("*.parquet"))) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ray-workers", "0"), "--ray-workers must be at least 1, got 0"),
        (("--ray-workers", "x"), "--ray-workers: invalid int value: 'x'"),
        (("--batch-size", "0"), "--batch-size must be from 1 to 4096, got 0"),
        (("--output", "-"), "--ray-workers writes Parquet files: name a folder with --output"),
        (("--diversity", "1"), "--diversity is for several captions of a beam search"),
        (("--num-captions", "2"), "--num-captions cannot be used with --ray-workers"),
        (("--caption", "a dog"), "--caption cannot be used with --ray-workers"),
        (("--format", "jsonl"), "--format cannot be used with --ray-workers"),
        (("--overwrite",), "--overwrite cannot be used with --ray-workers"),
        (("--gif", "x"), "--gif cannot be used with --ray-workers"),
        (("--device", "cpu:0"), "--device cannot be used with --ray-workers: set --num-gpus"),
        (("--beam-size", "0"), "beam_size must be from 1 to 100, got 0"),
        (("--beam", "2"), "unrecognized arguments: --beam"),
        (("--top-k", "5"), "top_k and top_p are for sampling"),
        (("--prefix", "a zebra"), "prefix holds a word that the model does not know: a, zebra"),
        (("--num-gpus", "-1"), "--num-gpus must be at least 0, got -1"),
        (("--num-gpus", "1"), "2 workers with 1 GPUs each need 2 GPUs, and this machine has 1"),
        (("--checkpoint", "gone/folder"), "no checkpoint folder gone/folder"),
    ],
)
def test_wrong_usage_ends_with_status_2_before_ray_starts(
    collection: Collection,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(ray_data, "connected", lambda *_: pytest.fail("Ray was started"))
    status, printed, errors = run(collection.photos, tmp_path / "output", *arguments)
    assert (status, printed) == (2, "")
    assert message in errors[-1]
    assert not (tmp_path / "output").exists()


def test_folders_without_photos_and_missing_ones_are_reported(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").write_text("not a photo")
    for folder, message in (
        (tmp_path / "empty", f"captioner: {tmp_path / 'empty'} is a folder without photos: "),
        (tmp_path / "gone", "captioner: [Errno 2] No such file or directory: "),
    ):
        status, printed, (error,) = run(folder, tmp_path / "output")
        assert (status, printed) == (2, "")
        assert error.startswith(message)
    assert not (tmp_path / "output").exists()


def test_other_peoples_parquet_files_are_not_resumed(
    collection: Collection, run: Run, tmp_path: Path
) -> None:
    for content in (pa.table({"x": [1]}), pa.table({"photo": ["a.jpg"]})):
        pq.write_table(content, tmp_path / "other.parquet")
        status, _, (error,) = run(collection.photos, tmp_path, "--resume")
        assert status == 2
        assert "other.parquet is not a file of captions; name another folder" in error
    (tmp_path / "other.parquet").write_bytes(b"PAR1 and no more")
    status, _, (error,) = run(collection.photos, tmp_path, "--resume")
    assert status == 2
    assert "other.parquet is not a file of captions; name another folder" in error


def test_without_ray_it_says_how_to_install_it(
    collection: Collection, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _, (error,) = run(collection.photos, tmp_path / "output")
    assert status == 2
    assert 'this needs Ray: pip install "captioner[ray]"' in error


def test_an_address_without_a_cluster_ends_with_status_2(
    collection: Collection, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(address: str, **_: Any) -> None:
        raise ConnectionError(f"no cluster at {address}")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setattr(ray, "init", nobody)
    for setting, arguments, address in (
        ("", ("--ray-address", "host:1"), "host:1"), ("host:1", (), "host:1"), ("", (), "local"),
    ):  # fmt: skip
        monkeypatch.setenv("RAY_ADDRESS", setting)
        status, _, errors = run(collection.photos, tmp_path / "output", *arguments)
        assert (status, errors) == (2, [f"captioner: no cluster at {address}"])


def test_photos_are_listed_once_each_by_their_absolute_paths(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(collection.photos)
    listed = command_line._list_for_cluster(["text.jpg", ".", str(collection.photos / "inner")])
    assert listed == [str(collection.photos / "text.jpg"), *collection.good]
