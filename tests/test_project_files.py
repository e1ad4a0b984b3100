"""What a newcomer finds first: licence, citation, changelog, guide and workflow are up to date."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "references"} <= citation.keys()
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert read("LICENSE").startswith("MIT License\n")


def test_the_changelog_begins_with_what_is_unreleased_and_then_has_this_version() -> None:
    headings = re.findall(r"^## .*", read("CHANGELOG.md"), re.MULTILINE)
    released = yaml.safe_load(read("CITATION.cff"))["date-released"]
    assert headings[:2] == ["## [Unreleased]", f"## [{PROJECT['version']}] - {released}"]


def test_the_guide_names_files_that_exist() -> None:
    guide = read(".github/CONTRIBUTING.md")
    paths = re.findall(r"`((?:captioner|train|tests|\.ci)/[\w./]*|app\.py)", guide)
    links = re.findall(r"\]\(\.\./([^)#]+)\)", guide)
    assert len(paths) > 10
    assert links
    assert [path for path in paths + links if not (ROOT / path).exists()] == []


def test_the_workflow_runs_what_decides_on_the_oldest_and_the_newest_python() -> None:
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    steps = job["steps"]
    *programs, decides = [step["run"] for step in steps if "run" in step]
    assert decides == steps[-1]["run"] == ".ci/run"
    assert all(run.startswith("sudo apt-get ") for run in programs)
    actions = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in actions)
    versions = [line for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    tested = job["strategy"]["matrix"]["python"]
    assert tested == [versions[0].split(" :: ")[-1], versions[-1].split(" :: ")[-1]]
    assert PROJECT["requires-python"] == f">={tested[0]}"
