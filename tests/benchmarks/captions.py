"""From the file of a photo to its caption: ours, and the usual architectures of transformers.

Those are built from their configurations with random weights, which take as long as trained ones,
so nothing is fetched. All captions have the same number of tokens.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from captioner import DecodingOptions, ImageCaptioningModel
from tests.benchmarks.measuring import Setup, alternate, relative

WORDS = 16
OPTIONS = DecodingOptions(min_length=WORDS, max_length=WORDS)
"""Of our decoding, which force captions of so many words."""
PHOTOS = 3
"""How many different ones the rounds go through."""
ENCODER, OURS = "our encoder alone", "ours, beam 3"
INSTALL = "pip install -r tests/benchmarks/requirements.txt"

Contestant = Callable[[Path], object]


def captions(setup: Setup) -> Iterator[str]:
    """Compare whole captions."""
    model, photos = setup.model, setup.some(PHOTOS)
    tensors = {photo: model.preprocess(photo) for photo in photos}
    contestants: dict[str, Contestant] = {
        ENCODER: lambda photo: model.encode_tensors([tensors[photo]]),
        "ours, greedy": partial(model.generate_caption, options=OPTIONS, beam_size=1),
        OURS: partial(model.generate_caption, options=OPTIONS, beam_size=3),
        "ours, beam 5": partial(model.generate_caption, options=OPTIONS, beam_size=5),
    }
    if find_spec("transformers"):
        contestants |= {"ViT-GPT2, beam 4": vit_gpt2(), "BLIP-base, beam 3": blip_base()}
    else:
        yield f"ViT-GPT2 and BLIP are left out, transformers is missing: {INSTALL}\n"
    times = alternate(contestants, photos, setup.rounds)
    yield relative("photo file to caption", times, OURS, ENCODER)
    yield (
        f"Every caption has {WORDS} tokens. Ours is the whole object, with attention, alternatives "
        "and evidence of each word; the encoder alone is given a preprocessed photo. ViT-GPT2 has "
        "ViT-base at 224 pixels and scaled_dot_product_attention, BLIP-base 384 pixels and plain "
        "attention, as it has no other; both have float32, inference mode, a cache of keys and "
        "values, and torchvision's image processor.\n"
    )


def against(model: ImageCaptioningModel, other: ImageCaptioningModel, setup: Setup) -> str:
    """Compare two checkpoints of ours."""
    contestants = {"this checkpoint": model, "the other": other}
    runs = {
        name: partial(one.generate_caption, options=OPTIONS) for name, one in contestants.items()
    }
    times = alternate(runs, setup.some(PHOTOS), setup.rounds)
    return relative("photo file to caption, beam 3", times, "this checkpoint")


def vit_gpt2() -> Contestant:
    """As nlpconnect/vit-gpt2-image-captioning is configured."""
    import transformers as hub

    config = hub.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        hub.ViTConfig(), hub.GPT2Config()
    )
    start = {"decoder_start_token_id": 50256, "pad_token_id": 50256}
    model = hub.VisionEncoderDecoderModel._from_config(config, attn_implementation="sdpa")
    return _generator(model, hub.ViTImageProcessor(), num_beams=4, **start)


def blip_base() -> Contestant:
    """As Salesforce/blip-image-captioning-base is configured."""
    import transformers as hub

    model = hub.BlipForConditionalGeneration(hub.BlipConfig())  # has no other attention
    return _generator(model, hub.BlipImageProcessor(), num_beams=3)


def _generator(model: Any, processor: Any, **options: int) -> Contestant:
    model.eval()

    @torch.inference_mode()
    def caption(path: Path) -> object:
        pixels = processor(Image.open(path).convert("RGB"), return_tensors="pt").pixel_values
        return model.generate(
            pixel_values=pixels, min_new_tokens=WORDS, max_new_tokens=WORDS, **options
        )

    return caption
