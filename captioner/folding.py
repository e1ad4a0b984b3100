"""Batch norms folded into the convolutions before them, for inference.

In evaluation a batch norm multiplies and adds numbers that are always the same, which the
convolution's weights can do as well: the network does less, and gives the same.
"""

import copy
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from captioner.weight_cache import WeightCache


class FoldedStages:
    """Copies of stages as `fold_batch_norms` makes them, each kept until a weight of it changes."""

    def __init__(self, stages: Iterable[nn.Module]) -> None:
        self._stages = [(stage, WeightCache[nn.Module](stage.modules())) for stage in stages]

    def __getitem__(self, number: int) -> nn.Module:
        """The copy of a stage, from 0."""
        stage, cache = self._stages[number]
        return cache.get(lambda: fold_batch_norms(stage))


def fold_batch_norms(stage: nn.Module) -> nn.Module:
    """A copy of a stage with its batch norms folded, as it computes in evaluation mode.

    Args:
        stage: whose every batch norm follows, among its modules, the convolution before it.
    """
    copies: dict[int, Any] = {}  # what takes the place of a module, as copy.deepcopy wants it
    convolution: nn.Conv2d | None = None
    for module in stage.modules():
        if isinstance(module, nn.Conv2d):
            convolution = module
        elif isinstance(module, nn.BatchNorm2d) and convolution is not None:
            folded = fuse_conv_bn_eval(convolution, module)
            copies[id(convolution)] = folded.to(memory_format=torch.channels_last)
            copies[id(module)] = getattr(module, "act", nn.Identity())  # timm's norms have one
    return copy.deepcopy(stage, copies)
