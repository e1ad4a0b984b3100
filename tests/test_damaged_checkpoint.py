"""A checkpoint damaged at random: it still captions, or it is refused; nothing else happens."""

import copy
import json
import math
import resource
import shutil
import struct
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from captioner import Caption, ModelConfig, PreprocessConfig, Vocabulary, load_model, save_model
from captioner.checkpoint_files import CONFIG_FILE, VOCABULARY_FILE, WEIGHTS_FILE, CheckpointError
from tests.tiny_models import build_model

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 40),
    st.integers(),
    st.sampled_from([10**30, 2**63, 1024, 8192, 65_536]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["hf-hub:a/b", "local-dir:/", "/", "test_vit", "test_efficientnet.r160_in1k"]),
    st.lists(st.floats(), max_size=4),
    st.lists(st.floats(width=16) | st.booleans(), min_size=3, max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
"""What stands in the place of a value in JSON."""

NAN, INFINITY, MINUS_INFINITY, HUGE = (
    struct.pack("<f", number) for number in (math.nan, math.inf, -math.inf, 3e38)
)
Damage = Callable[[Path], object]

EXAMPLES = 100
MAX_BYTES = 200_000_000
"""That memory may grow by, which is mostly what torch allocates once."""


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of JSON data are, those inside others too."""
    items = (
        data.items()
        if isinstance(data, dict)
        else enumerate(data if isinstance(data, list) else ())
    )
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


def put(data: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    data = copy.copy(data)
    data[place[0]] = put(data[place[0]], place[1:], value)
    return data


@st.composite
def changed_json(draw: st.DrawFn, name: str, data: Any) -> Damage:
    """One to three values of a JSON file replaced."""
    for _ in range(draw(st.integers(1, 3))):
        data = put(data, draw(st.sampled_from(places(data))), draw(VALUES))
    text = json.dumps(data)
    return lambda folder: (folder / name).write_text(text)


@st.composite
def changed_bytes(draw: st.DrawFn, name: str, content: bytes, end: int) -> Damage:
    """A piece of up to eight bytes before `end` replaced by others, more or fewer."""
    start = draw(st.integers(0, end - 1))
    cut = draw(st.integers(0, 8))
    fill = draw(
        st.one_of(
            st.just(b"\xff" * cut), st.binary(min_size=cut, max_size=cut), st.binary(max_size=8)
        )
    )
    return lambda folder: (folder / name).write_bytes(
        content[:start] + fill + content[start + cut :]
    )


@st.composite
def changed_header(draw: st.DrawFn, content: bytes) -> Damage:
    """One to three values of the weights' header replaced, its stated length the new one."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    for _ in range(draw(st.integers(1, 3))):
        header = put(header, draw(st.sampled_from(places(header))), draw(VALUES))
    text = json.dumps(header).encode()
    changed = struct.pack("<Q", len(text)) + text + content[end:]
    return lambda folder: (folder / WEIGHTS_FILE).write_bytes(changed)


@st.composite
def changed_numbers(draw: st.DrawFn, content: bytes) -> Damage:
    """One to four places of the weights' numbers overwritten, perhaps with none or an infinite."""
    changed = bytearray(content)
    begin = 8 + int.from_bytes(content[:8], "little")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(begin // 4, len(content) // 4 - 1)) * 4
        fill = draw(st.sampled_from([NAN, INFINITY, MINUS_INFINITY, HUGE]) | st.binary(max_size=4))
        changed[place : place + len(fill)] = fill
    return lambda folder: (folder / WEIGHTS_FILE).write_bytes(changed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint of a tiny model."""
    torch.manual_seed(0)
    config = ModelConfig("test_resnet", 8, 8, 8, 8, preprocess=PreprocessConfig(image_size=64))
    folder = tmp_path_factory.mktemp("whole") / "checkpoint"
    save_model(build_model(config, Vocabulary(["dog", "cat", "runs", "sleeps"])), folder)
    return folder


@pytest.fixture(scope="module")
def damages(whole: Path) -> st.SearchStrategy[Damage]:
    """All kinds of damage to it."""
    contents = {path.name: path.read_bytes() for path in whole.iterdir()}
    weights = contents[WEIGHTS_FILE]
    header = 8 + int.from_bytes(weights[:8], "little")
    ends = {name: len(content) for name, content in contents.items()} | {WEIGHTS_FILE: header}
    return st.one_of(
        *(
            changed_json(name, json.loads(contents[name]))
            for name in (CONFIG_FILE, VOCABULARY_FILE)
        ),
        *(changed_bytes(name, contents[name], end) for name, end in ends.items()),
        changed_header(weights),
        changed_numbers(weights),
    )


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def outcome(folder: Path, photo: Image.Image) -> str:
    """Load a checkpoint; "captions", or why it is refused."""
    try:
        model = load_model(folder)
    except CheckpointError as error:
        refused = error
    else:
        check_caption(model.generate_caption(photo))
        return "captions"
    assert len(str(refused).encode()) < 1000
    return refused.code


def check_caption(caption: Caption) -> None:
    """Its numbers are probabilities, and it can be written down."""
    for word in caption.words:
        assert 0 <= word.probability <= 1
        assert all(0 <= probability <= 1 for _, probability in word.alternatives)
        assert math.isclose(word.alpha.sum(), 1, abs_tol=1e-3)
    json.dumps(caption.to_json(), allow_nan=False).encode()


@pytest.mark.slow
def test_a_damaged_checkpoint_captions_or_is_refused(
    whole: Path, damages: st.SearchStrategy[Damage], photos: list[Image.Image]
) -> None:
    counts: Counter[str] = Counter()
    before = peak_bytes()

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
    @given(damages)
    def check(damage: Damage) -> None:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(shutil.copytree(whole, place, dirs_exist_ok=True))
            damage(folder)
            counts[outcome(folder, photos[0])] += 1

    check()
    assert counts.keys() > {"captions", "config", "json", "weights"}, counts
    assert peak_bytes() - before < MAX_BYTES
