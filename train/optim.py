"""How weights follow gradients: optimizer, learning rate, averaged weights.

Knows parameters and steps; knows nothing of losses or data.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel

from captioner.model import ImageCaptioningModel
from train.config import TrainingConfig

WARM_UP_SHARE = 0.05
"""Of a training with the cosine schedule."""


@dataclass
class TrainingState:
    """Everything that training changes: weights, their average, optimizer and schedule."""

    model: ImageCaptioningModel
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler

    @classmethod
    def build(
        cls, config: TrainingConfig, model: ImageCaptioningModel, steps_per_epoch: int
    ) -> "TrainingState":
        optimizer = build_optimizer(config, model)
        average = None
        if config.ema_decay:
            average = AveragedModel(model, multi_avg_fn=ema(config.ema_decay))
        return cls(model, average, optimizer, build_schedule(config, optimizer, steps_per_epoch))

    @property
    def model_to_validate(self) -> ImageCaptioningModel:
        """The model that is validated and kept: with averaged weights if they are averaged."""
        if self.average is None:
            return self.model
        assert isinstance(self.average.module, ImageCaptioningModel)
        return self.average.module

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that are trained."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    @property
    def rates(self) -> dict[str, float]:
        """The last learning rates, by the names of their metrics."""
        rates = [float(rate) for rate in self.schedule.get_last_lr()]
        encoder = {"lr_encoder": rates[0]} if self.model.encoder.unfrozen_stages else {}
        return {"lr": rates[-1], **encoder}  # the groups are in the parameters' order

    def update(self, clip_norm: float) -> None:
        """Take one step with clipped gradients; update the learning rate and the average."""
        nn.utils.clip_grad_norm_(self.parameters, clip_norm)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts():
            part.load_state_dict(state[name])

    def _parts(self) -> list[tuple[str, Any]]:
        return [(name, part) for name, part in vars(self).items() if part is not None]


def ema(decay: float) -> Callable[[Any, Any, Any], None]:
    """Exponential moving average that at first forgets faster, as there is little to keep."""

    def update(averaged: Any, current: Any, updates: Any) -> None:
        kept = min(decay, (1 + int(updates)) / (10 + int(updates)))
        torch._foreach_lerp_(averaged, current, 1 - kept)  # type: ignore[attr-defined]

    return update


def build_optimizer(config: TrainingConfig, model: ImageCaptioningModel) -> torch.optim.Optimizer:
    """Adam, or AdamW that decays matrices but neither embeddings nor vectors.

    The unfrozen stages of the encoder have a learning rate of their own.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        lr = config.encoder_lr if name.startswith("encoder.") else config.lr
        decayed = parameter.ndim > 1 and not name.startswith("decoder.embedding.")
        groups.setdefault((lr, config.weight_decay if decayed else 0.0), []).append(parameter)
    settings = [
        {"params": parameters, "lr": lr, "weight_decay": decay}
        for (lr, decay), parameters in groups.items()
    ]
    if config.optimizer == "adam":
        return torch.optim.Adam([{**group, "weight_decay": 0.0} for group in settings])
    return torch.optim.AdamW(settings, betas=(0.9, 0.98))


def build_schedule(
    config: TrainingConfig, optimizer: torch.optim.Optimizer, steps_per_epoch: int
) -> LRScheduler:
    """The learning rate over all steps of a run; stepped once per batch."""
    return LambdaLR(optimizer, lambda step: learning_rate_at(step / steps_per_epoch, config))


def learning_rate_at(epoch: float, config: TrainingConfig) -> float:
    """The share of the highest learning rate, 0 to 1, after a number of epochs."""
    if config.schedule == "step":
        return 0.5 ** (int(epoch) // 10)
    if config.schedule == "constant":
        return 1.0
    return warm_up_and_cosine(epoch / config.epochs)


def warm_up_and_cosine(progress: float) -> float:
    """The share of the highest learning rate, 0 to 1, at a point of training from 0 to 1."""
    if progress < WARM_UP_SHARE:
        return max(progress / WARM_UP_SHARE, 0.02)
    rest = (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE)
    return 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))
