"""The settings of each stage: one dataclass a stage, one field a flag; and the recipes.

A stage reads every field of its dataclass. Knows nothing of what the stages do.
"""

import math
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, Literal

from captioner.checkpoint import split_hub_name
from captioner.options import DecodingOptions
from train.flags import Condition, require_at_least, require_share, setting

Recipe = Literal["default", "classic"]
SEED_HELP = "seed of all random numbers"
RECIPE_HELP = "defaults of the other flags: those listed here, or the classic ones"

Augmentation = Literal["none", "classic", "strong"]

CLASS_NOUNS_HELP = (
    "CSV of the nouns that name the encoder's classes (class, word, plural, article, kind), whose "
    "phrases, such as coffee pot, then count as words"
)

FROM_PHOTOS = Condition("without --features", lambda config: config.features is None)
WITH_PHOTOS = Condition(
    "without --features or with --samples",
    lambda config: config.features is None or config.samples > 0,
)
WITH_BOXES = Condition("with --boxes", lambda config: bool(config.boxes))
WITH_CROSS_ENTROPY = Condition(
    "with --cross-entropy above 0", lambda config: config.cross_entropy > 0
)
WITH_BOXES_AND_CROSS_ENTROPY = Condition(
    "with --boxes and --cross-entropy above 0",
    lambda config: bool(config.boxes) and config.cross_entropy > 0,
)
WITH_PENALTY = Condition(
    "with --invented-penalty above 0", lambda config: config.invented_penalty > 0
)
WITH_FINE_TUNING = Condition("with --finetune-stages", lambda config: config.finetune_stages > 0)
WITH_ADAMW = Condition("with --optimizer adamw", lambda config: config.optimizer == "adamw")
WITH_RANDOM_VIEWS = Condition("with --views above 2", lambda config: config.views > 2)
FROM_SCRATCH = Condition("without --start-from", lambda config: config.start_from is None)
WITH_NAMED_PHOTOS = Condition("with --named-photos", lambda config: config.named_photos is not None)
WITH_REPO = Condition("with --repo", lambda config: config.repo is not None)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The data sets, and what every stage that computes needs."""

    captions: tuple[Path, ...] = setting(
        MISSING, "results.csv of Flickr30k or captions.txt of Flickr8k; once per data set"
    )
    splits: tuple[Path, ...] = setting(
        (),
        "Karpathy's JSON file, or a folder with train.txt and val.txt; once per data set, or "
        "never: by default photos are split by a hash of their names",
    )
    photos: tuple[Path, ...] = setting((), "folder of the photos; once per data set")
    device: str = setting(
        "auto", "device: cpu, cuda, cuda:1, mps; auto is a GPU where there is one"
    )
    limit: int = setting(
        0, "use only the first photos of each split of a data set, this many; 0 uses all"
    )

    def __post_init__(self) -> None:
        require_at_least(self, {"limit": 0})
        for name in ("splits", "photos"):
            self._require_one_per_set(name)

    def _require_one_per_set(self, name: str) -> None:
        given, wanted = len(getattr(self, name)), len(self.captions)
        if given not in (0, wanted):
            raise ValueError(
                f"--{name} has {given} and --captions {wanted}; give as many of both, in the same "
                "order"
            )


@dataclass(frozen=True, kw_only=True)
class LoadingConfig(DataConfig):
    """How photos are read and computed with."""

    workers: int = setting(0, "processes that load photos; 0 loads them in the main process")
    autocast: bool = setting(False, "compute in bfloat16 where it is safe")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"workers": 0})


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(LoadingConfig):
    """Build the vocabulary and cache features of every photo. Resumes where it stopped."""

    recipe: Recipe = setting("default", RECIPE_HELP)
    photos: tuple[Path, ...] = setting(MISSING, "folder of the photos; once per data set")
    features: Path = setting(MISSING, "folder for the cached features and the vocabulary")
    encoder: str = setting("tf_efficientnet_lite2", "name of a timm backbone, such as resnet50")
    encoder_weights: str = setting(
        "pretrained", "weight file of the encoder; by default an installed package or the Hub"
    )
    image_size: int = setting(256, "side of the encoder's input in pixels")
    min_frequency: int = setting(5, "fewest occurrences of a word in the train captions")
    keep_punctuation: bool = setting(False, "keep punctuation marks as words")
    class_nouns: Path | None = setting(None, CLASS_NOUNS_HELP)
    views: int = setting(12, "views per training photo: unchanged, mirrored, then random ones")
    augmentation: Literal["classic", "strong"] = setting(
        "strong", "random changes of the training photos", WITH_RANDOM_VIEWS
    )
    seed: int = setting(0, "seed of the random views", WITH_RANDOM_VIEWS)
    stages_left: int = setting(
        2, "last stages of the encoder not to run, so that fit can fine-tune them"
    )
    batch_size: int = setting(8, "views encoded at once; small batches are fastest on a CPU")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"image_size": 32, "min_frequency": 1})
        require_at_least(self, {"views": 1, "batch_size": 1, "stages_left": 0, "seed": 0})


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(LoadingConfig):
    """What the stages that train a model have in common."""

    photos: tuple[Path, ...] = setting(
        (),
        "folder of the photos, once per data set; with --features, for TensorBoard alone",
        WITH_PHOTOS,
    )
    name: str = setting(MISSING, "name of the run; everything goes to <runs>/<name>/")
    runs: Path = setting(Path("runs"), "folder of all runs")
    seed: int = setting(0, SEED_HELP)
    resume: bool = setting(
        False, "resume the run of this name after its last complete epoch, if there is one"
    )
    features: Path | None = setting(
        None, "cached features; without them photos are encoded in every epoch"
    )
    augmentation: Augmentation = setting(
        "strong", "random changes of the training photos", FROM_PHOTOS
    )
    boxes: tuple[Path, ...] = setting(
        (),
        "JSON file of phrases and their boxes (entities.json), to supervise the attention; any "
        "number of them",
    )
    weights: tuple[float, ...] = setting(
        (),
        "how often an epoch sees a photo of each data set on average, such as 1 0.5; by default "
        "once",
    )
    correct_spelling: bool = setting(
        True, "correct rare words of the train captions that are one letter off a frequent one"
    )

    epochs: int = setting(12, "passes over the train captions")
    batch_photos: int = setting(16, "examples in a batch, in each process")
    max_length: int = setting(20, "words kept of a caption")
    val_beam_size: int = setting(1, "beam size of the captions scored after each epoch")
    samples: int = setting(
        4, "val photos whose captions TensorBoard shows, with their attention if --photos is given"
    )

    optimizer: Literal["adam", "adamw"] = setting("adamw", "optimizer")
    lr: float = setting(3e-3, "highest learning rate")
    finetune_stages: int = setting(0, "last stages of the encoder to train")
    finetune_statistics: bool = setting(
        False, "update their batch-norm statistics too", WITH_FINE_TUNING
    )
    encoder_lr: float = setting(1e-4, "highest learning rate of the encoder", WITH_FINE_TUNING)
    weight_decay: float = setting(0.01, "of matrices other than the embeddings", WITH_ADAMW)
    schedule: Literal["cosine", "step", "constant"] = setting(
        "cosine", "learning rate: warm-up and cosine, halved every 10 epochs, or constant"
    )
    clip_norm: float = setting(1.0, "largest norm of the gradient")
    dropout: float = setting(0.4, "share of units dropped in training")
    label_smoothing: float = setting(0.1, "probability spread over all words")
    doubly_stochastic: float = setting(
        0.0, "weight of the penalty on regions whose attention does not sum to 1"
    )
    box_weight: float = setting(0.5, "weight of attending to the boxes of a phrase", WITH_BOXES)
    box_words: Literal["last", "all"] = setting(
        "all", "words of a phrase that should attend to its boxes", WITH_BOXES
    )
    ema_decay: float = setting(0.999, "decay of the averaged weights; 0 averages none")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(
            self, dict.fromkeys(("epochs", "batch_photos", "max_length", "val_beam_size"), 1)
        )
        require_at_least(self, {"finetune_stages": 0, "samples": 0, "seed": 0})
        require_share(self, "dropout", "label_smoothing", "ema_decay")
        for name in ("lr", "encoder_lr", "clip_norm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        self._require_one_per_set("weights")
        if not all(0 <= weight < math.inf for weight in self.weights):
            raise ValueError(f"weights must be at least 0 and finite, got {self.weights}")
        if self.features is None and not self.photos:
            raise ValueError("training needs --features or --photos")
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"name must be a plain folder name, got {self.name!r}")


@dataclass(frozen=True, kw_only=True)
class FitConfig(TrainingConfig):
    """Train a model with teacher forcing."""

    recipe: Recipe = setting("default", RECIPE_HELP)
    start_from: Path | None = setting(
        None, "checkpoint folder whose weights to start from; by default the decoder's are random"
    )
    word_vectors: Path | None = setting(
        None, "initial word vectors, in GloVe's text format, as wide as the embedding", FROM_SCRATCH
    )
    group_captions: bool = setting(
        True, "an example is a photo with all its captions; else a photo with one of them"
    )

    encoder: str = setting("tf_efficientnet_lite2", "name of a timm backbone, such as resnet50")
    encoder_weights: str = setting(
        "pretrained",
        "weight file of the encoder; by default an installed package or the Hub",
        FROM_SCRATCH,
    )
    image_size: int = setting(256, "side of the encoder's input in pixels")
    min_frequency: int = setting(
        5, "fewest occurrences of a word in the train captions", FROM_PHOTOS
    )
    keep_punctuation: bool = setting(False, "keep punctuation marks as words", FROM_PHOTOS)
    class_nouns: Path | None = setting(None, CLASS_NOUNS_HELP, FROM_PHOTOS)
    embedding_size: int = setting(300, "width of word vectors")
    hidden_size: int = setting(512, "width of the LSTM")
    attention_size: int = setting(256, "width of the attention")
    projection_size: int = setting(512, "width that features are projected to; 0 projects none")
    position: bool = setting(True, "add each region's row and column to its features")
    attention_query: Literal["before", "after"] = setting(
        "before", "query of the attention: the LSTM's state before or after its update"
    )
    gate: bool = setting(True, "scale the attention's context by a learned gate")
    deep_output: bool = setting(True, "predict through the tied embeddings; else a linear layer")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"image_size": 32, "min_frequency": 1})


@dataclass(frozen=True, kw_only=True)
class RefineConfig(TrainingConfig):
    """Train a checkpoint further, towards captions of higher CIDEr-D (self-critical training)."""

    start_from: Path = setting(MISSING, "checkpoint folder to start from")
    sampled_captions: int = setting(
        5, "captions sampled per photo; each is compared with the others"
    )
    cross_entropy: float = setting(
        0.2, "weight of teacher forcing on the reference captions beside the reward"
    )
    invented_penalty: float = setting(
        0.0, "reward lost by each object in a caption that no reference mentions"
    )
    wordnet: Path | None = setting(
        None,
        "folder of WordNet 3.0's noun files, such as Debian's /usr/share/wordnet",
        WITH_PENALTY,
    )
    patience: int = setting(3, "epochs without a better val score after which to stop")
    epochs: int = setting(6, "largest number of passes over the train photos")
    batch_photos: int = setting(32, "photos in a batch")
    max_length: int = setting(20, "largest number of words in a caption")
    val_beam_size: int = setting(3, "beam size of the captions scored after each epoch")
    lr: float = setting(1e-4, "highest learning rate")
    dropout: float = setting(0.3, "share of units dropped in training")
    ema_decay: float = setting(0.99, "decay of the averaged weights; 0 averages none")
    schedule: Literal["cosine", "step", "constant"] = setting(
        "constant", "learning rate: warm-up and cosine, halved every 10 epochs, or constant"
    )
    label_smoothing: float = setting(0.1, "probability spread over all words", WITH_CROSS_ENTROPY)
    doubly_stochastic: float = setting(
        0.0,
        "weight of the penalty on regions whose attention does not sum to 1",
        WITH_CROSS_ENTROPY,
    )
    box_weight: float = setting(
        0.5, "weight of attending to the boxes of a phrase", WITH_BOXES_AND_CROSS_ENTROPY
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"sampled_captions": 2, "patience": 1, "cross_entropy": 0})
        require_at_least(self, {"invented_penalty": 0})
        if self.invented_penalty and self.wordnet is None:
            raise ValueError("--invented-penalty needs --wordnet, to tell which words are objects")


@dataclass(frozen=True, kw_only=True)
class DecoderStageConfig(LoadingConfig):
    """What the stages that change a finished checkpoint have in common."""

    checkpoint: Path = setting(MISSING, "checkpoint folder to start from")
    output: Path = setting(MISSING, "folder for the new checkpoint")
    photos: tuple[Path, ...] = setting((), "folder of the photos; once per data set", FROM_PHOTOS)
    features: Path | None = setting(None, "cached features; without them photos are encoded anew")
    batch_photos: int = setting(32, "photos in a batch")
    max_length: int = setting(20, "words kept of a caption")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"batch_photos": 1, "max_length": 1})
        if self.features is None and not self.photos:
            raise ValueError("this stage needs --features or --photos")


@dataclass(frozen=True, kw_only=True)
class PointConfig(DecoderStageConfig):
    """Teach a checkpoint to name what its encoder recognizes (a pointing gate)."""

    class_nouns: Path = setting(
        MISSING,
        "CSV of the nouns that name the encoder's classes (class, word, plural, article, kind)",
    )
    encoder_weights: str = setting(
        "pretrained", "weight file with the classifier; by default an installed package or the Hub"
    )
    recognizer_stages: int = setting(
        2, "last stages of the encoder that were fine-tuned, to be kept as pretrained too"
    )
    correct_spelling: bool = setting(True, "correct misspelled rare words of the train captions")
    hidden: float = setting(
        0.5, "share of words at which the vocabulary may not name what is recognized"
    )
    opening: float = setting(
        1.0, "what is added to the gate's logit after training, so that more is named"
    )
    seed: int = setting(0, SEED_HELP)
    epochs: int = setting(3, "passes over the words")
    batch_words: int = setting(512, "words in a batch")
    lr: float = setting(3e-3, "highest learning rate")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"recognizer_stages": 0, "seed": 0, "epochs": 1, "batch_words": 1})
        require_share(self, "hidden")
        if self.lr <= 0:
            raise ValueError(f"lr must be above 0, got {self.lr}")


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig(DecoderStageConfig):
    """Fit a checkpoint's temperature on val, and summarize its train photos."""

    photo_components: int = setting(
        256, "principal components of the train photos to keep, to tell what is familiar; 0: none"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"photo_components": 0})


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(DataConfig):
    """Score a checkpoint's captions against the references of a split."""

    checkpoint: Path = setting(Path("checkpoints"), "checkpoint folder")
    split: Literal["train", "val", "test"] = setting("val", "split whose photos to caption")
    photos: tuple[Path, ...] = setting((), "folder of the photos; once per data set", FROM_PHOTOS)
    features: Path | None = setting(None, "cached features of the checkpoint's encoder")
    beam_sizes: tuple[int, ...] = setting((1, 3, 5), "beam sizes to score")
    length_penalty: float = setting(
        DecodingOptions.length_penalty, "power of the length that divides log-probabilities"
    )
    no_repeat_ngram: int = setting(
        DecodingOptions.no_repeat_ngram, "allow no n-gram of this size twice; 0 allows all"
    )
    seed: int = setting(0, SEED_HELP)
    bootstrap: int = setting(1000, "bootstrap samples for 95 % intervals; 0 gives no intervals")
    boxes: tuple[Path, ...] = setting(
        (),
        "JSON file of phrases and their boxes (entities.json), to compare the attention with; any "
        "number of them",
    )
    deletion_photos: int = setting(
        100, "photos of each data set in the deletion test, the first ones; 0 skips the test"
    )
    wordnet: Path | None = setting(
        None,
        "folder of WordNet 3.0's noun files (Debian's wordnet-base: /usr/share/wordnet), to find "
        "objects in captions that no reference mentions",
    )
    named_photos: Path | None = setting(
        None,
        "folder of photos of things of known classes, to see whether captions name them and "
        "whether the model finds them less familiar than those of the data sets; needs "
        "--named-labels and --wordnet",
    )
    named_labels: Path | None = setting(
        None,
        "CSV of their classes (photo, class, synset, label)",
        WITH_NAMED_PHOTOS,
    )
    closed_gate: bool = setting(
        False, "close the checkpoint's pointing gate, to measure what it changes"
    )
    output: Path | None = setting(None, "JSON file for the report")
    captions_output: Path | None = setting(None, "JSON Lines file for captions and references")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features is None and not self.photos:
            raise ValueError("evaluate needs --features or --photos")
        require_at_least(self, {"bootstrap": 0, "deletion_photos": 0, "seed": 0})
        if self.named_photos is not None:
            for name in ("named_labels", "wordnet"):
                if getattr(self, name) is None:
                    raise ValueError(f"--named-photos needs --{name.replace('_', '-')}")


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """Publish a checkpoint, the page or both on the Hugging Face Hub, and verify the upload."""

    checkpoint: Path = setting(
        Path("checkpoints"), "checkpoint folder with its model card", WITH_REPO
    )
    repo: str | None = setting(
        None, "model repository for the checkpoint, as owner/name; created if missing"
    )
    space: str | None = setting(
        None, "Space for the page of this checkout, as owner/name; created if missing"
    )
    revision: str | None = setting(
        None, "branch for the checkpoint, created if missing; by default main", WITH_REPO
    )
    private: bool = setting(False, "make the repository or Space private")
    message: str | None = setting(None, "commit message; by default what is published")
    photo: Path | None = setting(
        None,
        "photo to caption with both models; by default one that comes with matplotlib",
        WITH_REPO,
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


CLASSIC: dict[str, Any] = {
    "encoder": "resnet50",
    "image_size": 224,
    "min_frequency": 2,
    "keep_punctuation": True,
    "class_nouns": None,
    "correct_spelling": False,
    "augmentation": "classic",
    "views": 6,
    "stages_left": 0,
    "finetune_stages": 0,
    "embedding_size": 256,
    "hidden_size": 256,
    "attention_size": 256,
    "projection_size": 0,
    "position": False,
    "attention_query": "before",
    "gate": False,
    "deep_output": False,
    "dropout": 0.0,
    "epochs": 25,
    "batch_photos": 32,
    "group_captions": False,
    "max_length": 30,
    "optimizer": "adam",
    "lr": 1e-3,
    "weight_decay": 0.0,
    "schedule": "step",
    "clip_norm": 1.0,
    "label_smoothing": 0.0,
    "doubly_stochastic": 0.0,
    "ema_decay": 0.0,
    "val_beam_size": 1,
    "autocast": False,
}
"""A frozen ResNet50 and cross-entropy alone; each example is a photo, stretched to 256 pixels,
cropped to 224 and mirrored at random, with one of its captions."""

RECIPES: dict[str, dict[str, Any]] = {"default": {}, "classic": CLASSIC}
"""Values by field; the recipe "default" leaves every field at its own default."""
