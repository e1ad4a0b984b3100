"""The command line: captions for photos, as text, JSON or a table. `--help` says how."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from captioner.checkpoint import load_model
from captioner.command_line.captioning import (
    Answer,
    Failure,
    caption_photos,
    check_words,
    unknown_bans,
)
from captioner.command_line.formats import Format
from captioner.command_line.listing import Listed, count_photos, list_photos
from captioner.command_line.output import (
    Output,
    OutputError,
    OutputFile,
    Recorded,
    StandardOutput,
    examine_output,
    flush_standard_output,
)
from captioner.command_line.parser import Settings, parse_arguments
from captioner.command_line.pictures import Pictures
from captioner.command_line.progress import complain, progress_bar, wants_progress
from captioner.model import ImageCaptioningModel

FAILED, MISUSED, INTERRUPTED, READER_GONE = 1, 2, 130, 141
"""Exit statuses; the last two are what a shell reports for SIGINT and SIGPIPE."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: by default those of the process.

    Returns:
        The exit status; argparse itself exits with 2 on wrong usage.
    """
    try:
        try:
            return _run(parse_arguments(arguments))
        finally:
            flush_standard_output()
    except BrokenPipeError:  # as in `| head -1`
        return READER_GONE
    except OutputError as error:
        complain(str(error))
        return FAILED
    except torch.OutOfMemoryError:
        complain("the device has too little memory; set a smaller --batch-size or --beam-size")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(settings: Settings) -> int:
    form, pictures, recorded = settings.build_format(), settings.build_pictures(), Recorded()
    try:
        if settings.output:
            recorded = examine_output(settings.output, form, settings.resume, settings.overwrite)
        pictures.make_folders()
        model = load_model(settings.checkpoint, settings.device)
        check_words(model, settings.options, settings.caption)
        output = _open_output(settings, form, recorded)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        complain(str(error))
        return MISUSED
    for word in unknown_bans(model, settings.options):
        complain(f"the model does not know {word!r}, and so never says it")
    try:
        return _caption_all(settings, model, form, pictures, output, recorded.photos)
    finally:
        output.close()


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
    """Caption what is not done yet, and say what goes wrong; 0, or FAILED."""
    status = 0
    shown = not settings.alone and wants_progress(settings.output is not None)
    total = count_photos(settings.photos) if shown else None
    listed = pictures.name(list_photos(settings.photos))
    with progress_bar(total, shown) as bar:
        waiting = _without_done(listed, done, form, bar.update)
        for result in caption_photos(
            model, waiting, settings.options, settings.caption, settings.batch_size
        ):
            error = _finish(result, form, pictures, output)
            bar.update()
            if error is not None:
                path = result.photo.path
                complain(str(error) if path in str(error) else f"{path}: {error}")
                status = FAILED
    return status


def _without_done(
    photos: Iterable[Listed], done: Counter[str], form: Format, tick: Callable[[], object]
) -> Iterator[Listed]:
    """The photos that have no records yet; one that is named twice needs them twice."""
    for photo in photos:
        name = form.name(photo.path)
        if done[name]:
            done[name] -= 1
            tick()
        else:
            yield photo


def _finish(
    result: Answer | Failure, form: Format, pictures: Pictures, output: Output
) -> OSError | ValueError | None:
    """Write all there is of one photo, its records last; what went wrong, if anything did."""
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


if __name__ == "__main__":
    sys.exit(main())
