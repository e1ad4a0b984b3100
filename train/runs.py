"""A run's folder: its settings, its metrics, its curves, and the state it can go on from.

Knows files; knows nothing of models or losses.
"""

import json
import subprocess
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.tensorboard import SummaryWriter

from train.config import FitConfig, to_json

STATE_FILE, METRICS_FILE, CONFIG_FILE = "state.pt", "metrics.jsonl", "config.json"


class Stateful(Protocol):
    """What can be stopped and gone on with."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def open_run(config: FitConfig) -> Path:
    """Make the run's folder and note its settings, or check them when it goes on.

    Raises:
        FileNotFoundError: there is no run to go on with.
        ValueError: a run of this name has whole epochs already, or was begun with other settings.
    """
    run = config.runs / config.name
    settings = to_json(config)
    settings.pop("resume")
    if config.resume:
        if not (run / CONFIG_FILE).exists():
            raise FileNotFoundError(f"no run to resume in {run}; start it without --resume")
        before = json.loads((run / CONFIG_FILE).read_text(encoding="utf-8"))["settings"]
        changed = [name for name in settings if settings[name] != before.get(name)]
        if changed:
            raise ValueError(
                f"{run} was begun with other settings: "
                + ", ".join(f"{name} was {before.get(name)}" for name in changed)
            )
        return run
    if (run / STATE_FILE).exists():
        raise ValueError(f"{run} exists; add --resume to go on with it, or take another --name")
    run.mkdir(parents=True, exist_ok=True)
    note = {"settings": settings, "git_revision": _git_revision(), "torch": torch.__version__}
    (run / CONFIG_FILE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    return run


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
    """Note an epoch; the state is renamed into place, so a kill leaves a whole one."""
    row = history[-1]
    scratch = run / f"{STATE_FILE}.tmp"
    torch.save({"trainee": trainee.state_dict(), "history": history}, scratch)
    scratch.replace(run / STATE_FILE)
    lines = "".join(json.dumps(past) + "\n" for past in history)
    (run / METRICS_FILE).write_text(lines, encoding="utf-8")
    for name, value in row.items():
        writer.add_scalar(name.replace("_", "/", 1), value, row["epoch"])
    writer.flush()
    print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
