"""Captions for large collections: the model as an actor of Ray Data.

    captioner FOLDER --output OUTPUT_FOLDER --ray-workers 2

captions the photos in a folder and in the folders below it, into Parquet files, on a Ray cluster
of two workers that it starts on this machine. On a cluster of many machines it is the same
command, as a job or from one of them; all need captioner, and the photos under the same path:

    ray job submit -- captioner FOLDER --output OUTPUT_FOLDER --ray-workers 64
    captioner FOLDER --output OUTPUT_FOLDER --ray-workers 64 --ray-address auto

Photos elsewhere, such as in a bucket, take a few lines of Python:

    photos = ray.data.read_binary_files("s3://bucket/photos", include_paths=True)
    workers = ray.data.ActorPoolStrategy(size=64)
    captions = photos.map_batches(PhotoCaptioner, batch_size=128, compute=workers, num_cpus=1)
    captions.write_parquet("s3://bucket/captions")

Leave some CPUs free then: reading and writing are tasks too, and if the actors have every CPU, Ray
waits for ever. The command reads in its actors and writes in its own process, and needs none.

Needs Ray: `pip install "captioner[ray]"`. Importing this module does not import it.
"""

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from captioner.batches import BATCH_SIZE, Captions, caption_readable, map_batches
from captioner.captions import Caption
from captioner.checkpoint import load_model
from captioner.options import DecodingOptions
from captioner.parquet import row_of, row_schema

if TYPE_CHECKING:
    import pyarrow as pa

LOCAL = "local"
"""The address that starts a cluster on this machine."""
ROWS_PER_FILE = 256
"""Few enough that an interruption costs little work, many enough for Parquet."""
BATCHES_PER_TASK = 8
"""At most: enough that Ray's own work for each task is small compared with the captioning."""
TASKS_PER_WORKER = 8
"""At least, if there are enough photos: all workers are then busy until the end."""


class PhotoCaptioner:
    """Captions batches of photos: an actor for `ray.data.Dataset.map_batches`.

    Each actor loads the model once, and uses one thread of torch's for the whole process it is in.
    It captions a few photos of a batch at a time, and reads the next of them meanwhile.
    """

    def __init__(
        self,
        checkpoint: str | Path | None = None,
        options: DecodingOptions | None = None,
        device: str = "cpu",
        batch_size: int = BATCH_SIZE,
    ) -> None:
        """Load the model.

        Args:
            checkpoint: as `load_model`; every machine of the cluster must find it.
            options: how to decode; by default `DecodingOptions()`.
            device: where to compute; "cuda" for actors that have a GPU of Ray's.
            batch_size: photos of a batch that are captioned together.

        Raises:
            FileNotFoundError, ValueError: as `load_model`.
        """
        # Ray gives each actor one CPU and puts as many actors on a machine as it has CPUs; if
        # each of them ran a thread on every CPU, as torch does, they would slow each other down.
        torch.set_num_threads(1)
        self.model = load_model(checkpoint, device)
        self.options = options or DecodingOptions()
        self.batch_size = batch_size

    def __call__(self, batch: Mapping[str, Sequence[Any]]) -> "pa.Table":
        """Caption a batch.

        Args:
            batch: a column `path`, of paths, or `bytes`, of whole photo files, or both: then the
                bytes are read unless they are null, and the path is only the photo's name.
                Other columns are dropped.

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
        photos = map(_photo_of, paths, batch.get("bytes", missing))
        results = map_batches(self._caption, photos, self.batch_size)
        rows = [row_of(path, result) for path, result in zip(paths, results, strict=True)]
        return pa.Table.from_pylist(rows, schema=row_schema())

    def _caption(
        self, photos: list[str | bytes | ValueError], stopped: threading.Event
    ) -> list[Caption | OSError | ValueError]:
        results = caption_readable(self.model, photos, self.options, stopped)
        return [r.generated[0] if isinstance(r, Captions) else r for r in results]


def caption_on_cluster(
    photos: Sequence[str],
    checkpoint: str | Path | None = None,
    options: DecodingOptions | None = None,
    workers: int = 2,
    batch_size: int = BATCH_SIZE,
    num_gpus: float = 0.0,
) -> "Iterator[pa.Table]":
    """Caption photo files on the Ray cluster that this process is connected to.

    Args:
        photos: absolute paths, the same on every machine of the cluster.
        checkpoint: as PhotoCaptioner.
        options: as PhotoCaptioner.
        workers: number of actors that share the work.
        batch_size: photos captioned together.
        num_gpus: of each worker; below 1, workers share a GPU. 0 gives each a CPU.

    Yields:
        Rows of up to ROWS_PER_FILE photos, see `row_schema`, in the order they are ready.
    """
    import pyarrow as pa
    import ray.data

    if checkpoint and Path(checkpoint).is_dir():
        checkpoint = Path(checkpoint).resolve()  # actors have another working directory
    paths = pa.table({"path": pa.array(map(os.fsencode, photos), pa.binary())})
    share = _photos_per_task(len(photos), batch_size, workers)
    tasks = [paths.slice(start, share) for start in range(0, len(photos), share)]
    captions = ray.data.from_arrow(tasks).map_batches(
        PhotoCaptioner,
        fn_constructor_args=(checkpoint, options, "cuda" if num_gpus else "cpu", batch_size),
        batch_size=share,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=None if num_gpus else 1,
        num_gpus=num_gpus or None,
    )
    yield from captions.iter_batches(batch_size=ROWS_PER_FILE, batch_format="pyarrow")


@contextmanager
def connected(address: str, workers: int) -> Iterator[None]:
    """Connect to a Ray cluster, and disconnect at the end; a cluster started here is stopped.

    Turns off, for the whole process, Ray's progress bars and most of its messages, and its usage
    statistics unless RAY_USAGE_STATS_ENABLED is set.

    Args:
        address: of a cluster, or LOCAL to start one on this machine. If the process is already
            connected to a cluster, that is used instead.
        workers: CPUs of a cluster that is started here.

    Raises:
        ConnectionError: there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    if ray.is_initialized():
        yield
        return
    own = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **own)
        yield
    finally:
        ray.shutdown()


def check_cluster(address: str, workers: int, num_gpus: float) -> None:
    """Check what would fail only once Ray has started, or let it wait for ever.

    Args:
        address: as `connected`.
        workers: as `caption_on_cluster`.
        num_gpus: as `caption_on_cluster`.

    Raises:
        ValueError: Ray is not installed, or this machine has too few GPUs.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise ValueError(f'this needs Ray: pip install "captioner[ray]" ({error})') from error
    available, needed = torch.cuda.device_count(), workers * num_gpus
    if address == LOCAL and needed > available:
        raise ValueError(
            f"{workers} workers with {num_gpus:g} GPUs each need {needed:g} GPUs, and this machine "
            f"has {available}"
        )


def _photo_of(path: str | None, content: bytes | None) -> str | bytes | ValueError:
    if content is not None:
        return bytes(content)
    return ValueError("there is neither a path nor bytes") if path is None else path


def _photos_per_task(count: int, batch_size: int, workers: int) -> int:
    """A whole number of batches: few enough that each worker gets several tasks, at least one."""
    batches = count // (batch_size * workers * TASKS_PER_WORKER)
    return batch_size * max(1, min(BATCHES_PER_TASK, batches))
