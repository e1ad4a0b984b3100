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

from captioner.checkpoint import split_hub_name
from captioner.options import DecodingOptions
from train.recipes import RECIPES

Recipe = Literal["best", "tp"]
RECIPE_HELP = "what the other flags are by default: the released model's values, or the classic"


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
    image_size: int = setting(256, "side of the encoder's input in pixels")
    min_frequency: int = setting(5, "times a word must stand in the train captions to be known")
    keep_punctuation: bool = setting(False, "keep punctuation marks as words")
    device: str = setting(
        "auto", "where to compute: cpu, cuda, cuda:1, mps; auto takes a GPU where there is one"
    )
    seed: int = setting(0, "of everything random")
    workers: int = setting(0, "processes that read photos; 0 reads in this one")
    limit: int = setting(0, "use only the first so many photos of each split; 0 uses all")
    autocast: bool = setting(False, "compute in bfloat16 where it is safe")

    def __post_init__(self) -> None:
        require_at_least(
            self, {"image_size": 32, "min_frequency": 1, "seed": 0, "workers": 0, "limit": 0}
        )


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(DataConfig):
    """Build the vocabulary and cache features of every photo. Goes on where it stopped."""

    recipe: Recipe = setting("best", RECIPE_HELP)
    photos: Path = setting(MISSING, "folder of the photos")
    features: Path = setting(MISSING, "folder to put the cached features and vocabulary in")
    views: int = setting(12, "views per training photo: plain, mirrored, then random ones")
    augmentation: Literal["classic", "strong"] = setting("strong", "how random views are made")
    stages_left: int = setting(
        2, "last stages of the encoder to leave undone, for fit to fine-tune; 0 caches features"
    )
    batch_size: int = setting(8, "views encoded at once; small batches are fastest on a CPU")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"views": 1, "batch_size": 1, "stages_left": 0})


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(DataConfig):
    """What the stages that train a model share."""

    name: str = setting(MISSING, "of the run; everything goes to <runs>/<name>/")
    runs: Path = setting(Path("runs"), "folder of all runs")
    resume: bool = setting(
        False, "continue the run of this name after its last whole epoch, if there is one"
    )
    features: Path | None = setting(None, "cached features; without them photos are encoded anew")
    augmentation: Literal["none", "classic", "strong"] = setting(
        "strong", "random changes of training photos, when no cached features are used"
    )
    boxes: Path | None = setting(
        None, "JSON of phrases and their boxes (entities.json), which then teach the attention"
    )

    epochs: int = setting(12, "passes over the train captions")
    batch_photos: int = setting(16, "examples in a batch, of each process")
    group_captions: bool = setting(True, "an example is a photo with all its captions, not one")
    max_length: int = setting(20, "words kept of a caption")
    val_beam_size: int = setting(1, "beam size of the captions scored after each epoch")

    samples: int = setting(
        4, "val photos whose captions TensorBoard shows each epoch, on them where --photos is given"
    )

    optimizer: Literal["adam", "adamw"] = setting("adamw", "the optimizer")
    lr: float = setting(3e-3, "learning rate at its highest")
    finetune_stages: int = setting(0, "last stages of the encoder to train")
    finetune_statistics: bool = setting(False, "train their batch-norm statistics too")
    encoder_lr: float = setting(1e-4, "learning rate of the encoder at its highest")
    weight_decay: float = setting(0.01, "of matrices other than the embeddings; AdamW only")
    schedule: Literal["cosine", "step", "constant"] = setting(
        "cosine", "learning rate: warm-up and cosine, halved every 10 epochs, or constant"
    )
    clip_norm: float = setting(1.0, "largest norm of the gradient")
    dropout: float = setting(0.4, "share of units dropped in training")
    label_smoothing: float = setting(0.1, "probability spread over all words")
    doubly_stochastic: float = setting(0.0, "weight of attending to every region in the end")
    box_weight: float = setting(0.5, "weight of attending to the boxes of a phrase")
    box_words: Literal["last", "all"] = setting(
        "all", "which words of a phrase are to attend to its boxes"
    )
    ema_decay: float = setting(0.999, "of the averaged weights that are kept; 0 averages none")

    def __post_init__(self) -> None:
        super().__post_init__()
        lowest = dict.fromkeys(("epochs", "batch_photos", "max_length", "val_beam_size"), 1)
        require_at_least(self, {**lowest, "finetune_stages": 0, "samples": 0})
        for name in ("dropout", "label_smoothing", "ema_decay"):
            require_share(self, name)
        for name in ("lr", "encoder_lr", "clip_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.features is None and self.photos is None:
            raise ValueError("training needs --features or --photos")
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"name must be a plain folder name, got {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class FitConfig(TrainingConfig):
    """Train a model with teacher forcing."""

    recipe: Recipe = setting("best", RECIPE_HELP)
    start_from: Path | None = setting(
        None, "checkpoint folder whose weights to begin with; else the decoder's are random"
    )
    word_vectors: Path | None = setting(
        None, "word vectors to begin with, in GloVe's text format and of the embedding's size"
    )
    embedding_size: int = setting(300, "width of word vectors")
    hidden_size: int = setting(512, "width of the LSTM")
    attention_size: int = setting(256, "width of the attention")
    projection_size: int = setting(512, "width features are projected to; 0 leaves them as is")
    position: bool = setting(True, "tell the attention each region's row and column")
    attention_query: Literal["before", "after"] = setting(
        "before", "ask the attention with the LSTM's state before or after its update"
    )
    gate: bool = setting(True, "let the LSTM scale what it attends to")
    deep_output: bool = setting(True, "predict through the tied embeddings; else a linear layer")

    def __post_init__(self) -> None:
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class RefineConfig(TrainingConfig):
    """Train a checkpoint further, to captions of higher CIDEr-D (self-critical training)."""

    start_from: Path = setting(MISSING, "checkpoint folder to begin with")
    drawn: int = setting(5, "captions drawn per photo; each is judged against the others")
    cross_entropy: float = setting(
        0.2, "weight of teacher forcing on people's captions beside the reward"
    )
    patience: int = setting(3, "epochs without a better val score after which to stop")
    epochs: int = setting(6, "passes over the train photos at most")
    batch_photos: int = setting(32, "photos in a batch")
    max_length: int = setting(20, "words of a caption at most")
    val_beam_size: int = setting(3, "beam size of the captions scored after each epoch")
    lr: float = setting(1e-4, "learning rate at its highest")
    dropout: float = setting(0.3, "share of units dropped in training")
    ema_decay: float = setting(0.99, "of the averaged weights that are kept; 0 averages none")
    schedule: Literal["cosine", "step", "constant"] = setting(
        "constant", "learning rate: warm-up and cosine, halved every 10 epochs, or constant"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"drawn": 2, "patience": 1})
        if self.cross_entropy < 0:
            raise ValueError(f"cross_entropy must be at least 0, got {self.cross_entropy}")
        if not self.group_captions:
            raise ValueError(
                "refine needs --group-captions: a photo's captions are judged together"
            )


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
    bootstrap: int = setting(1000, "samples of the photos for 95 % intervals; 0 gives none")
    boxes: Path | None = setting(
        None, "JSON of phrases and their boxes (entities.json), to compare the attention with"
    )
    deletion_photos: int = setting(
        100, "first photos of the split to hide regions of; 0 leaves the deletion test out"
    )
    seed: int = setting(0, "of everything random")
    output: Path | None = setting(None, "JSON file for the report")
    captions_output: Path | None = setting(None, "JSON lines file for captions and references")
    device: str = setting("cpu", "where to compute")
    limit: int = setting(0, "use only the first so many photos; 0 uses all")

    def __post_init__(self) -> None:
        if self.features is None and self.photos is None:
            raise ValueError("evaluate needs --features or --photos")
        require_at_least(self, {"bootstrap": 0, "deletion_photos": 0, "seed": 0, "limit": 0})


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """Put a checkpoint, the page, or both on the Hugging Face Hub; compare what it gives back."""

    checkpoint: Path = setting(Path("checkpoints"), "checkpoint folder with its model card")
    repo: str | None = setting(
        None, "model repository for the checkpoint, as owner/name; made if there is none"
    )
    space: str | None = setting(
        None, "Space for the page of this checkout, as owner/name; made if there is none"
    )
    revision: str | None = setting(
        None, "branch to put the checkpoint on, made if there is none; by default main"
    )
    private: bool = setting(False, "let only its owner see the repository or Space")
    message: str | None = setting(None, "of the commits; by default what is published")
    photo: Path | None = setting(
        None, "photo to caption with both models; by default one that comes with matplotlib"
    )

    def __post_init__(self) -> None:
        if self.repo is None and self.space is None:
            raise ValueError("publish needs --repo, --space or both")
        for name in ("repo", "space"):
            value = getattr(self, name)
            if value is not None and split_hub_name(value) != (value, None):
                raise ValueError(f"{name} must be of the form owner/name, got {value!r}")
        if self.message == "":
            raise ValueError("message must not be empty")


def require_at_least(config: Any, lowest: dict[str, int]) -> None:
    """Raise ValueError naming field, limit and value, for the first field under its limit."""
    for name, low in lowest.items():
        if getattr(config, name) < low:
            raise ValueError(f"{name} must be at least {low}, got {getattr(config, name)}")


def require_share(config: Any, name: str) -> None:
    """Raise ValueError unless a field is from 0 to below 1."""
    if not 0 <= getattr(config, name) < 1:
        raise ValueError(f"{name} must be from 0 to below 1, got {getattr(config, name)}")


C = TypeVar("C")


def add_flags(parser: argparse.ArgumentParser, config_type: type[Any]) -> None:
    """Add one flag per field: --kebab-case, with its default and help. Only given ones are set."""
    hints = typing.get_type_hints(config_type)
    for item in dataclasses.fields(config_type):
        flag = "--" + item.name.replace("_", "-")
        options: dict[str, Any] = {
            "dest": item.name,
            "help": item.metadata["help"],
            "default": argparse.SUPPRESS,
            "required": item.default is MISSING,
        }
        if item.default not in (MISSING, None):
            options["help"] += f" (default: {item.default})"
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
    """Build the configuration: flags, then the recipe's values, then the fields' defaults.

    Raises:
        ValueError: a value is out of range.
    """
    given = {**RECIPES[getattr(flags, "recipe", "best")], **vars(flags)}
    names = {item.name for item in dataclasses.fields(config_type)}  # type: ignore[arg-type]
    values = {name: value for name, value in given.items() if name in names}
    return config_type(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    )


def to_json(config: Any) -> dict[str, Any]:
    """Plain data of a configuration, for a run's config.json."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))
