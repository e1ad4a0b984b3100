"""EfficientNet-Lite2, the released model's backbone: timm's network under timm's names.

Written out here since timm imports torchvision, and so torch's compiler: half of the time and a
fifth of the memory that a start takes. A test compares the two. Knows nothing of weights.

Source: Tan and Le 2019 (arXiv:1905.11946), table 1, scaled by 1.1 and 1.2; the Lite variants have
no squeeze-and-excitation, ReLU6, and a stem and a head that are not scaled.
"""

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

NAME = "tf_efficientnet_lite2"
STAGES = (
    (1, 16, 3, 1, 1),
    (3, 24, 3, 2, 6),
    (3, 48, 5, 2, 6),
    (4, 88, 3, 2, 6),
    (4, 120, 5, 1, 6),
    (5, 208, 5, 2, 6),
    (1, 352, 3, 1, 6),
)
"""Blocks, and their width, kernel, stride (of the first) and expansion."""
STEM, HEAD = 32, 1280


class EfficientNetLite2(nn.Module):
    """The network without its classifier. The attributes are those of timm's models."""

    num_features = HEAD
    feature_info: ClassVar[list[dict[str, Any]]] = [{"reduction": 32}]
    default_cfg: ClassVar[dict[str, Any]] = {
        "input_size": (3, 260, 260),
        "interpolation": "bicubic",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "classifier": "classifier",
    }

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = _conv(3, STEM, 3, stride=2), BatchNormAct(STEM)
        stages, width = [], STEM
        for blocks, out, kernel, stride, expansion in STAGES:
            stage = [_block(width, out, kernel, stride, expansion)]
            stage += [_block(out, out, kernel, 1, expansion) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            width = out
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = _conv(width, HEAD, 1), BatchNormAct(HEAD)

    def forward_features(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 1280, S / 32, S / 32)."""
        maps = self.blocks(self.bn1(self.conv_stem(images)))
        return self.bn2(self.conv_head(maps))


class BatchNormAct(nn.BatchNorm2d):
    """Batch norm, and an activation."""

    def __init__(self, width: int, activated: bool = True) -> None:
        super().__init__(width, eps=1e-3)
        self.act = nn.ReLU6(inplace=True) if activated else nn.Identity()

    def forward(self, input: Tensor) -> Tensor:
        return self.act(super().forward(input))


class Conv2dSame(nn.Conv2d):
    """Pads as TensorFlow does: with a stride, more below and to the right."""

    def forward(self, input: Tensor) -> Tensor:
        pads: list[int] = []
        for side in (3, 2):  # width first, as F.pad wants them
            size, kernel, stride = input.shape[side], self.kernel_size[0], self.stride[0]
            pad = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [pad // 2, pad - pad // 2]
        return super().forward(F.pad(input, pads))


class SeparableBlock(nn.Module):
    """A depthwise and a pointwise convolution."""

    def __init__(self, width: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = _conv(width, width, kernel, stride, width), BatchNormAct(width)
        self.conv_pw, self.bn2 = _conv(width, out, 1), BatchNormAct(out, activated=False)
        self.has_skip = stride == 1 and width == out

    def forward(self, maps: Tensor) -> Tensor:
        out = self.bn2(self.conv_pw(self.bn1(self.conv_dw(maps))))
        return out + maps if self.has_skip else out


class InvertedResidual(nn.Module):
    """A pointwise convolution that widens, a depthwise one, and a pointwise one that narrows."""

    def __init__(self, width: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = width * expansion
        self.conv_pw, self.bn1 = _conv(width, wide, 1), BatchNormAct(wide)
        self.conv_dw, self.bn2 = _conv(wide, wide, kernel, stride, wide), BatchNormAct(wide)
        self.conv_pwl, self.bn3 = _conv(wide, out, 1), BatchNormAct(out, activated=False)
        self.has_skip = stride == 1 and width == out

    def forward(self, maps: Tensor) -> Tensor:
        wide = self.bn2(self.conv_dw(self.bn1(self.conv_pw(maps))))
        out = self.bn3(self.conv_pwl(wide))
        return out + maps if self.has_skip else out


def _block(width: int, out: int, kernel: int, stride: int, expansion: int) -> nn.Module:
    if expansion == 1:
        return SeparableBlock(width, out, kernel, stride)
    return InvertedResidual(width, out, kernel, stride, expansion)


def _conv(width: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride > 1:
        return Conv2dSame(width, out, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(width, out, kernel, padding=kernel // 2, groups=groups, bias=False)
