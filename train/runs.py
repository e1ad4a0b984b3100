"""A run's folder: its settings, its metrics, its curves, and the state it can go on from.

Knows files; knows nothing of models or losses.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.tensorboard import SummaryWriter

from train.config import TrainingConfig
from train.flags import to_json

STATE_FILE, METRICS_FILE, CONFIG_FILE = "state.pt", "metrics.jsonl", "config.json"


class Stateful(Protocol):
    """What can be stopped and gone on with."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def run_folder(config: TrainingConfig) -> Path:
    """Where everything of a run is."""
    return config.runs / config.name


def open_run(config: TrainingConfig, processes: int = 1) -> Path:
    """Make the run's folder and note its settings, or check them when it is resumed.

    To resume a run that has no folder yet begins it.

    Args:
        processes: how many train the model together.

    Raises:
        ValueError: a run of this name has whole epochs and is not to be resumed, was begun with
            other settings, or has lost the note of them.
    """
    run = run_folder(config)
    settings = {**to_json(config), "processes": processes}
    settings.pop("resume")
    if config.resume and (run / CONFIG_FILE).exists():
        _check_settings(run, settings)
        return run
    if (run / STATE_FILE).exists():
        if config.resume:
            raise ValueError(f"{run} has lost its {CONFIG_FILE}; take another --name")
        raise ValueError(f"{run} exists; add --resume to go on with it, or take another --name")
    run.mkdir(parents=True, exist_ok=True)
    note = {"settings": settings, "git_revision": _git_revision(), "torch": torch.__version__}
    (run / CONFIG_FILE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    return run


def _check_settings(run: Path, settings: dict[str, Any]) -> None:
    before = json.loads((run / CONFIG_FILE).read_text(encoding="utf-8"))["settings"]
    # Settings that the run's note lacks have come since; they leave it as it was by default.
    changed = [name for name in settings if settings[name] != before.get(name, settings[name])]
    if changed:
        raise ValueError(
            f"{run} was begun with other settings: "
            + ", ".join(f"{name} was {before.get(name)}" for name in changed)
        )


def _git_revision() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    folder = Path(__file__).parent
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return "unknown"
    return done.stdout.strip()


def read_state(run: Path, trainee: Stateful) -> list[dict[str, Any]]:
    """Restore the state after the last whole epoch, if any; returns the metrics up to it."""
    if not (run / STATE_FILE).exists():
        return []
    state = torch.load(run / STATE_FILE, map_location="cpu", weights_only=True)
    trainee.load_state_dict(state["trainee"])
    return state["history"]


def record_epoch(
    run: Path, writer: SummaryWriter, history: list[dict[str, Any]], trainee: Stateful
) -> None:
    """Note an epoch: for people first, then the state, with which the epoch counts as done.

    Files are renamed into place, so what interrupts this leaves whole ones.

    Raises:
        OSError: the disk is full.
    """
    row = history[-1]
    lines = "".join(json.dumps(past) + "\n" for past in history)
    _replace(run / METRICS_FILE, lambda scratch: scratch.write_text(lines, encoding="utf-8"))
    for name, value in row.items():
        writer.add_scalar(name.replace("_", "/", 1), value, row["epoch"])
    writer.flush()
    state = {"trainee": trainee.state_dict(), "history": history}
    _replace(run / STATE_FILE, lambda scratch: torch.save(state, scratch))
    print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    scratch = path.with_name(f"{path.name}.tmp")
    try:
        write(scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
