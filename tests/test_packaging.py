"""What `pip install .` installs: the library, the released checkpoint, and a command."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from captioner.checkpoint import CHECKPOINT_FILES

ROOT = Path(__file__).parent.parent
BUILT_FROM = (
    *("pyproject.toml", "setup.py", "README.md", "LICENSE"),
    *("requirements.txt", "tests/requirements.txt"),
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def photo() -> Path:
    """A photo that ships with matplotlib."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of what it is made from, so that nothing is left in the repository."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "*.pyi")
    for name in ("captioner", "checkpoints", "train"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    (copy / "tests").mkdir()
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, copy / name)
    code = f"from setuptools.build_meta import build_wheel; build_wheel({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True)
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    """What the wheel says of itself to installers and package indexes."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def names(requirements: list[Requirement], extra: str = "") -> set[str]:
    """The packages required by an extra, or by the package itself."""
    return {
        item.name
        for item in requirements
        if (item.marker is None and not extra)
        or (item.marker is not None and extra and item.marker.evaluate({"extra": extra}))
    }


def test_a_wheel_holds_every_module_and_file_that_the_package_reads(wheel: Path) -> None:
    expected = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "captioner").rglob("*")
        if path.suffix in (".py", ".html", ".css", ".js", ".json", ".jpg")
        or path.name in ("py.typed", "CREDITS.md")
        or path.name.endswith("requirements.txt")
    }
    assert {"captioner/py.typed", "captioner/caption.schema.json"} <= expected
    expected |= {
        f"captioner/released/{name}" for name in (*CHECKPOINT_FILES, "README.md", "val.json")
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())
    assert found == expected


def test_the_package_alone_requires_no_gradio_and_the_extra_for_the_page_does(
    metadata: Message,
) -> None:
    requirements = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    assert metadata.get_all("Provides-Extra") == ["app", "ray", "train", "dev"]
    assert "gradio" not in names(requirements)
    assert "torch" in names(requirements)
    assert names(requirements, "app") == names(requirements) | {"gradio"}
    assert names(requirements, "ray") == {"pyarrow", "ray"}


def test_a_space_installs_what_the_package_and_its_page_require() -> None:
    """The list stands twice, since a Space's build sees no file but requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    *library, gradio = lines
    assert library == PROJECT["dependencies"]
    assert gradio.startswith("gradio==")


def test_the_library_and_its_command_run_without_what_only_the_page_requires(
    tmp_path: Path,
) -> None:
    """As after `pip install .`: importing gradio, or what it alone brings, fails."""
    code = """
import sys
for name in ("gradio", "gradio_client", "fastapi", "pandas", "starlette", "uvicorn"):
    sys.modules[name] = None
from captioner.__main__ import main
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(photo()), "--sheet", "sheets", "--gif", "animations"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "uniform" in done.stdout
    assert len(list(tmp_path.glob("*/*"))) == 2


def test_an_installed_package_captions_with_the_released_checkpoint(
    wheel: Path, tmp_path: Path
) -> None:
    """Where there is no clone of the repository, by the command's own entry point."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        assert not (tmp_path / "train").exists()
        (entry,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "captioner = captioner.__main__:main" in archive.read(entry).decode()
    code = "import sys; from captioner.__main__ import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(photo())],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "uniform" in done.stdout
