"""What is computed from modules' weights once, for inference, and again when they change."""

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

from torch import nn

T = TypeVar("T")


class WeightCache(Generic[T]):
    """Keeps one value until a weight of some modules is changed or replaced.

    Copies and pickles of it are empty.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """Make an empty cache.

        Args:
            modules: whose own weights the value is computed from; those of their parts only if
                these are among the modules too.
        """
        self._owners = [owner for owner in modules if owner._parameters or owner._buffers]
        self._kept: tuple[Any, T] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_owners": self._owners, "_kept": None}

    def get(self, compute: Callable[[], T], circumstances: Hashable = None) -> T:
        """The value, computed anew if need be.

        Args:
            compute: called without gradients.
            circumstances: anything else that the value depends on.
        """
        try:
            version = circumstances, self._versions()
        except RuntimeError:  # of weights that were made in inference mode no changes are counted
            return compute()
        if self._kept is None or self._kept[0] != version:
            self._kept = version, compute()
        return self._kept[1]

    def _versions(self) -> list[tuple[int, int]]:
        """Where each weight is, and how often it was changed."""
        return [
            (tensor.data_ptr(), tensor._version)
            for owner in self._owners
            for tensor in (*owner._parameters.values(), *owner._buffers.values())
            if tensor is not None
        ]
