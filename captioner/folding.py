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


def fold_batch_norms(stages: Iterable[nn.Module]) -> list[nn.Module]:
    """Copies of stages with their batch norms folded, as they compute in evaluation mode.

    Args:
        stages: whose every batch norm follows, among their modules, the convolution before it.
    """
    copies: dict[int, Any] = {}  # what takes the place of a module, as copy.deepcopy wants it
    parts = nn.ModuleList(stages)
    convolution: nn.Conv2d | None = None
    for module in parts.modules():
        if isinstance(module, nn.Conv2d):
            convolution = module
        elif isinstance(module, nn.BatchNorm2d) and convolution is not None:
            folded = fuse_conv_bn_eval(convolution, module)
            copies[id(convolution)] = folded.to(memory_format=torch.channels_last)
            copies[id(module)] = getattr(module, "act", nn.Identity())  # timm's norms have one
    return [*copy.deepcopy(parts, copies)]
