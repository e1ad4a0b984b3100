"""Linear layers for inference that read their weights in half the bytes.

With few rows, a decoder's step takes as long as reading its weights from memory does. FBGEMM, which
torch brings along, reads them as float16 and multiplies in float32. Checkpoints store matrices as
float16, so nothing is lost; weights that would lose something are left as they are.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Linear = Callable[[Tensor], Tensor]
"""(..., D_in) -> (..., D_out)."""
ENGINES = {"x86", "fbgemm"}
"""Of torch's quantized operators, those that are FBGEMM's."""


def linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """A linear layer that can be trained; arguments as `torch.nn.functional.linear`."""
    return lambda given: F.linear(given, weight, bias)


def packed_linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """A linear layer for inference on what its weights are now; arguments as `linear`.

    Packed if FBGEMM is there, and float16 holds all weights exactly.
    """
    if not _can_be_packed(weight):
        return linear(weight, bias)
    packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)
    return lambda given: torch.ops.quantized.linear_dynamic_fp16(given, packed)


def _can_be_packed(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or weight.dtype != torch.float32:
        return False
    return torch.backends.quantized.engine in ENGINES and torch.equal(weight.half().float(), weight)
