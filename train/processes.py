"""Several processes that train one model, started by `accelerate launch`; or one alone.

Knows processes and devices; knows nothing of what they train.
"""

from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.config import DataConfig

PATIENCE = timedelta(hours=6)
"""How long the others wait for the process that validates; by default they give up too soon."""

C = TypeVar("C", bound=DataConfig)


def find_device(name: str) -> str:
    """The device that a configuration asks for: with "auto" a GPU, where there is one."""
    if name != "auto":
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def join_processes(config: C) -> tuple[PartialState, C]:
    """Meet the processes started with this one, if any.

    Returns:
        Which of the processes this is, and the configuration with this process's own device.

    Raises:
        ValueError: the device is one of several GPUs, and so are the processes.
    """
    device = find_device(config.device)
    state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
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
