"""A run's folder: what is in it is whole, whatever happens while it is written."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from train.config import FitConfig
from train.runs import CONFIG_FILE, METRICS_FILE, STATE_FILE, open_run, read_state, record_epoch


class Weights:
    """A training state of one number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


HISTORY: list[dict[str, Any]] = [{"epoch": 1, "val_loss": 3.0}, {"epoch": 2, "val_loss": 2.0}]


def record(run: Path, epochs: int) -> None:
    with SummaryWriter(str(run / "tensorboard")) as writer:
        record_epoch(run, writer, HISTORY[:epochs], Weights(float(epochs)))


def state_of(run: Path) -> tuple[list[dict[str, Any]], float]:
    state = Weights(0.0)
    return read_state(run, state), state.value


def test_a_recorded_epoch_is_read_back(tmp_path: Path) -> None:
    assert state_of(tmp_path) == ([], 0.0)
    record(tmp_path, 1)
    record(tmp_path, 2)
    assert state_of(tmp_path) == (HISTORY, 2.0)
    lines = (tmp_path / METRICS_FILE).read_text().splitlines()
    assert [json.loads(line) for line in lines] == HISTORY
    assert {path.name for path in tmp_path.iterdir()} == {STATE_FILE, METRICS_FILE, "tensorboard"}


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_a_full_disk_or_an_interruption_leaves_the_state_before_whole_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    record(tmp_path, 1)

    def fail(state: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(type(fault)):
            record(tmp_path, 2)
    assert state_of(tmp_path) == (HISTORY[:1], 1.0)
    assert {path.name for path in tmp_path.iterdir()} == {STATE_FILE, METRICS_FILE, "tensorboard"}
    record(tmp_path, 2)
    assert state_of(tmp_path) == (HISTORY, 2.0)


def test_a_failure_among_the_metrics_does_not_count_the_epoch_as_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path, 1)
    before = (tmp_path / METRICS_FILE).read_text()
    write_text = Path.write_text

    def fail(self: Path, text: str, **_: Any) -> int:
        write_text(self, text[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fail)
        with pytest.raises(OSError, match="No space left"):
            record(tmp_path, 2)
    assert (tmp_path / METRICS_FILE).read_text() == before
    assert state_of(tmp_path) == (HISTORY[:1], 1.0)


def test_a_setting_that_there_was_none_of_when_a_run_began_does_not_stop_it(
    fit_config: FitConfig,
) -> None:
    path = open_run(fit_config) / CONFIG_FILE
    note = json.loads(path.read_text())
    del note["settings"]["samples"]
    path.write_text(json.dumps(note))
    resumed = replace(fit_config, resume=True)
    assert open_run(resumed) == path.parent
    with pytest.raises(ValueError, match=r"started with other settings: lr was 0\.01$"):
        open_run(replace(resumed, lr=0.5, samples=9))


def test_resuming_a_run_that_there_is_none_of_begins_it(fit_config: FitConfig) -> None:
    """So that one command line will do for a job that is killed at any moment, or never ran."""
    resumed = replace(fit_config, resume=True)
    path = open_run(resumed) / CONFIG_FILE
    note = path.read_bytes()
    assert json.loads(note)["settings"]["name"] == fit_config.name
    assert "resume" not in json.loads(note)["settings"]
    assert open_run(resumed) == path.parent
    assert open_run(fit_config) == path.parent  # no epoch is done yet
    assert path.read_bytes() == note
    with pytest.raises(ValueError, match=r"started with other settings: lr was 0\.01$"):
        open_run(replace(resumed, lr=0.5))


def test_a_state_whose_settings_are_lost_is_neither_resumed_nor_overwritten(
    fit_config: FitConfig,
) -> None:
    run = open_run(fit_config)
    record(run, 1)
    (run / CONFIG_FILE).unlink()
    for resume in (True, False):
        with pytest.raises(ValueError, match="take another --name"):
            open_run(replace(fit_config, resume=resume))
    assert state_of(run) == (HISTORY[:1], 1.0)


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    torch.save({"trainee": {}, "history": HISTORY}, tmp_path / STATE_FILE)
    with pytest.raises(ValueError, match="was written by another version"):
        read_state(tmp_path, Weights(0.0))
