"""What importing the library brings in, and what it says: little, and nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OPTIONAL = {"captioner.ui"}
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
unwanted = ("gradio", "matplotlib.pyplot", "ray", "pyarrow", "train", "app", "captioner.ui")
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
