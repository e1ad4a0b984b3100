"""Training killed and resumed, by one process and by two that share the work."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tests.colour_walls import rows_of
from train.batches import steps_per_epoch
from train.config import FitConfig
from train.fit import fit
from train.runs import STATE_FILE, find_device, join_processes

ROOT = Path(__file__).parent.parent
ALONE = [sys.executable, "-m", "train"]
# With --cpu accelerate would start one process alone, unless MPI is there to start more.
TOGETHER = [
    sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2",
    "--num_machines=1", "--main_process_port=0", "--mixed_precision=no", "--dynamo_backend=no",
    "-m", "train",
]  # fmt: skip
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


@pytest.fixture
def settings(fit_config: FitConfig, data: Path, stages_left: Path) -> FitConfig:
    """All that could differ between processes, except randomness; the last batch has one photo."""
    without_effect = {"photos", "augmentation", "min_frequency", "keep_punctuation"}
    defaults = {item.name: item.default for item in fields(FitConfig)}
    return replace(
        fit_config,
        **{name: defaults[name] for name in without_effect},  # beside features
        features=stages_left,
        finetune_stages=1,
        boxes=(data / "boxes.json",),
        limit=7,
        batch_photos=3,
        epochs=3,
        dropout=0.0,
        samples=0,
    )


def command(start: list[str], config: FitConfig) -> list[str]:
    """The command line of a `fit`, with every field that differs from its default."""
    flags: list[str] = []
    for item in fields(config):
        value = getattr(config, item.name)
        name = item.name.replace("_", "-")
        if value == item.default:
            continue
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no-{name}")
        else:
            parts = value if isinstance(value, tuple) else (value,)
            flags += [f"--{name}={part}" for part in parts]
    return [*start, "fit", *flags]


def run(start: list[str], config: FitConfig) -> Path:
    done = subprocess.run(
        command(start, config), cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return config.runs / config.name


def run_and_kill(start: list[str], config: FitConfig) -> Path:
    """Kill a run in the middle of its second epoch or a later one, and all it has started."""
    folder = config.runs / config.name
    process = subprocess.Popen(
        command(start, config),
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up = time.monotonic() + 300
    while not (folder / STATE_FILE).exists():
        assert process.poll() is None, "the run ended by itself"
        assert time.monotonic() < give_up
        time.sleep(0.01)
    for part in [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # the Java tokenizer comes and goes
            part.kill()
    assert process.wait() == -signal.SIGKILL
    return folder


def assert_close(one: Path, other: Path, **tolerance: float) -> None:
    """Runs of the same metrics, and of the same state after their last epochs."""
    rows, others = rows_of(one), rows_of(other)
    assert len(rows) == len(others) == 3
    for row, other_row in zip(rows, others, strict=True):
        assert row == pytest.approx(other_row, **tolerance)
    states = [
        torch.load(folder / STATE_FILE, weights_only=True)["training"] for folder in (one, other)
    ]
    for part in ("model", "average"):
        for name, tensor in states[0][part].items():
            if name.endswith("attention.score.bias"):
                continue  # its gradient is 0 but for rounding, which Adam makes as large as any
            wanted = states[1][part][name]
            torch.testing.assert_close(
                tensor.float(), wanted.float(), rtol=1e-4, atol=1e-5, msg=f"{part} {name}"
            )


def test_two_processes_end_as_one_with_batches_of_twice_the_size(settings: FitConfig) -> None:
    """Though one of them has nothing to do in the last step; and so they do when resumed."""
    alone = fit(replace(settings, name="alone", batch_photos=6)).parent
    together = run(TOGETHER, replace(settings, name="together"))
    assert_close(together, alone, rel=1e-4)
    killed = run_and_kill(TOGETHER, replace(settings, name="killed"))
    assert 1 <= len(rows_of(killed)) < 3
    resumed = run(TOGETHER, replace(settings, name="killed", resume=True))
    assert_close(resumed, alone, rel=1e-4)


def test_a_run_is_not_resumed_by_another_number_of_processes(settings: FitConfig) -> None:
    config = replace(settings, epochs=1)
    fit(config)
    done = subprocess.run(
        command(TOGETHER, replace(config, resume=True)),
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode
    assert "started with other settings: processes was 1" in done.stderr


def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(
    fit_config: FitConfig,
) -> None:
    """Order, views and dropout follow from the seed and the epoch."""
    config = replace(
        fit_config,
        features=None,
        augmentation="strong",
        dropout=0.3,
        epochs=3,
        limit=4,
        samples=1,
    )
    whole = run(ALONE, replace(config, name="whole"))
    killed = run_and_kill(ALONE, replace(config, name="killed"))
    assert 1 <= len(rows_of(killed)) < 3
    resumed = run(ALONE, replace(config, name="killed", resume=True))
    assert rows_of(resumed) == rows_of(whole)
    files = [folder / "best" / "model.safetensors" for folder in (resumed, whole)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_without_a_gpu_a_run_is_on_the_cpu(
    fit_config: FitConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == "cpu"
    assert find_device("cuda:1") == "cuda:1"
    state, config = join_processes(replace(fit_config, device="auto"))
    assert (state.num_processes, state.is_main_process, config.device) == (1, True, "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device("auto") == "cuda"


def test_more_processes_than_examples_are_refused(fit_config: FitConfig) -> None:
    class Nine:
        weights = (1.0,) * 9

    def steps(processes: int) -> Any:
        return steps_per_epoch(fit_config, Nine(), processes)  # type: ignore[arg-type]

    assert [steps(processes) for processes in (1, 2, 9)] == [3, 2, 1]
    with pytest.raises(ValueError, match="10 processes cannot share 9 training examples"):
        steps(10)
