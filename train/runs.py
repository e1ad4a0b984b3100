"""A run: its folder with settings, metrics, curves and state, and the processes that share it.

Knows files, devices and processes; knows nothing of models or losses.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from train.config import DataConfig, TrainingConfig
from train.flags import to_json

STATE_FILE, METRICS_FILE, CONFIG_FILE = "state.pt", "metrics.jsonl", "config.json"
VALIDATION_TIMEOUT = timedelta(hours=6)
"""How long other processes wait for the one that validates; the default is too short."""

C = TypeVar("C", bound=DataConfig)


class Stateful(Protocol):
    """What can be stopped and resumed."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def run_folder(config: TrainingConfig) -> Path:
    """The folder of everything that belongs to a run."""
    return config.runs / config.name


def open_run(config: TrainingConfig, processes: int = 1) -> Path:
    """Create the run's folder and write its settings, or check them if it is resumed.

    Resuming a run that has no folder yet starts it.

    Args:
        processes: how many train the model together.

    Raises:
        ValueError: a run of this name has complete epochs and is not to be resumed, was started
            with other settings, or has lost its settings file.
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
        raise ValueError(f"{run} exists; add --resume to resume it, or take another --name")
    run.mkdir(parents=True, exist_ok=True)
    note = {"settings": settings, "git_revision": _git_revision(), "torch": torch.__version__}
    (run / CONFIG_FILE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    return run


def _check_settings(run: Path, settings: dict[str, Any]) -> None:
    before = json.loads((run / CONFIG_FILE).read_text(encoding="utf-8"))["settings"]
    # Settings missing from the file are newer than the run; their defaults change nothing.
    changed = [name for name in settings if settings[name] != before.get(name, settings[name])]
    if changed:
        raise ValueError(
            f"{run} was started with other settings: "
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


def read_state(run: Path, state: Stateful) -> list[dict[str, Any]]:
    """Restore the state after the last complete epoch, if any.

    Returns:
        The metrics of all epochs up to it.

    Raises:
        ValueError: another version of this program wrote the state.
    """
    if not (run / STATE_FILE).exists():
        return []
    saved = torch.load(run / STATE_FILE, map_location="cpu", weights_only=True)
    if "training" not in saved:
        raise ValueError(f"{run} was written by another version; take another --name")
    state.load_state_dict(saved["training"])
    return saved["history"]


def record_epoch(
    run: Path, writer: SummaryWriter, history: list[dict[str, Any]], state: Stateful
) -> None:
    """Record an epoch: metrics and curves first, then the state, which completes the epoch.

    Files are renamed into place, so an interruption leaves complete files.

    Raises:
        OSError: the disk is full.
    """
    row = history[-1]
    lines = "".join(json.dumps(past) + "\n" for past in history)
    _replace(run / METRICS_FILE, lambda scratch: scratch.write_text(lines, encoding="utf-8"))
    for name, value in row.items():
        data_set, slash, metric = name.rpartition("/")
        writer.add_scalar(data_set + slash + metric.replace("_", "/", 1), value, row["epoch"])
    writer.flush()
    saved = {"training": state.state_dict(), "history": history}
    _replace(run / STATE_FILE, lambda scratch: torch.save(saved, scratch))
    print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    scratch = path.with_name(f"{path.name}.tmp")
    try:
        write(scratch)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def find_device(name: str) -> str:
    """The device of a configuration; "auto" is a GPU where there is one, else the CPU."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def join_processes(config: C) -> tuple[PartialState, C]:
    """Join the other processes of this launch, if any.

    Returns:
        Which of the processes this is, and the configuration with this process's own device.

    Raises:
        ValueError: the device is one of several GPUs, and so are the processes.
    """
    device = find_device(config.device)
    state = PartialState(cpu=device == "cpu", timeout=VALIDATION_TIMEOUT)
    if state.num_processes > 1:
        if device not in ("cpu", "cuda"):
            raise ValueError(
                f"device must be auto, cpu or cuda with several processes, got {device}"
            )
        device = str(state.device)
    return state, replace(config, device=device)


def average_gradients(module: nn.Module, state: PartialState, shared_buffers: bool) -> nn.Module:
    """The module, its gradients the mean over all processes, its weights the main process's.

    Args:
        shared_buffers: give all processes the main one's buffers before each step, too.
    """
    if state.num_processes == 1:
        return module
    return DistributedDataParallel(module, broadcast_buffers=shared_buffers)


def add_up(tensor: Tensor) -> Tensor:
    """The sum of a tensor over all processes."""
    return reduce(tensor, "sum")  # type: ignore[return-value]
