"""Captions for large collections: the model as an actor of Ray Data, and a program around it.

    python -m captioner.ray_data FOLDER OUTPUT_FOLDER --workers 2

captions the photos in a folder and the folders in it, into Parquet files, on a Ray cluster of two
workers that it starts on this machine. On a cluster of many machines it is the same program, as a
job or from one of them, where all have captioner and see the photos under the same path:

    ray job submit -- python -m captioner.ray_data FOLDER OUTPUT_FOLDER --workers 64
    python -m captioner.ray_data FOLDER OUTPUT_FOLDER --workers 64 --address auto

Photos elsewhere, such as in a bucket, take a few lines of Python:

    photos = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
    workers = ray.data.ActorPoolStrategy(size=64)
    captions = photos.map_batches(PhotoCaptioner, batch_size=16, compute=workers, num_cpus=1)
    captions.write_parquet("s3://bucket/captions")

Leave CPUs free then: reading and writing are tasks too, and where the actors have every CPU, Ray
waits for ever. The program reads in its actors and writes in its own process, and needs none.

Needs Ray: `pip install "captioner[ray]"`. Importing this module does not import it.
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from captioner.__main__ import FAILED, INTERRUPTED, MISUSED
from captioner.checkpoint import load_model
from captioner.command_line.flags import add_checkpoint_flag, add_decoding_flags, take_options
from captioner.command_line.listing import PHOTO_SUFFIXES
from captioner.command_line.progress import complain
from captioner.model import Features
from captioner.options import DecodingOptions
from captioner.parquet import plain_text, read_errors, row_of, row_schema, write_tables

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_FILE = 256
"""Few enough that an interruption costs little work, many enough for Parquet."""
BATCHES_PER_TASK = 8
"""At most, to keep what Ray does for each task small beside the captioning."""
TASKS_PER_WORKER = 8
"""At least, where there are photos enough, so that all workers are busy until the end."""

RESUME_HINT = "--resume goes on with the rest"

EPILOG = """
output:
  Parquet files of up to 256 rows, one row a photo, in no particular order:
  photo          its path
  caption        the best one
  score, perplexity, words, probabilities (of each word)
  alphas, grid   for each word its attention on rows x columns regions, row after row,
                 and how many rows and columns that is
  error          why there is no caption, and then all but the photo is null
  A file appears when it is whole. After an interruption, --resume goes on with the rest.

clusters:
  Without --address and RAY_ADDRESS, Ray is started on this machine for this run alone. In a
  job (ray job submit) the job's cluster is used. Every machine of a cluster needs captioner
  and must see FOLDER, and the checkpoint, under the same path; only the process that is
  started here writes OUTPUT_FOLDER. RAY_USAGE_STATS_ENABLED is 0 unless it is set.

exit status:
  0  every photo has a caption
  1  some photos could not be read: their rows have an error, the others were captioned;
     or the disk is full
  2  wrong usage, no photos, no usable checkpoint, no Ray

examples:
  python -m captioner.ray_data photos/ captions/ --workers 2
  python -m captioner.ray_data photos/ captions/ --workers 2 --resume
  python -m captioner.ray_data photos/ captions/ --workers 4 --num-gpus 1 --batch-size 64
  ray job submit -- python -m captioner.ray_data /data/photos /data/captions --workers 64
"""


class PhotoCaptioner:
    """Captions batches of photos: an actor for `ray.data.Dataset.map_batches`.

    Each actor loads the model once. It uses one thread, for the whole process it is in.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        options: DecodingOptions | None = None,
        device: str = "cpu",
    ) -> None:
        """Load the model.

        Args:
            checkpoint: as `load_model`; every machine of the cluster must find it.
            options: how to decode; by default `DecodingOptions()`.
            device: where to compute; "cuda" for actors that have a GPU of Ray's.

        Raises:
            FileNotFoundError, ValueError: as `load_model`.
        """
        # Ray gives each actor one CPU and puts as many actors on a machine as it has CPUs; if
        # each of them started a thread on every CPU, as torch does, they would wait for each other.
        torch.set_num_threads(1)
        self.model = load_model(checkpoint, device)
        self.options = options or DecodingOptions()

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> "pa.Table":
        """Caption a batch.

        Args:
            batch: a column `path`, of paths, or `bytes`, of whole photo files, or both: then the
                bytes are read where they are not null, and the path is only the photo's name.
                Other columns are left out.

        Returns:
            One row a photo, in order, with the columns of `row_schema`. A photo that cannot be
            read has an `error`, and no caption.

        Raises:
            ValueError: there is neither column, or the options' prefix holds a word that the model
                does not know.
        """
        import pyarrow as pa

        if not batch.keys() & {"path", "bytes"}:
            raise ValueError(f"a batch must have a column path or bytes, got {[*batch]}")
        missing = [None] * len(next(iter(batch.values())))
        paths = [None if p is None else os.fsdecode(p) for p in batch.get("path", missing)]
        encoded = list(map(self._encode, paths, batch.get("bytes", missing)))
        readable = [features for features in encoded if isinstance(features, Features)]
        captions = iter(self.model.generate_captions(readable, self.options))
        rows = [
            row_of(path, next(captions) if isinstance(result, Features) else result)
            for path, result in zip(paths, encoded, strict=True)
        ]
        return pa.Table.from_pylist(rows, schema=row_schema())

    def _encode(self, path: str | None, content: bytes | None) -> Features | OSError | ValueError:
        photo = path if content is None else bytes(content)
        if photo is None:
            return ValueError("there is neither a path nor bytes")
        try:
            return self.model.encode(photo)
        except (OSError, ValueError) as error:
            return error


def find_photos(folder: Path) -> list[str]:
    """Absolute paths of the photos in a folder and the folders in it, in order.

    Raises:
        OSError: there is no such folder, or it or one in it cannot be read.
        ValueError: there are no photos.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = sorted(
        str(Path(inside, name))
        for inside, _, names in os.walk(folder.resolve(), onerror=refuse)
        for name in names
        if name.lower().endswith(PHOTO_SUFFIXES)
    )
    if not found:
        raise ValueError(f"there are no photos in {folder}, of {', '.join(PHOTO_SUFFIXES)}")
    return found


def caption_photos(
    photos: Sequence[str],
    checkpoint: str | Path | None = None,
    options: DecodingOptions | None = None,
    workers: int = 2,
    batch_size: int = 16,
    num_gpus: float = 0.0,
) -> "Iterator[pa.Table]":
    """Caption photo files on the Ray cluster that this process is connected to.

    Args:
        photos: absolute paths, which every machine of the cluster sees.
        checkpoint: as PhotoCaptioner.
        options: as PhotoCaptioner.
        workers: how many actors share the work.
        batch_size: photos decoded together.
        num_gpus: of each worker; a part of one is shared. 0 gives each a CPU.

    Yields:
        Rows of up to ROWS_PER_FILE photos, see `row_schema`, in the order they are ready.
    """
    import pyarrow as pa
    import ray.data

    paths = pa.table({"path": pa.array(map(os.fsencode, photos), pa.binary())})
    share = _photos_per_task(len(photos), batch_size, workers)
    tasks = [paths.slice(start, share) for start in range(0, len(photos), share)]
    captions = ray.data.from_arrow(tasks).map_batches(
        PhotoCaptioner,
        fn_constructor_args=(checkpoint, options, "cuda" if num_gpus else "cpu"),
        batch_size=batch_size,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=None if num_gpus else 1,
        num_gpus=num_gpus or None,
    )
    yield from captions.iter_batches(batch_size=ROWS_PER_FILE, batch_format="pyarrow")


@contextmanager
def connected(address: str, workers: int) -> Iterator[None]:
    """Be connected to a Ray cluster, which is left, or ended where it was started here.

    Turns off, for the whole process, Ray's progress bars and most of its messages, and its usage
    statistics where RAY_USAGE_STATS_ENABLED says nothing of them.

    Args:
        address: of a cluster, or "local" to start one on this machine. A cluster that the process
            is connected to already is used in its place.
        workers: CPUs of a cluster that is started here.

    Raises:
        ConnectionError: there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # how to get them back
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield
        return
    own = {"num_cpus": workers, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **own)
        yield
    finally:
        ray.shutdown()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: by default those of the process.

    Returns:
        The exit status; argparse itself exits with 2 on wrong usage.
    """
    parser = _build_parser()
    args = parser.parse_args(arguments)
    try:
        options = take_options(vars(args))
    except ValueError as error:
        parser.error(str(error))
    try:
        photos, errors = _prepare(args, options)
    except (OSError, ValueError) as error:
        complain(str(error))
        return MISUSED
    try:
        return _caption_folder(args, options, photos, errors)
    except ConnectionError as error:
        complain(str(error))
        return MISUSED
    except OSError as error:  # a full disk
        complain(f"{error}; {RESUME_HINT}")
        return FAILED
    except KeyboardInterrupt:
        complain(f"interrupted; {RESUME_HINT}")
        return INTERRUPTED


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m captioner.ray_data",
        description="Caption a folder of photos, and the folders in it, on a Ray cluster.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="the photos")
    add("output", type=Path, metavar="OUTPUT_FOLDER", help="where to write the captions")
    add("--resume", action="store_true", help="leave out photos that the output has already")
    add(
        "--workers", type=_positive, default=2, metavar="N",
        help="actors that share the work, each with a model and a CPU; default: %(default)s",
    )  # fmt: skip
    add(
        "--address", default=os.environ.get("RAY_ADDRESS") or "local", metavar="ADDRESS",
        help="of a Ray cluster: auto, host:port, or local to start one on this machine; "
        "default: RAY_ADDRESS, else local",
    )  # fmt: skip
    add_checkpoint_flag(parser)
    add(
        "--batch-size", type=_positive, default=16, metavar="N",
        help="photos decoded together; default: %(default)s",
    )  # fmt: skip
    add(
        "--num-gpus", type=float, default=0.0, metavar="N",
        help="GPUs of each worker, 0.5 to share one between two; default: none, a CPU instead",
    )  # fmt: skip
    add_decoding_flags(parser.add_argument_group("decoding"))
    return parser


def _prepare(
    args: argparse.Namespace, options: DecodingOptions
) -> tuple[list[str], dict[str, str | None]]:
    """Find what could go wrong before Ray starts; the photos, and those that are done."""
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise ValueError(f'this needs Ray: pip install "captioner[ray]" ({error})') from error
    photos = find_photos(args.folder)
    if not args.resume and any(args.output.glob("*.parquet")):
        raise ValueError(
            f"{args.output} holds Parquet files: name another folder, or go on with --resume"
        )
    errors = read_errors(args.output)
    _require_gpus(args)
    load_model(args.checkpoint).check_options(options)
    args.output.mkdir(parents=True, exist_ok=True)
    return photos, errors


def _require_gpus(args: argparse.Namespace) -> None:
    """Ray would wait for ever for GPUs that this machine does not have."""
    if args.num_gpus < 0:
        raise ValueError(f"--num-gpus must be at least 0, got {args.num_gpus:g}")
    there, wanted = torch.cuda.device_count(), args.workers * args.num_gpus
    if args.address == "local" and wanted > there:
        raise ValueError(
            f"--num-gpus {args.num_gpus:g} for --workers {args.workers} needs {wanted:g} GPUs, "
            f"and this machine has {there}"
        )


def _caption_folder(
    args: argparse.Namespace,
    options: DecodingOptions,
    photos: Sequence[str],
    errors: dict[str, str | None],
) -> int:
    todo = [photo for photo in photos if plain_text(photo) not in errors]
    checkpoint = args.checkpoint
    if checkpoint and Path(checkpoint).is_dir():
        checkpoint = Path(checkpoint).resolve()  # actors have another working directory
    speed = "none were left to do"
    if todo:
        with connected(args.address, args.workers):
            start = time.monotonic()
            tables = caption_photos(
                todo, checkpoint, options, args.workers, args.batch_size, args.num_gpus
            )
            _report(write_tables(tables, args.output), len(todo), errors)
            per_second = len(todo) / (time.monotonic() - start)
        speed = f"{per_second:.3g} a second by {args.workers} workers, their start included"
    failed = sum(error is not None for error in errors.values())
    print(f"{len(errors)} photos, {failed} of them without a caption; {speed}")
    return FAILED if failed else 0


def _report(tables: "Iterable[pa.Table]", count: int, errors: dict[str, str | None]) -> None:
    """Say how far it is and what could not be read, and add it to the errors."""
    done = 0
    for table in tables:
        for photo, error in zip(*(table[n].to_pylist() for n in ("photo", "error")), strict=True):
            errors[photo] = error
            if error is not None:
                complain(error if photo in error else f"{photo}: {error}")
        done += len(table)
        complain(f"{done} of {count} photos")


def _photos_per_task(count: int, batch_size: int, workers: int) -> int:
    """Whole batches: as many as leave each worker enough tasks, and at least one."""
    batches = count // (batch_size * workers * TASKS_PER_WORKER)
    return batch_size * max(1, min(BATCHES_PER_TASK, batches))


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
