"""How the time of captions grows with photos, beam, length, vocabulary and regions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from captioner import Features, ImageCaptioningModel, ModelConfig, Vocabulary, load_image
from captioner.vocabulary import SPECIALS
from tests.benchmarks.captions import OPTIONS, PHOTOS, WORDS
from tests.benchmarks.folder import caption_folder
from tests.benchmarks.measuring import Setup, T, alternate, milliseconds, ratio, table

NUMBERS = (1, 4, 16, 64)
BEAMS = (1, 2, 3, 5, 10)
LENGTHS = (5, 10, 20, 40)
VOCABULARIES = (1_000, 5_000, 20_000, 50_000)
IMAGE_SIZES = (128, 256, 384, 512)


def growth(setup: Setup) -> Iterator[str]:
    """One table for each quantity."""
    model = setup.model
    images = [load_image(path) for path in setup.some(PHOTOS)]
    features = [model.encode(image) for image in images]
    several = setup.some(max(NUMBERS))
    numbers = {str(n): lambda _, n=n: caption_folder(model, several[:n]) for n in NUMBERS}
    yield _grow("photos, from files, beam 3", numbers, images, min(setup.rounds, 3))
    beams = {str(n): partial(model.generate_caption, options=OPTIONS, beam_size=n) for n in BEAMS}
    yield _grow(f"beam, {WORDS} words, encoded photo", beams, features, setup.rounds)
    lengths = {str(n): partial(model.generate_caption, min_length=n, max_length=n) for n in LENGTHS}
    yield _grow("words, beam 3, encoded photo", lengths, features, setup.rounds)
    vocabularies = {f"{n:,}": _with_vocabulary(model, n) for n in VOCABULARIES}
    yield _grow("vocabulary, beam 3, 16 words, encoded photo", vocabularies, features, setup.rounds)
    sizes = {str((n // 32) ** 2): _with_image_size(model, n) for n in IMAGE_SIZES}
    title = f"regions, of photos in memory at {', '.join(map(str, IMAGE_SIZES))} pixels, beam 3"
    yield _grow(title, sizes, images, setup.rounds)


def _grow(
    title: str, runs: Mapping[str, Callable[[T], object]], inputs: Sequence[T], rounds: int
) -> str:
    """A table of times, the least quantity's being 1."""
    times = alternate(runs, inputs, rounds)
    least = times[next(iter(times))]
    rows = ((name, f"{ratio(own, least):.2f}", milliseconds(own)) for name, own in times.items())
    return table((title, "time", "ms"), rows)


def _with_vocabulary(model: ImageCaptioningModel, size: int) -> Callable[[Features], object]:
    words = [f"word{number}" for number in range(size)]
    other, width = _untrained(model, model.config, words), model.encoder.feature_size

    def caption(photo: Features) -> object:
        regions = Features(photo.regions[:, :width], photo.grid)  # without the recognizer's
        return other.generate_caption(regions, OPTIONS)

    return caption


def _with_image_size(model: ImageCaptioningModel, size: int) -> Callable[..., object]:
    config = replace(model.config, preprocess=replace(model.config.preprocess, image_size=size))
    words = model.vocabulary.words[len(SPECIALS) :]
    return partial(_untrained(model, config, words).generate_caption, options=OPTIONS)


def _untrained(
    model: ImageCaptioningModel, config: ModelConfig, words: Sequence[str]
) -> ImageCaptioningModel:
    """The model with another decoder, which knows neither class nouns nor training photos."""
    config = replace(config, recognizer_stages=0, photo_components=0)
    return ImageCaptioningModel(config, Vocabulary(words), model.encoder).eval()
