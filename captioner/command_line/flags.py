"""Flags that every program of the package has: the checkpoint, and how to decode."""

import re
from dataclasses import fields
from typing import Any

from captioner.options import DecodingOptions

OPTION_HELP = {
    "beam_size": "hypotheses kept at each word; 1 is greedy search",
    "num_captions": "different captions wanted of a photo, best first",
    "diversity": "how much less likely, in nats, an earlier caption makes a word at the same "
    "place; above 0 gives each of several captions a beam of its own",
    "temperature": "above 0, draw words by chance in place of a beam search: 1 as likely as the "
    "model thinks, below 1 more of what is likely",
    "top_k": "draw only from so many of the likeliest words; 0 from all",
    "top_p": "draw only from the fewest likeliest words that together are so probable",
    "seed": "of what is drawn: the same seed draws the same captions",
    "max_length": "most words in a caption",
    "min_length": "fewest words in a caption",
    "length_penalty": "power of the length that log-probabilities are divided by; "
    "0 prefers short captions",
    "no_repeat_ngram": "no run of this many words may stand twice; 0 allows all",
    "banned_words": "words never to say, with commas or spaces between; may stand more than once",
    "prefix": "words that every caption begins with",
}


def add_checkpoint_flag(parser: Any) -> None:
    """Add --checkpoint, for `load_model`, to a parser or a group of it."""
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="a folder that save_model wrote, or owner/name of a model on the Hugging Face Hub; "
        "default: the released one, which comes with the program",
    )


def add_decoding_flags(parser: Any) -> None:
    """Add a flag for each field of DecodingOptions to a parser or a group of it."""
    for field in fields(DecodingOptions):
        flag, text = f"--{field.name.replace('_', '-')}", OPTION_HELP[field.name]
        if isinstance(field.default, tuple):
            parser.add_argument(
                flag, type=_words, action="extend", default=[], metavar="WORDS", help=text
            )
        else:
            parser.add_argument(
                flag,
                type=type(field.default),
                default=field.default,
                metavar="TEXT" if isinstance(field.default, str) else "N",
                help=f"{text}; default: {'none' if field.default == '' else field.default}",
            )


def take_options(values: dict[str, Any]) -> DecodingOptions:
    """Take what `add_decoding_flags` added out of the parsed values.

    Raises:
        ValueError: an option is out of range.
    """
    return DecodingOptions(
        **{field.name: values.pop(field.name) for field in fields(DecodingOptions)}
    )


def _words(text: str) -> list[str]:
    """The words between commas and spaces; a comma alone is a word too."""
    return re.split(r"[\s,]+", text.strip(" ,")) if text.strip(" ,") else text.split()
