"""The command line: captions for photos, as text, JSON or a table; see `--help`."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import torch

from captioner import ray_data
from captioner.checkpoint import load_model
from captioner.cli.formats import Format, JsonLines
from captioner.cli.output import (
    Output,
    OutputError,
    OutputFile,
    Recorded,
    StandardOutput,
    examine_output,
    flush_standard_output,
    print_error,
    progress_bar,
    wants_progress,
)
from captioner.cli.parser import Settings, parse_arguments
from captioner.cli.photos import (
    STANDARD_INPUT,
    Answer,
    Failure,
    Listed,
    caption_batches,
    check_words,
    count_photos,
    list_photos,
    unknown_bans,
)
from captioner.cli.pictures import Pictures
from captioner.model import ImageCaptioningModel
from captioner.parquet import plain_text, read_errors, write_tables

FAILED, MISUSED, INTERRUPTED, READER_GONE = 1, 2, 130, 141
"""Exit statuses; the last two are what a shell reports for SIGINT and SIGPIPE."""
RESUME_HINT = "--resume continues with the rest"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: by default those of the process.

    Returns:
        The exit status; argparse itself exits with 2 on wrong usage.
    """
    try:
        try:
            settings = parse_arguments(arguments)
            if settings.ray_workers and settings.output:
                return _run_on_cluster(settings, settings.ray_workers, settings.output)
            return _run(settings)
        finally:
            flush_standard_output()
    except BrokenPipeError:  # as in `| head -1`
        return READER_GONE
    except OutputError as error:
        print_error(str(error))
        return FAILED
    except torch.OutOfMemoryError:
        print_error("the device has too little memory; set a smaller --batch-size or --beam-size")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(settings: Settings) -> int:
    form, pictures, recorded = settings.build_format(), settings.build_pictures(), Recorded()
    try:
        if settings.output:
            resumed = form if settings.resume and isinstance(form, JsonLines) else None
            recorded = examine_output(settings.output, resumed, settings.overwrite)
        pictures.make_folders()
        model = _load_checked(settings)
        output = _open_output(settings, form, recorded)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        print_error(str(error))
        return MISUSED
    try:
        return _caption_all(settings, model, form, pictures, output, recorded.photos)
    finally:
        output.close()


def _load_checked(settings: Settings) -> ImageCaptioningModel:
    """Load the model, and check the words it is given."""
    model = load_model(settings.checkpoint, settings.device)
    check_words(model, settings.options, settings.caption)
    for word in unknown_bans(model, settings.options):
        print_error(f"the model does not know the banned word {word!r}, and so never uses it")
    return model


def _open_output(settings: Settings, form: Format, recorded: Recorded) -> Output:
    if settings.output:
        return OutputFile(settings.output, form.header, recorded)
    return StandardOutput(form.header)


def _caption_all(
    settings: Settings,
    model: ImageCaptioningModel,
    form: Format,
    pictures: Pictures,
    output: Output,
    done: Counter[str],
) -> int:
    """Caption the photos that are not done yet, and print errors; 0, or FAILED."""
    status = 0
    shown = not settings.alone and wants_progress(settings.output is not None)
    total = count_photos(settings.photos) if shown else None
    listed = pictures.name(list_photos(settings.photos))
    with progress_bar(total, shown) as bar:
        waiting = _without_done(listed, done, bar.update)
        results = caption_batches(
            model, waiting, settings.options, settings.caption, settings.photos_together
        )
        with closing(results):
            for result in results:
                error = _finish(result, form, pictures, output)
                bar.update()
                if error is not None:
                    _print_photo_error(result.photo.path, str(error))
                    status = FAILED
    return status


def _without_done(
    photos: Iterable[Listed | None], done: Counter[str], tick: Callable[[], object]
) -> Iterator[Listed | None]:
    """The photos that have no records yet; one that is named twice needs them twice."""
    for photo in photos:
        if photo is not None and done[photo.path]:
            done[photo.path] -= 1
            tick()
        else:
            yield photo


def _finish(
    result: Answer | Failure, form: Format, pictures: Pictures, output: Output
) -> OSError | ValueError | None:
    """Write the pictures of one photo and then its records; what went wrong, if anything did."""
    if isinstance(result, Failure):
        return result.error
    failure = None
    try:
        pictures.write(result.photo, result.pictured)
    except (OSError, ValueError) as error:
        failure = error
        if not output.keeps_failures:
            return failure
    try:
        output.write(form.write(result))
    except ValueError as error:
        return error
    return failure


def _print_photo_error(path: str, error: str) -> None:
    print_error(error if path in error else f"{path}: {error}")


def _run_on_cluster(settings: Settings, workers: int, output: Path) -> int:
    address = settings.ray_address or os.environ.get("RAY_ADDRESS") or ray_data.LOCAL
    try:
        ray_data.check_cluster(address, workers, settings.num_gpus or 0.0)
        photos = _list_for_cluster(settings.photos)
        if not settings.resume and any(output.glob("*.parquet")):
            raise ValueError(
                f"{output} holds Parquet files: name another folder, or continue with --resume"
            )
        errors = read_errors(output)
        _load_checked(settings)
        output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        print_error(str(error))
        return MISUSED
    try:
        return _caption_on_cluster(settings, address, workers, output, photos, errors)
    except ConnectionError as error:
        print_error(str(error))
        return MISUSED
    except OSError as error:  # a full disk
        print_error(f"{error}; {RESUME_HINT}")
        return FAILED
    except KeyboardInterrupt:
        print_error(f"interrupted; {RESUME_HINT}")
        return INTERRUPTED


def _list_for_cluster(arguments: Sequence[str]) -> list[str]:
    """Absolute paths, each once.

    Raises:
        OSError: there is nothing at a path, or a folder cannot be read.
        ValueError: a folder has no photos.
    """
    for argument in arguments:
        if argument != STANDARD_INPUT:
            Path(argument).stat()
    paths: dict[str, None] = {}
    for photo in filter(None, list_photos(arguments)):
        if photo.error is not None:
            raise photo.error
        paths[str(Path(photo.path).absolute())] = None
    return list(paths)


def _caption_on_cluster(
    settings: Settings,
    address: str,
    workers: int,
    output: Path,
    photos: Sequence[str],
    errors: dict[str, str | None],
) -> int:
    """Caption the photos that have no row yet.

    Args:
        errors: the photos that have one, each with its error, None if it was captioned.
    """
    todo = [photo for photo in photos if plain_text(photo) not in errors]
    speed = "all were done already"
    if todo:
        start, done = time.monotonic(), 0
        with ray_data.connected(address, workers):
            tables = ray_data.caption_on_cluster(
                todo,
                settings.checkpoint,
                settings.options,
                workers,
                settings.photos_together,
                settings.num_gpus or 0.0,
            )
            for table in write_tables(tables, output):
                found = zip(*(table[n].to_pylist() for n in ("photo", "error")), strict=True)
                for photo, error in found:
                    errors[photo] = error
                    if error is not None:
                        _print_photo_error(photo, error)
                done += len(table)
                print_error(f"{done} of {len(todo)} photos")
            per_second = len(todo) / (time.monotonic() - start)
        speed = f"{per_second:.3g} a second by {workers} workers, including their start"
    failed = sum(error is not None for error in errors.values())
    print_error(f"{len(errors)} photos, {failed} of them without a caption; {speed}")
    return FAILED if failed else 0


if __name__ == "__main__":
    sys.exit(main())
