"""ZeroGPU, the kind of Space that lends GPUs to visitors for seconds: what it needs at the start.

The page computes on the CPU there too. A caption takes less time than getting a GPU does, and
costs no visitor's quota.
"""

import importlib
import os


def declare_gpu_function() -> None:
    """On ZeroGPU, declare a function for a GPU: a page that declares none is stopped.

    To be called before Blocks.launch, which reports it to the platform, and before anything uses
    CUDA. Elsewhere it does nothing, and the package `spaces`, which ZeroGPU installs, is not
    needed.

    Source: https://huggingface.co/docs/hub/spaces-zerogpu
    """
    if os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true"):
        importlib.import_module("spaces").GPU(_unused, duration=1)


def _unused() -> None:
    """Never called."""
