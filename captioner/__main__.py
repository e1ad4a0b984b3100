"""The command line: captions for photos, as lines of text or JSON. `--help` says how."""

import argparse
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import torch
from PIL import Image

from captioner.captions import Caption
from captioner.checkpoint import load_model
from captioner.images import load_image
from captioner.model import Features, ImageCaptioningModel
from captioner.options import DecodingOptions
from captioner.visualization import attention_sheet, overlay

BATCH_SIZE = 8
"""Photos decoded together; few, so that memory stays small however many there are."""

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
"""What is taken for a photo in a folder."""

MAX_STEM_BYTES = 120
MAX_WORD_LETTERS = 30
SHEET_PHOTO_SIDE = 640
"""The photo is no larger than this, in pixels, on an attention sheet."""

FAILED, MISUSED, INTERRUPTED, READER_GONE = 1, 2, 130, 141
"""Exit statuses; the last two are what a shell reports for SIGINT and SIGPIPE."""

OPTION_HELP = {
    "beam_size": "hypotheses kept at each word; 1 is greedy search",
    "max_length": "most words in a caption",
    "min_length": "fewest words in a caption",
    "length_penalty": "power of the length that log-probabilities are divided by; "
    "0 prefers short captions",
    "no_repeat_ngram": "no run of this many words may stand twice; 0 allows all",
}

EPILOG = """
output:
  text    the caption alone for one photo; for several photos or a folder, one line
          a photo: its path, a tab, the caption
  jsonl   one JSON object a line: photo, caption, score, grid, and for each word its text,
          probability, alternatives and attention; safe for any path
  Captions come in the order of the photos. Messages go to stderr.

overlays:
  For photo.jpg: photo-01-dogs.jpg, photo-02-run.jpg, ..., one for each word, at the photo's
  size, and photo-00-sheet.png with all of them. A second photo of the same name in one run
  becomes photo-2-01-..., so neither replaces the other; a later run replaces its own files.

exit status:
  0  every photo was captioned
  1  a photo could not be read, or its overlays not written; the others were captioned
  2  wrong usage, or no usable checkpoint

examples:
  python -m captioner dogs.jpg
  python -m captioner holiday/ --format jsonl > captions.jsonl
  python -m captioner dogs.jpg --beam-size 5 --overlays out/
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: by default those of the process.

    Returns:
        The exit status; argparse itself exits with 2 on wrong usage.
    """
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # As in `| head -1`. The interpreter flushes once more at its end: give it a place to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt:
        return INTERRUPTED


def caption_photos(
    model: ImageCaptioningModel, photos: Sequence[str], options: DecodingOptions
) -> Iterator[tuple[str, Caption | OSError | ValueError]]:
    """Caption photo files in small batches.

    Yields:
        Each path, in order, with its caption, or with the error that kept it from one.
    """
    for start in range(0, len(photos), BATCH_SIZE):
        batch = photos[start : start + BATCH_SIZE]
        encoded = [_encode(model, photo) for photo in batch]
        readable = [features for features in encoded if isinstance(features, Features)]
        captions = iter(model.generate_captions(readable, options))
        for photo, result in zip(batch, encoded, strict=True):
            yield photo, next(captions) if isinstance(result, Features) else result


class OverlayFolder:
    """Writes overlays, each photo's under a name of its own."""

    def __init__(self, folder: Path) -> None:
        """Make the folder.

        Raises:
            OSError: it cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._taken: set[str] = set()

    def write(self, photo: str, caption: Caption) -> None:
        """Write one overlay per word, and the sheet with all of them.

        Raises:
            OSError, ValueError: a file cannot be written, or the photo is gone.
        """
        image = load_image(photo)
        name = self._name(photo)
        for number, word in enumerate(caption.words, start=1):
            path = self.folder / f"{name}-{number:02d}-{_safe_word(word.text)}.jpg"
            overlay(image, word.alpha).save(path, quality=90)
        image.thumbnail((SHEET_PHOTO_SIDE, SHEET_PHOTO_SIDE), Image.Resampling.LANCZOS)
        attention_sheet(image, caption).savefig(self.folder / f"{name}-00-sheet.png", dpi=150)

    def _name(self, photo: str) -> str:
        stem = os.fsencode(Path(photo).stem)[:MAX_STEM_BYTES].decode(errors="ignore").lstrip(".")
        name, count = stem or "photo", 1
        while name.casefold() in self._taken:  # some file systems ignore case
            count += 1
            name = f"{stem or 'photo'}-{count}"
        self._taken.add(name.casefold())
        return name


def _run(arguments: Sequence[str] | None) -> int:
    parser = _build_parser()
    args = parser.parse_args(arguments)
    try:
        options = DecodingOptions(**{name: getattr(args, name) for name in OPTION_HELP})
        overlays = OverlayFolder(args.overlays) if args.overlays else None
    except (OSError, ValueError) as error:
        parser.error(str(error))
    try:
        model = load_model(args.checkpoint, args.device)
    except (OSError, ValueError) as error:
        _complain(str(error))
        return MISUSED
    if isinstance(sys.stdout, io.TextIOWrapper):  # paths go out as they came in, whatever they hold
        sys.stdout.reconfigure(errors="surrogateescape")
    photos = list(_expand(args.photos))
    alone = photos == args.photos and len(photos) == 1
    status = 0
    for photo, result in caption_photos(model, photos, options):
        if isinstance(result, Caption):
            print(_line(photo, result, args.format, alone), flush=True)
            error = _write_overlays(overlays, photo, result)
        else:
            error = result
        if error is not None:
            _complain(str(error) if photo in str(error) else f"{photo}: {error}")
            status = FAILED
    return status


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m captioner",
        description="Caption photos, and show where the model looked for each word.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="a photo, or a folder of photos")
    parser.add_argument(
        "--format", choices=("text", "jsonl"), default="text", help="default: %(default)s"
    )
    parser.add_argument(
        "--overlays",
        type=Path,
        metavar="DIR",
        help="write pictures of the attention to this folder",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="a folder that save_model wrote, or owner/name of a model on the Hugging Face Hub; "
        "default: the bundled",
    )
    parser.add_argument(
        "--device", type=_device, default="cpu", help="cpu, cuda, mps, ...; default: %(default)s"
    )
    decoding = parser.add_argument_group("decoding")
    for field in fields(DecodingOptions):
        decoding.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            metavar="N",
            help=f"{OPTION_HELP[field.name]}; default: %(default)s",
        )
    return parser


def _device(name: str) -> str:
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{name} cannot be used here: {reason}") from error
    return name


def _expand(arguments: Iterable[str]) -> Iterator[str]:
    """The photos, with those of a folder in order of their names; an empty folder stays."""
    for argument in arguments:
        inside = _photos_in(Path(argument))
        yield from (str(path) for path in inside) if inside else [argument]


def _photos_in(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:  # a photo, or a folder that reading it as a photo will complain of
        return []
    return [p for p in paths if p.is_file() and p.name.lower().endswith(PHOTO_SUFFIXES)]


def _encode(model: ImageCaptioningModel, photo: str) -> Features | OSError | ValueError:
    try:
        return model.encode(photo)
    except (OSError, ValueError) as error:
        return error


def _line(photo: str, caption: Caption, form: str, alone: bool) -> str:
    if form == "jsonl":
        return json.dumps({"photo": photo, **caption.to_json()})
    return str(caption) if alone else f"{photo}\t{caption}"


def _write_overlays(
    overlays: OverlayFolder | None, photo: str, caption: Caption
) -> OSError | ValueError | None:
    if overlays:
        try:
            overlays.write(photo, caption)
        except (OSError, ValueError) as error:
            return error
    return None


def _complain(message: str) -> None:
    print(f"captioner: {message}", file=sys.stderr)


def _safe_word(word: str) -> str:
    """A word as part of a file name: letters, digits and `_`; never `-`, which stands between."""
    return re.sub(r"\W+", "_", word)[:MAX_WORD_LETTERS]


if __name__ == "__main__":
    sys.exit(main())
