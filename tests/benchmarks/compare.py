"""How fast this project is, beside others, beside its own floors, and as work grows.

    python -m tests.benchmarks.compare [--only NAME]

Prints Markdown tables, ratios first. Contestants take turns within each round, and every number is
a median over rounds: of a ratio, the median of the rounds' ratios.
"""

import argparse
import io
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image

from captioner import load_model
from tests.benchmarks.captions import against, captions
from tests.benchmarks.folder import folder
from tests.benchmarks.growth import growth
from tests.benchmarks.load import make_photo
from tests.benchmarks.measuring import Setup
from tests.benchmarks.parts import parts
from tests.benchmarks.starts import start

MADE, SIZE = 32, (500, 375)
"""Photos that are made where none are given, about as large as Flickr's."""
PACKAGES = ("torch", "torchvision", "timm", "pillow", "transformers", "gradio")
TRAIN_REQUIREMENTS = "train/requirements.txt"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print each table as it comes."""
    flags = parse(arguments)
    if flags.threads:
        torch.set_num_threads(flags.threads)
    with tempfile.TemporaryDirectory() as scratch:
        photos = photos_of(flags.photos) if flags.photos else make_photos(Path(scratch))
        setup = Setup(load_model(flags.checkpoint), photos, flags.rounds, Path(scratch))
        print(describe(setup, flags.photos), flush=True)
        if flags.against:
            print(against(setup.model, load_model(flags.against), setup))
            return
        for name in flags.only or SECTIONS:
            for text in SECTIONS[name](setup):
                print(text, flush=True)


def training(setup: Setup) -> Iterator[str]:
    """Compare training, which has packages of its own."""
    if not find_spec("accelerate"):
        yield f"Training is left out, its packages are missing: pip install -r {TRAIN_REQUIREMENTS}"
        return
    from tests.benchmarks.training import compare_epochs

    yield from compare_epochs(setup)


SECTIONS: dict[str, Callable[[Setup], Iterator[str]]] = {
    "captions": captions,
    "parts": parts,
    "folder": folder,
    "growth": growth,
    "start": start,
    "training": training,
}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", action="append", choices=SECTIONS, help="a section; may be given several times"
    )
    parser.add_argument("--photos", type=Path, help="folder of JPEG files; default: some are made")
    parser.add_argument("--checkpoint", help="default: the released one")
    parser.add_argument(
        "--against", metavar="CHECKPOINT", help="compare captions of this checkpoint, nothing else"
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--threads", type=int, help="of the processor; default: PyTorch's")
    return parser.parse_args(arguments)


def photos_of(folder: Path) -> list[Path]:
    """The JPEG files of a folder; exits if there are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    return found or sys.exit(f"no JPEG files in {folder}")


def make_photos(folder: Path) -> list[Path]:
    """Write photos to a folder."""
    paths = [folder / f"made{number}.jpg" for number in range(MADE)]
    for number, path in enumerate(paths):
        with Image.open(io.BytesIO(make_photo(number))) as photo:
            photo.resize(SIZE).save(path, quality=90)
    return paths


def describe(setup: Setup, folder: Path | None) -> str:
    """What was measured where."""
    with Image.open(setup.photos[0]) as photo:
        size = f"{photo.width} x {photo.height}"
    kilobytes = sum(path.stat().st_size for path in setup.photos) / len(setup.photos) / 1000
    source = f"JPEG files of {kilobytes:.0f} kB on average"
    photos = f"{source} from {folder}" if folder else f"made {source}, {size}"
    return (
        f"{torch.get_num_threads()} threads, {processor()}, Python {platform.python_version()}, "
        f"{', '.join(versions())}; {setup.rounds} rounds; {len(setup.photos)} {photos}.\n"
    )


def versions() -> Iterator[str]:
    """Of the packages that count here, where installed."""
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def processor() -> str:
    """What the processor calls itself."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
