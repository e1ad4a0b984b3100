"""The tour of the library runs, cell by cell, and shows what its comments say."""

import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from captioner import Caption

CELLS = re.split(
    r"^# %% (?!\[markdown\]).*\n",
    Path(__file__).with_name("tour.py").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
)[1:]


@pytest.mark.slow
def test_each_of_the_ten_cells_runs_and_shows_what_it_announces(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(CELLS) == 10
    names: dict[str, Any] = {}
    printed = []
    for cell in CELLS:
        exec(cell, names)
        printed.append(capsys.readouterr().out)

    caption: Caption = names["caption"]
    assert printed[1] == f"{caption}\n"
    assert "uniform" in str(caption)
    for line, word in zip(printed[2].splitlines(), caption.words, strict=True):
        assert line.startswith(f"{word.text:12} ")
    assert isinstance(names["sheet"], Figure)
    assert {overlay.size for overlay in names["overlays"]} == {names["photo"].size}
    assert len({str(candidate) for candidate in names["candidates"]}) == 3
    assert len({str(sample) for sample in names["samples"]}) > 1
    constrained = [word.text for word in names["constrained"].words]
    assert constrained[:2] == ["a", "smiling"]
    assert "man" not in constrained
    assert names["branch"].words[1].text == names["second_choice"] != caption.words[1].text
    assert names["own"].perplexity > caption.perplexity
    assert [drop.shape for drop in names["occlusion"].drops] == [caption.grid] * len(caption.words)
    assert len(printed[9].splitlines()) == len(caption.words) + 1
