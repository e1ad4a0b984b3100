"""The flags of the command line, their help, and what they come to. Reads no file."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from captioner.command_line.flags import add_checkpoint_flag, add_decoding_flags, take_options
from captioner.command_line.formats import FORMATS, Format, Text
from captioner.command_line.listing import is_one_photo
from captioner.command_line.manual import DESCRIPTION, EPILOG
from captioner.command_line.pictures import SHEET_FORMATS, Pictures
from captioner.options import DecodingOptions

BATCH_SIZE = 8
"""Photos decoded together; few, so that memory stays small however many there are."""
MAX_BATCH_SIZE = 4096
STANDARD_OUTPUT = "-"
"""The output file that stands for standard output."""

FORMAT_OF_SUFFIX = {".jsonl": "jsonl", ".csv": "csv"}
"""What --output's name says of the format."""


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
    batch_size: int
    options: DecodingOptions

    @property
    def alone(self) -> bool:
        """Whether one photo's captions are written without its path."""
        return self.output is None and is_one_photo(self.photos)

    def build_format(self) -> Format:
        """How answers are written."""
        suffix = self.output.suffix.lower() if self.output else ""
        name = self.format or FORMAT_OF_SUFFIX.get(suffix, "text")
        scores = self.caption is not None
        if name == "text":
            return Text(self.options.num_captions, scores, self.alone)
        return FORMATS[name](self.options.num_captions, scores)

    def build_pictures(self) -> Pictures:
        """Which pictures are written; their folders are not made yet."""
        return Pictures(self.overlays, self.sheet, self.gif, self.sheet_format or SHEET_FORMATS[0])


def parse_arguments(arguments: Sequence[str] | None) -> Settings:
    """Read the command line; on wrong usage, and for --help, end the process with 2 or 0."""
    parser = build_parser()
    values = vars(parser.parse_intermixed_args(arguments))
    try:
        settings = Settings(options=take_options(values), **values)
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
    parser.add_argument(
        "--caption", metavar="TEXT", help="also score your own words for each photo"
    )
    _add_output_flags(parser.add_argument_group("output"))
    _add_picture_flags(parser.add_argument_group("pictures"))
    _add_model_flags(parser.add_argument_group("model"))
    add_decoding_flags(parser.add_argument_group("decoding"))
    return parser


def _add_output_flags(group: Any) -> None:
    group.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help="default: what the name of the output file ends in, or else text",
    )
    group.add_argument(
        "--output", type=_output_path, metavar="FILE", help="default: - for standard output"
    )
    existing = group.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="go on with the output file, where there is one"
    )
    existing.add_argument(
        "--overwrite", action="store_true", help="begin an output file that exists anew"
    )


def _add_picture_flags(group: Any) -> None:
    for flag, what in (
        ("--overlays", "one picture of the attention for each word, and a sheet of them all,"),
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
    add_checkpoint_flag(group)
    group.add_argument(
        "--device", type=_device, default="cpu", help="cpu, cuda, mps, ...; default: %(default)s"
    )
    group.add_argument(
        "--batch-size",
        type=int,
        default=BATCH_SIZE,
        metavar="N",
        help="photos decoded together, and taken from standard input before the first of them "
        "is; default: %(default)s",
    )


def _check(settings: Settings) -> None:
    """Refuse values out of range, and flags that would do nothing.

    Raises:
        ValueError: which, and why.
    """
    if not 1 <= settings.batch_size <= MAX_BATCH_SIZE:
        raise ValueError(
            f"batch_size must be from 1 to {MAX_BATCH_SIZE}, got {settings.batch_size}"
        )
    if settings.output is None and (settings.resume or settings.overwrite):
        raise ValueError("--resume and --overwrite are for an output file: name it with --output")
    if settings.sheet_format and not (settings.sheet or settings.overlays):
        raise ValueError("--sheet-format is for the sheets of --sheet or --overlays: name a folder")
    options = settings.options
    if options.diversity and (options.num_captions == 1 or options.temperature):
        raise ValueError("--diversity is for several captions of a beam search: set --num-captions")


def _output_path(name: str) -> Path | None:
    return None if name == STANDARD_OUTPUT else Path(name)


def _device(name: str) -> str:
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise argparse.ArgumentTypeError(f"{name} cannot be used here: {reason}") from error
    return name
