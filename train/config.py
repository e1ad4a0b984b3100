"""What each stage can be told: one dataclass a stage, one field a flag, with its help.

Knows nothing of what the stages do.
"""

import argparse
import dataclasses
import json
import types
import typing
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from captioner.decoding import DecodingOptions


def setting(default: Any, help: str) -> Any:
    """A dataclass field with its default and the help of its flag; MISSING makes it required."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the data set is. Shared by the stages."""

    captions: Path = setting(MISSING, "results.csv of Flickr30k or captions.txt of Flickr8k")
    splits: Path | None = setting(
        None, "Karpathy's json, or a folder with train.txt and val.txt; else by a hash of the name"
    )
    photos: Path | None = setting(None, "folder of the photos")
    encoder: str = setting("tf_efficientnet_lite2", "name of a timm backbone, such as resnet50")
    encoder_weights: str = setting(
        "pretrained", "weight file of the encoder; by default an installed package or the Hub"
    )
    image_size: int = setting(224, "side of the encoder's input in pixels")
    min_frequency: int = setting(5, "times a word must stand in the train captions to be known")
    keep_punctuation: bool = setting(False, "keep punctuation marks as words")
    device: str = setting("cpu", "where to compute: cpu, cuda, cuda:1, mps")
    seed: int = setting(0, "of everything random")
    workers: int = setting(0, "processes that read photos; 0 reads in this one")
    limit: int = setting(0, "use only the first so many photos of each split; 0 uses all")

    def __post_init__(self) -> None:
        require_at_least(
            self, {"image_size": 32, "min_frequency": 1, "seed": 0, "workers": 0, "limit": 0}
        )


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(DataConfig):
    """Build the vocabulary and cache features of every photo. Goes on where it stopped."""

    photos: Path = setting(MISSING, "folder of the photos")
    features: Path = setting(MISSING, "folder to put the cached features and vocabulary in")
    views: int = setting(6, "views per training photo: plain, mirrored, then random ones")
    augmentation: Literal["classic", "strong"] = setting("strong", "how random views are made")
    batch_size: int = setting(8, "views encoded at once; small batches are fastest on a CPU")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"views": 1, "batch_size": 1})


@dataclass(frozen=True, kw_only=True)
class FitConfig(DataConfig):
    """Train a model with teacher forcing."""

    name: str = setting(MISSING, "of the run; everything goes to <runs>/<name>/")
    runs: Path = setting(Path("runs"), "folder of all runs")
    features: Path | None = setting(None, "cached features; without them photos are encoded anew")
    start_from: Path | None = setting(
        None, "checkpoint folder whose weights to begin with; else they are random"
    )
    resume: bool = setting(False, "go on with the run of this name after its last whole epoch")

    epochs: int = setting(20, "passes over the train captions")
    batch_photos: int = setting(32, "photos in a batch, each with all its captions")
    max_length: int = setting(30, "words kept of a caption")
    augmentation: Literal["none", "classic", "strong"] = setting(
        "strong", "random changes of training photos, when no cached features are used"
    )

    embedding_size: int = setting(300, "width of word vectors")
    hidden_size: int = setting(512, "width of the LSTM")
    attention_size: int = setting(256, "width of the attention")
    projection_size: int = setting(512, "width features are projected to; 0 leaves them as is")
    gate: bool = setting(True, "let the LSTM scale what it attends to")
    deep_output: bool = setting(True, "predict through the tied embeddings; else a linear layer")
    dropout: float = setting(0.5, "share of units dropped in training")

    optimizer: Literal["adam", "adamw"] = setting("adamw", "the optimizer")
    lr: float = setting(1e-3, "learning rate at its highest")
    weight_decay: float = setting(0.01, "of matrices other than the embeddings; AdamW only")
    schedule: Literal["cosine", "step", "constant"] = setting(
        "cosine", "learning rate: warm-up and cosine, halved every 10 epochs, or constant"
    )
    clip_norm: float = setting(1.0, "largest norm of the gradient")
    label_smoothing: float = setting(0.1, "probability spread over all words")
    doubly_stochastic: float = setting(0.3, "weight of attending to every region in the end")
    ema_decay: float = setting(0.998, "of the averaged weights that are kept; 0 averages none")
    autocast: bool = setting(False, "compute in bfloat16 where it is safe")
    val_beam_size: int = setting(1, "beam size of the captions scored after each epoch")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(
            self, {"epochs": 1, "batch_photos": 1, "max_length": 1, "val_beam_size": 1}
        )
        for name in ("dropout", "label_smoothing", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        for name in ("lr", "clip_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.features is None and self.photos is None:
            raise ValueError("fit needs --features or --photos")
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"name must be a plain folder name, got {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Score a checkpoint's captions against the references of a split."""

    checkpoint: Path = setting(Path("checkpoints"), "checkpoint folder")
    captions: Path = setting(MISSING, "results.csv of Flickr30k or captions.txt of Flickr8k")
    splits: Path | None = setting(
        None, "Karpathy's json, or a folder with train.txt and val.txt; else by a hash of the name"
    )
    split: Literal["train", "val", "test"] = setting("val", "which photos to caption")
    photos: Path | None = setting(None, "folder of the photos")
    features: Path | None = setting(None, "cached features of the checkpoint's encoder")
    beam_sizes: tuple[int, ...] = setting((1, 3, 5), "beam sizes to score")
    length_penalty: float = setting(
        DecodingOptions.length_penalty, "power of the length that divides log-probabilities"
    )
    no_repeat_ngram: int = setting(
        DecodingOptions.no_repeat_ngram, "no run of this many words may stand twice; 0 allows all"
    )
    output: Path | None = setting(None, "JSON file for the scores")
    captions_output: Path | None = setting(None, "JSON lines file for captions and references")
    device: str = setting("cpu", "where to compute")
    limit: int = setting(0, "use only the first so many photos; 0 uses all")

    def __post_init__(self) -> None:
        if self.features is None and self.photos is None:
            raise ValueError("evaluate needs --features or --photos")


def require_at_least(config: Any, lowest: dict[str, int]) -> None:
    """Raise ValueError naming field, limit and value, for the first field under its limit."""
    for name, low in lowest.items():
        if getattr(config, name) < low:
            raise ValueError(f"{name} must be at least {low}, got {getattr(config, name)}")


C = TypeVar("C")


def add_flags(parser: argparse.ArgumentParser, config_type: type[Any]) -> None:
    """Add one flag per field: --kebab-case, with its default and help."""
    hints = typing.get_type_hints(config_type)
    for item in dataclasses.fields(config_type):
        flag = "--" + item.name.replace("_", "-")
        options: dict[str, Any] = {"dest": item.name, "help": item.metadata["help"]}
        if item.default is MISSING:
            options["required"] = True
        else:
            options["default"] = item.default
            options["help"] += f" (default: {item.default})" if item.default is not None else ""
        options |= _type_options(hints[item.name])
        parser.add_argument(flag, **options)


def _type_options(hint: Any) -> dict[str, Any]:
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(hint) is Literal:
        return {"choices": get_args(hint)}
    if get_origin(hint) is types.UnionType:  # "Path | None"
        return {"type": get_args(hint)[0]}
    if get_origin(hint) is tuple:
        return {"type": get_args(hint)[0], "nargs": "+"}
    return {"type": hint}


def from_flags(config_type: type[C], flags: argparse.Namespace) -> C:
    """Build the configuration. Raises ValueError when a value is out of range."""
    names = {item.name for item in dataclasses.fields(config_type)}  # type: ignore[arg-type]
    values = {name: value for name, value in vars(flags).items() if name in names}
    return config_type(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    )


def to_json(config: Any) -> dict[str, Any]:
    """Plain data of a configuration, for a run's config.json."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))
