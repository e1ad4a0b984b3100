"""The flags of the command line, their help, and the settings they stand for. Reads no file."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

from captioner.batches import BATCH_SIZE, BATCH_SIZE_ON_GPU
from captioner.cli.formats import FORMATS, Format, JsonLines, Text
from captioner.cli.photos import is_one_photo
from captioner.cli.pictures import SHEET_FORMATS, Pictures
from captioner.options import DecodingOptions

MAX_BATCH_SIZE = 4096
STANDARD_OUTPUT = "-"
"""The output file that stands for standard output."""

FORMAT_OF_SUFFIX = {".jsonl": "jsonl", ".csv": "csv"}
"""The format of an output file by the end of its name."""

OPTION_HELP = {
    "beam_size": "hypotheses kept at each word; 1 is greedy search",
    "num_captions": "different captions of each photo, best first",
    "diversity": "penalty, in nats, on a word that an earlier caption has at the same place; "
    "above 0, each of several captions has a beam of its own",
    "temperature": "above 0, sample words instead of searching: 1 follows the model's "
    "probabilities, values below 1 favour likely words",
    "top_k": "sample only from this many of the most likely words; 0 for all",
    "top_p": "sample only from the smallest set of likely words with this total probability",
    "seed": "of sampling; the same seed gives the same captions",
    "max_length": "maximum number of words in a caption",
    "min_length": "minimum number of words in a caption",
    "length_penalty": "power of the length by which log-probabilities are divided; "
    "0 favours short captions",
    "no_repeat_ngram": "no sequence of this many words occurs twice; 0 turns this off",
    "banned_words": "words never to use, separated by commas or spaces, with _ for a space inside "
    "a word, as in coffee_pot; may be repeated",
    "prefix": "words that every caption begins with",
}

DESCRIPTION = "Caption photos, and show where the model looked for each word."
EPILOG = """
photos:
  A folder stands for the photos in it and in the folders below, except hidden folders and links
  to folders. - reads paths from standard input, one a line, as they come. Captions are written in
  the order of the photos; a photo that is named twice is captioned twice. Messages go to stderr.

formats:
  text    the caption alone for one photo; otherwise one line a caption: the photo's path, a tab,
          the caption. --caption adds two lines: your caption with the probability of each word,
          and the perplexity of your caption and of the model's. A model that gives more adds, in
          parentheses, which share of the probability was recognized on the photo and what the
          probability would be blind, without the photo; and a line with the photo's familiarity
  jsonl   one JSON object a caption, one a line: photo, rank with several --num-captions, score,
          perplexity, familiarity, and for each word its probability, the recognized share of it,
          the blind probability, the entropy, the probability of an end there, alternatives and
          attention; see caption.schema.json in the package. With --caption, the first object of
          each photo has yours in the same form as "scored". Safe for any path
  csv     one row a caption: photo, rank from 1, caption, score, perplexity, words as
          word:probability separated by spaces, with _ for a space inside a word, and familiarity.
          --caption adds one row, with rank 0, and the column unknown_words. UTF-8, safe for any
          path. A cell that a spreadsheet would take for a formula gets an apostrophe in front or,
          if it is a path, ./

output file:
  --output writes each photo once it is finished, so a run may be killed at any time. --resume
  continues a JSON Lines file with the same options: finished photos are skipped, failed ones are
  tried again, and an incomplete last line is replaced.

pictures:
  For photo.jpg, --overlays writes photo-01-dogs.jpg, photo-02-run.jpg, ..., one for each word, at
  the photo's size, and photo-00-sheet.png with all of them; --sheet writes photo-sheet.png alone;
  --gif writes photo-words.gif. With --caption they show your caption. Another photo of the same
  name in one run becomes photo-2-...; a later run replaces the files of an earlier one.

Ray:
  --ray-workers captions on a Ray cluster, for millions of photos. --output is then a folder, which
  gets Parquet files of up to 256 rows, one row a photo, in no particular order:
  photo          its path
  caption        the best one
  score, perplexity, words, probabilities (of each word)
  recognized     for each word the share of its probability that was read off the photo
  blind          for each word its probability without the photo; null if the model gives none
  entropy        for each word the entropy of the model's distribution there, in nats
  ending         for each word the probability that the caption ends there, in place of the word
  familiarity    how like the training photos the photo is, 0 to 1; null if the model gives none
  alphas, grid   for each word its attention on rows x columns regions, row by row, and the
                 numbers of rows and columns
  error          why there is no caption; all other columns but photo are then null
  A file appears when it is complete. --resume skips the photos that the folder already holds.
  Without --ray-address and RAY_ADDRESS, a cluster is started on this machine for this run alone;
  in a job (ray job submit) the job's cluster is used. Every machine of a cluster needs captioner,
  and must find the photos and the checkpoint under the same paths; only the process started here
  writes the output. RAY_USAGE_STATS_ENABLED is 0 unless it is set.

exit status:
  0    every photo was captioned
  1    a photo could not be read, or its pictures not written, and the others were captioned; or
       the output could not be written, and the run stopped
  2    wrong usage, no usable checkpoint, no Ray, or an output file that must not be written to
  130  interrupted with Ctrl-C
  141  the reader of the output went away

examples:
  %(prog)s dogs.jpg
  %(prog)s dogs.jpg --num-captions 3 --diversity 1
  %(prog)s dogs.jpg --caption "two dogs in the snow"
  %(prog)s dogs.jpg --beam-size 5 --overlays out/
  %(prog)s holiday/ --output captions.jsonl --resume
  find . -name "*.jpg" | %(prog)s - --format csv > captions.csv
  %(prog)s photos/ --output captions/ --ray-workers 4 --num-gpus 1
  ray job submit -- %(prog)s /data/photos --output /data/captions --ray-workers 64
"""


@dataclass(frozen=True)
class Settings:
    """What a run shall do."""

    photos: list[str]
    format: str | None
    output: Path | None
    resume: bool
    overwrite: bool
    caption: str | None
    overlays: Path | None
    gif: Path | None
    sheet: Path | None
    sheet_format: str | None
    checkpoint: str | None
    device: str
    batch_size: int | None
    ray_workers: int | None
    ray_address: str | None
    num_gpus: float | None
    options: DecodingOptions

    @property
    def alone(self) -> bool:
        """Whether one photo's captions are written without its path."""
        return self.output is None and is_one_photo(self.photos)

    @property
    def photos_together(self) -> int:
        """The size of a batch."""
        on_gpu = self.num_gpus if self.ray_workers else self.device != "cpu"
        return self.batch_size or (BATCH_SIZE_ON_GPU if on_gpu else BATCH_SIZE)

    def build_format(self) -> Format:
        """How answers are written."""
        suffix = self.output.suffix.lower() if self.output else ""
        name = self.format or FORMAT_OF_SUFFIX.get(suffix, "text")
        with_own_caption = self.caption is not None
        if name == "text":
            return Text(self.options.num_captions, with_own_caption, self.alone)
        return FORMATS[name](self.options.num_captions, with_own_caption)

    def build_pictures(self) -> Pictures:
        """Which pictures are written; their folders are not made yet."""
        return Pictures(self.overlays, self.sheet, self.gif, self.sheet_format or SHEET_FORMATS[0])


def parse_arguments(arguments: Sequence[str] | None) -> Settings:
    """Read the command line; on wrong usage, and for --help, end the process with 2 or 0."""
    parser = build_parser()
    values = vars(parser.parse_intermixed_args(arguments))
    try:
        options = {field.name: values.pop(field.name) for field in fields(DecodingOptions)}
        settings = Settings(options=DecodingOptions(**options), **values)
        _check(settings)
    except ValueError as error:
        parser.error(str(error))
    return settings


def build_parser() -> argparse.ArgumentParser:
    """All flags; those of decoding after the fields of DecodingOptions."""
    parser = argparse.ArgumentParser(
        prog="python -m captioner" if Path(sys.argv[0]).name == "__main__.py" else "captioner",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="a photo, a folder of photos, or - for paths on standard input",
    )
    parser.add_argument("--caption", metavar="TEXT", help="also score this caption for each photo")
    _add_output_flags(parser.add_argument_group("output"))
    _add_picture_flags(parser.add_argument_group("pictures"))
    _add_model_flags(parser.add_argument_group("model"))
    _add_ray_flags(parser.add_argument_group("Ray"))
    _add_decoding_flags(parser.add_argument_group("decoding"))
    return parser


def _add_output_flags(group: Any) -> None:
    group.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="default: by the suffix of the output file, otherwise text",
    )
    group.add_argument(
        "--output", type=_output_path, metavar="FILE", help="default: - for standard output"
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="continue an output file (JSON Lines) or Ray's folder"
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="replace an output file that exists"
    )


def _add_picture_flags(group: Any) -> None:
    for flag, what in (
        ("--overlays", "a picture of the attention for each word, and a sheet of them all,"),
        ("--sheet", "a sheet with the attention of all words"),
        ("--gif", "an animation that steps through the words"),
    ):
        group.add_argument(
            flag, type=Path, metavar="DIR", help=f"write {what} of each photo to this folder"
        )
    group.add_argument(
        "--sheet-format",
        choices=SHEET_FORMATS,
        help=f"of the sheets of --sheet and --overlays; default: {SHEET_FORMATS[0]}",
    )


def _add_model_flags(group: Any) -> None:
    group.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="a folder that save_model wrote, or owner/name of a model on the Hugging Face Hub; "
        "default: the released one, which is part of the package",
    )
    group.add_argument(
        "--device", type=_device, default="cpu", help="cpu, cuda, mps, ...; default: %(default)s"
    )
    group.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="photos captioned together, and written when all of them are done; "
        f"default: {BATCH_SIZE}, on a GPU {BATCH_SIZE_ON_GPU}",
    )


def _add_ray_flags(group: Any) -> None:
    group.add_argument(
        "--ray-workers",
        type=int,
        metavar="N",
        help="caption on a Ray cluster with this many workers, each with its own model",
    )
    group.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="auto, host:port, or local to start a cluster on this machine; "
        "default: RAY_ADDRESS, otherwise local",
    )
    group.add_argument(
        "--num-gpus",
        type=float,
        metavar="N",
        help="GPUs of each worker, 0.5 to share one between two; default: none, a CPU each",
    )


def _add_decoding_flags(group: Any) -> None:
    for field in fields(DecodingOptions):
        flag, text = f"--{field.name.replace('_', '-')}", OPTION_HELP[field.name]
        if isinstance(field.default, tuple):
            group.add_argument(
                flag, type=_words, action="extend", default=[], metavar="WORDS", help=text
            )
        else:
            group.add_argument(
                flag,
                type=type(field.default),
                default=field.default,
                metavar="TEXT" if isinstance(field.default, str) else "N",
                help=f"{text}; default: {'none' if field.default == '' else field.default}",
            )


def _check(settings: Settings) -> None:
    """Refuse values out of range, and flags that would have no effect.

    Raises:
        ValueError: which, and why.
    """
    if settings.batch_size is not None and not 1 <= settings.batch_size <= MAX_BATCH_SIZE:
        raise ValueError(
            f"--batch-size must be from 1 to {MAX_BATCH_SIZE}, got {settings.batch_size}"
        )
    if settings.output is None and (settings.resume or settings.overwrite):
        raise ValueError("--resume and --overwrite are for an output file: name it with --output")
    if settings.sheet_format and not (settings.sheet or settings.overlays):
        raise ValueError("--sheet-format is for the sheets of --sheet or --overlays: name a folder")
    options = settings.options
    if options.diversity and (options.num_captions == 1 or options.temperature):
        raise ValueError("--diversity is for several captions of a beam search: set --num-captions")
    if settings.ray_workers is not None:
        _check_ray(settings, settings.ray_workers)
        return
    if settings.ray_address is not None or settings.num_gpus is not None:
        raise ValueError("--ray-address and --num-gpus are for a Ray cluster: set --ray-workers")
    if settings.resume and not isinstance(settings.build_format(), JsonLines):
        raise ValueError(
            "--resume is for JSON Lines: name the output file .jsonl, or set --format jsonl"
        )


def _check_ray(settings: Settings, workers: int) -> None:
    if workers < 1:
        raise ValueError(f"--ray-workers must be at least 1, got {workers}")
    if settings.num_gpus is not None and not 0 <= settings.num_gpus < float("inf"):
        raise ValueError(f"--num-gpus must be at least 0, got {settings.num_gpus:g}")
    if settings.output is None:
        raise ValueError("--ray-workers writes Parquet files: name a folder with --output")
    without_effect = {
        "--caption": settings.caption is not None,
        "--format": settings.format,
        "--overwrite": settings.overwrite,
        "--overlays": settings.overlays,
        "--sheet": settings.sheet,
        "--gif": settings.gif,
        "--num-captions": settings.options.num_captions > 1,
    }
    for flag, given in without_effect.items():
        if given:
            raise ValueError(f"{flag} cannot be used with --ray-workers")
    if settings.device != "cpu":
        raise ValueError("--device cannot be used with --ray-workers: set --num-gpus")


def _output_path(name: str) -> Path | None:
    return None if name == STANDARD_OUTPUT else Path(name)


def _words(text: str) -> list[str]:
    """The words between commas and spaces; a comma alone is a word too.

    Inside a word, `_` stands for a space.
    """
    words = re.split(r"[\s,]+", text.strip(" ,")) if text.strip(" ,") else text.split()
    return [re.sub(r"(?<=[^_])_(?=[^_])", " ", word) for word in words]


def _device(name: str) -> str:
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{name} cannot be used here: {reason}") from error
    return name
