"""The README and the model card say what is true: their code runs, their numbers are measured."""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pyarrow.parquet as pq
import pytest
import yaml

from captioner import load_model
from tests.serving import VisitorFiles, serving
from train.__main__ import STAGES
from train.report import attention_table, named_table, score_table, table

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CARD = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
LOCAL_ADDRESS = "http://127.0.0.1:7860"


def blocks(language: str, text: str = README) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == language]


def commands(start: str, text: str = README) -> list[list[str]]:
    lines = "".join(blocks("sh", text)).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(start)]


def command_lines() -> list[str]:
    lines = "".join(blocks("sh")).splitlines()
    return [line for line in lines if re.match(r"(find .* \| )?(python -m )?captioner", line)]


@pytest.fixture
def folder_with_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    photo = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    shutil.copy(photo, tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_code_runs(folder_with_a_photo: Path) -> None:
    local = [block for block in blocks("python") if LOCAL_ADDRESS not in block]
    assert len(local) >= 2
    printed = io.StringIO()
    names: dict[str, Any] = {}  # later blocks use names of earlier ones
    with contextlib.redirect_stdout(printed):
        for block in local:
            exec(block, names)
    assert str(load_model().generate_caption("photo.jpg")) in printed.getvalue()
    assert (folder_with_a_photo / "sheet.png").stat().st_size > 10_000


def test_the_endpoint_answers_as_the_readme_asks_it(folder_with_a_photo: Path) -> None:
    (block,) = [block for block in blocks("python") if LOCAL_ADDRESS in block]
    *preparation, call = block.strip().splitlines()
    names: dict[str, Any] = {}
    with (
        VisitorFiles(folder_with_a_photo / "files") as files,
        serving(load_model(), files) as address,
    ):
        exec("\n".join(preparation), names)
        quiet = call.replace(f'"{LOCAL_ADDRESS}"', f"{address!r}, verbose=False")
        answer = eval(quiet, names)
    assert answer == load_model().generate_caption("photo.jpg").to_json()


@pytest.mark.parametrize("line", command_lines())
def test_the_command_lines_run(line: str, folder_with_a_photo: Path) -> None:
    for name in ("holiday", "photos"):
        (folder_with_a_photo / name).mkdir()
        shutil.copy("photo.jpg", name)
    programs = folder_with_a_photo / "bin"
    programs.mkdir()
    for name, arguments in (("captioner", "-m captioner"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", line],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{programs}:{os.defpath}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = [path.read_text() for path in folder_with_a_photo.glob("captions.*")]
    tables = [pq.read_table(path) for path in folder_with_a_photo.glob("captions/*.parquet")]
    captions = [caption for table in tables for caption in table["caption"].to_pylist()]
    assert "uniform" in "".join([done.stdout, *files, *captions])


@pytest.mark.parametrize(
    "command",
    commands("python -m train") + commands("python -m train", CARD),
    ids=lambda command: " ".join(command[2:5]),
)
def test_the_training_commands_name_flags_that_exist(command: list[str]) -> None:
    fields = STAGES[command[3]].config_type.__dataclass_fields__
    flags = [word[2:].replace("-", "_") for word in command if word.startswith("--")]
    assert flags
    assert set(flags) <= fields.keys()


def test_the_tables_of_results_are_the_measured_ones() -> None:
    report = json.loads((ROOT / "checkpoints" / "val.json").read_text(encoding="utf-8"))
    for of_set in report["sets"].values():
        assert score_table(of_set) in README
    assert attention_table(report["sets"]["flickr8k"]) in README
    assert named_table(report["named"]) in README
    assert table(report) in CARD


def test_the_space_runs_the_gradio_that_is_required_here() -> None:
    front_matter = yaml.safe_load(README.split("---")[1])
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    assert f"gradio=={front_matter['sdk_version']}" in requirements
    assert front_matter["sdk"] == "gradio"
    assert (ROOT / front_matter["app_file"]).is_file()
    assert len(front_matter["short_description"]) <= 60


def test_files_that_the_readme_names_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    missing = [link for link in links if not (ROOT / link).exists()]
    assert not missing


def test_the_file_tree_lists_every_module_of_the_library() -> None:
    (tree,) = [block for block in blocks("") if "app.py  " in block]
    modules = {path.name for path in (ROOT / "captioner").glob("[a-z]*.py")}
    assert modules <= set(re.findall(r"\w+\.py", tree))
