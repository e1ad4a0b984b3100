"""Batch norms folded into the convolutions before them, for inference.

In evaluation a batch norm multiplies and adds numbers that are always the same, which the
convolution's weights can do as well: the network does less, and gives the same.
"""

import copy
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(stages: Iterable[nn.Module]) -> list[nn.Module]:
    """Copies of stages with their batch norms folded, as they compute in evaluation mode.

    Args:
        stages: whose every batch norm follows, among their modules, the convolution before it.
    """
    copies = [*copy.deepcopy(nn.ModuleList(stages)).eval()]
    for stage in copies:
        pairs: list[tuple[str, nn.Conv2d, str, nn.BatchNorm2d]] = []
        last: list[tuple[str, nn.Conv2d]] = []
        for name, module in stage.named_modules():
            if isinstance(module, nn.Conv2d):
                last = [(name, module)]
            elif isinstance(module, nn.BatchNorm2d):
                pairs += [(*convolution, name, module) for convolution in last]
        for conv_name, conv, norm_name, norm in pairs:
            folded = fuse_conv_bn_eval(conv, norm).to(memory_format=torch.channels_last)
            stage.set_submodule(conv_name, folded)
            stage.set_submodule(norm_name, getattr(norm, "act", nn.Identity()))  # timm's have one
    return copies
