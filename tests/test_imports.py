"""What importing the library brings in, and what it says: little, and nothing."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from captioner.startup import rare_collections

ROOT = Path(__file__).parent.parent
OPTIONAL = {"captioner.page"}
"""Needs the app's requirements; the app's own tests import it."""

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "captioner").rglob("*.py")
    if not any(".".join(path.relative_to(ROOT).parts).startswith(name) for name in OPTIONAL)
)


def run_python(code: str) -> tuple[str, str]:
    """Standard output and error of a fresh interpreter whose warnings are errors."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout, finished.stderr


def test_every_module_imports_without_the_app_the_trainer_pyplot_or_ray_and_says_nothing() -> None:
    assert len(MODULES) >= 10
    code = f"""
import importlib, sys
for name in {MODULES!r}:
    importlib.import_module(name)
unwanted = ("gradio", "matplotlib.pyplot", "ray", "pyarrow", "train", "app", "captioner.page")
found = [name for name in unwanted if name in sys.modules]
assert not found, found
"""
    assert run_python(code) == ("", "")


def test_building_and_using_a_model_prints_nothing_and_starts_no_pyplot() -> None:
    code = """
import sys
import numpy as np
import captioner
vocabulary = captioner.Vocabulary(["dog", "runs"])
encoder = captioner.FeatureExtractor("test_resnet", "random")
model = captioner.ImageCaptioningModel(captioner.ModelConfig("test_resnet"), vocabulary, encoder)
photo = np.zeros((64, 64, 3), np.uint8)
model.eval().visualize_attention(photo, model.generate_caption(photo))
assert "matplotlib.pyplot" not in sys.modules
"""
    assert run_python(code) == ("", "")


@pytest.mark.parametrize("name", ["captioner"])
def test_all_public_names_exist_and_are_described(name: str) -> None:
    module = __import__(name)
    assert module.__all__ == sorted(module.__all__)
    for public in module.__all__:
        assert getattr(module, public).__doc__, public


def test_a_process_that_reads_photos_imports_no_torch() -> None:
    """It starts in a fraction of a second, then, and takes little memory."""
    code = """
import sys
import captioner.images, captioner.photo_reader, captioner.photo_worker
found = {"torch", "torchvision", "timm"} & sys.modules.keys()
assert not found, found
assert captioner.load_image is captioner.images.load_image
"""
    assert run_python(code) == ("", "")


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import captioner", {"numpy", "PIL", "torch"}),
        ("import captioner.checkpoint", {"gradio", "matplotlib", "nltk", "pandas"}),
        ("import captioner; captioner.load_model()", {"timm", "torchvision", "torch._dynamo"}),
        ("import app; app.parse_args([])", {"gradio", "torch"}),
        ("import captioner.page.demo", {"torch", "timm", "matplotlib", "nltk"}),
    ],
)
def test_what_takes_long_to_import_is_not_imported_before_it_is_needed(
    code: str, unwanted: set[str]
) -> None:
    """The page is served before torch is imported, and usage errors come before either."""
    checked = (
        f"import sys; {code}; found = {unwanted!r} & sys.modules.keys(); assert not found, found"
    )
    finished = subprocess.run(
        [sys.executable, "-c", checked], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_collections_are_rare_for_a_while_and_then_as_before() -> None:
    before = gc.get_threshold()
    with rare_collections():
        assert gc.get_threshold()[0] > before[0]
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_public_names_are_found_on_first_use_and_others_are_not() -> None:
    code = """
import captioner
assert set(captioner.__all__) <= set(dir(captioner))
from captioner import Caption, load_model
assert captioner.load_model is load_model is captioner.checkpoint.load_model
assert captioner.Caption is Caption
try:
    captioner.load_modle
except AttributeError as error:
    assert str(error) == "module 'captioner' has no attribute 'load_modle'", error
else:
    raise AssertionError
"""
    assert run_python(code) == ("", "")


def test_threads_share_one_heap() -> None:
    code = """
import ctypes, threading
from pathlib import Path
from captioner.startup import share_one_heap
share_one_heap()
libc, found = ctypes.CDLL(None), []
libc.malloc.restype = ctypes.c_void_p
thread = threading.Thread(target=lambda: found.append(libc.malloc(1000)))
thread.start()
thread.join()
lines = Path("/proc/self/maps").read_text().splitlines()
(heap,) = (line.split()[0].split("-") for line in lines if line.endswith("[heap]"))
assert int(heap[0], 16) <= found[0] < int(heap[1], 16), (heap, found)
"""
    assert run_python(code) == ("", "")


def test_memory_that_was_freed_is_returned_to_the_system() -> None:
    code = """
from captioner.startup import return_freed_memory
import psutil
process = psutil.Process()
last = [bytes(2000) for _ in range(100_000)][-1]  # which keeps those before from being returned
before = process.memory_info().rss
return_freed_memory()
assert process.memory_info().rss < before - 100_000_000
"""
    assert run_python(code) == ("", "")
