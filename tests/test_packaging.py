"""What `pip install .` installs: every module, the released checkpoint, and a command."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from captioner.checkpoint import CHECKPOINT_FILES

ROOT = Path(__file__).parent.parent
PACKAGES = ("captioner", "train")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of what it is made from, so that nothing is left in the repository."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyi")
    for name in (*PACKAGES, "checkpoints"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "requirements.txt", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "tests", copy / "tests", ignore=shutil.ignore_patterns("*.py"))
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    (path,) = out.iterdir()
    return path


def test_a_wheel_holds_every_module_and_file_that_the_program_reads(wheel: Path) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.suffix in (".py", ".html", ".css", ".js", ".json")
        or path.name == "py.typed"
        or path.name.endswith("requirements.txt")
    }
    assert {"captioner/py.typed", "captioner/caption.schema.json"} <= wanted
    wanted |= {
        f"captioner/released/{name}" for name in (*CHECKPOINT_FILES, "README.md", "val.json")
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == wanted


def test_an_installed_package_captions_with_the_released_checkpoint(
    wheel: Path, tmp_path: Path
) -> None:
    """Where there is no clone of the repository, by the command's own entry point."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        (entry,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "captioner = captioner.__main__:main" in archive.read(entry).decode()
    matplotlib = find_spec("matplotlib")
    assert matplotlib is not None
    assert matplotlib.origin is not None
    photo = Path(matplotlib.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"
    code = "import sys; from captioner.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(photo)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "hat" in done.stdout


def test_every_package_is_named_where_wheels_are_built() -> None:
    """Found ones would not hold the checkpoint, which lies outside: so they are named."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = settings["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for name in PACKAGES
        for path in (ROOT / name).rglob("__init__.py")
    }
    assert set(named) == found | {"captioner.released"}
