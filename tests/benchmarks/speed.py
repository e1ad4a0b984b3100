"""How long each part of a caption takes, and what speeds it up, side by side in one run.

    python -m tests.benchmarks.speed

Rounds of all variants alternate, and the fastest round of each counts, so that other work on a
shared machine has little effect on the ratios.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from captioner import FeatureExtractor, load_model
from captioner.preprocessing import to_tensor


def fastest(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Milliseconds of each variant's fastest round."""
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(rounds + 1):  # the first round warms up
        for name, run in variants.items():
            started = time.perf_counter()
            run()
            best[name] = min(best[name], 1000 * (time.perf_counter() - started))
    return best


def show(title: str, times: dict[str, float]) -> None:
    """Print times, each with its ratio to the first."""
    print(title)
    first = next(iter(times.values()))
    for name, milliseconds in times.items():
        print(f"  {name:<42}{milliseconds:9.1f} ms  x {milliseconds / first:.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default=None)
    parser.add_argument("--against", help="another checkpoint, to compare whole captions with")
    parser.add_argument("--rounds", type=int, default=10)
    flags = parser.parse_args()
    model = load_model(flags.checkpoint)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (16, 16, 3), np.uint8)
    photo = Image.fromarray(pixels).resize((1200, 900), Image.Resampling.BICUBIC)
    tensor = to_tensor(photo, model.config.preprocess).unsqueeze(0)
    resnet = FeatureExtractor("resnet50", "random")
    features = model.encode(photo)
    photos, several = [photo] * 8, [features] * 8

    def encode_with(encoder: FeatureExtractor) -> None:
        with torch.inference_mode():
            encoder(tensor)

    if flags.against is not None:
        other = load_model(flags.against)
        show(
            "photo in memory to caption, beam 3",
            fastest(
                {
                    flags.against: lambda: other.generate_caption(photo),
                    "this checkpoint": lambda: model.generate_caption(photo),
                },
                flags.rounds,
            ),
        )
    show(
        "encoder, one photo",
        fastest(
            {
                model.config.encoder: lambda: encode_with(model.encoder),
                "resnet50": lambda: encode_with(resnet),
            },
            flags.rounds,
        ),
    )
    show(
        "encoder, 8 photos in memory",
        fastest(
            {
                "one batch": lambda: model.encode_batch(photos),
                "one by one": lambda: [model.encode(photo) for photo in photos],
            },
            flags.rounds,
        ),
    )
    show(
        "decoder, one encoded photo",
        fastest(
            {
                "greedy": lambda: model.generate_caption(features, beam_size=1),
                "beam 3": lambda: model.generate_caption(features, beam_size=3),
                "beam 5": lambda: model.generate_caption(features, beam_size=5),
            },
            flags.rounds,
        ),
    )
    show(
        "decoder, 8 encoded photos, beam 3",
        fastest(
            {
                "one batch": lambda: model.generate_captions(several, beam_size=3),
                "one by one": lambda: [model.generate_caption(f, beam_size=3) for f in several],
            },
            flags.rounds,
        ),
    )
    show(
        "a 1200 x 900 photo in memory",
        fastest(
            {
                "prepare, encode and caption (beam 3)": lambda: model.generate_caption(photo),
                "of which preparing": lambda: to_tensor(photo, model.config.preprocess),
            },
            flags.rounds,
        ),
    )


if __name__ == "__main__":
    main()
