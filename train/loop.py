"""The `fit` stage: teacher forcing, epoch by epoch, keeping the model whose captions score best.

Everything of a run is in `<runs>/<name>/`. All that is random in an epoch follows from the seed
and the epoch's number, so a run that is resumed after its last whole epoch ends with the same
numbers as one that was never stopped.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from captioner.checkpoint import load_model, save_model
from captioner.decoder import LSTMWithAttention
from captioner.decoding import DecodingOptions
from captioner.encoder import FeatureExtractor
from captioner.model import ImageCaptioningModel, ModelConfig
from captioner.vocabulary import PAD_ID, Vocabulary
from train.config import FitConfig
from train.data import (
    Batch,
    CaptionedPhoto,
    Flickr30kDataset,
    PhotoFolder,
    PhotoSource,
    collate,
    load_split,
)
from train.evaluate import caption_photos
from train.features import VOCABULARY_FILE, FeatureCache, build_vocabulary
from train.metrics import Scorer
from train.runs import open_run, read_state, record_epoch

BEST_FOLDER = "best"
WARM_UP_SHARE = 0.05
"""Of a run with the cosine schedule."""
KEPT_SCORE = "CIDEr-D"
"""The val score by which the best epoch is kept."""


class Losses(NamedTuple):
    """What training minimises, and its plain part."""

    total: Tensor
    nll: Tensor
    """Mean negative log-likelihood of a word in nats, without smoothing or penalty."""
    words: int
    """Words, `<eos>` included, that the means are over."""


def fit(config: FitConfig) -> Path:
    """Train a model.

    Returns:
        The checkpoint folder of the best epoch.

    Raises:
        FileNotFoundError, ValueError: the data or weights are missing or unfit, or the run exists
            and is not to be resumed, or was begun with other settings.
    """
    run = open_run(config)
    train_photos = load_split(config.captions, config.splits, "train", config.limit)
    val_photos = load_split(config.captions, config.splits, "val", config.limit)
    vocabulary = _vocabulary(config)
    model = _build_model(config, vocabulary)
    train_set = _dataset(config, train_photos, model, training=True)
    val_set = _dataset(config, val_photos, model, training=False)
    scorer = Scorer({photo.name: photo.captions for photo in val_photos})

    trainee = Trainee.build(config, model.decoder, -(-len(train_set) // config.batch_photos))
    history = read_state(run, trainee) if config.resume else []
    writer = SummaryWriter(str(run / "tensorboard"), purge_step=len(history))
    for epoch in range(len(history), config.epochs):
        started = time.monotonic()
        torch.manual_seed(_epoch_seed(config, epoch))
        train_set.epoch = epoch
        metrics: dict[str, Any] = {"epoch": epoch + 1}
        metrics |= train_epoch(config, model, trainee, _loader(config, train_set, epoch))
        with _averaged_weights(model, trainee):
            metrics |= validate(config, model, val_set, scorer)
            metrics["seconds"] = round(time.monotonic() - started, 1)
            best = max((row[KEPT_SCORE] for row in history), default=-1.0)
            if metrics[KEPT_SCORE] > best:
                save_model(model, run / BEST_FOLDER)
        history.append(metrics)
        record_epoch(run, writer, history, trainee)
    writer.close()
    return run / BEST_FOLDER


@dataclass
class Trainee:
    """What changes as training goes on."""

    decoder: LSTMWithAttention
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler

    @classmethod
    def build(
        cls, config: FitConfig, decoder: LSTMWithAttention, steps_per_epoch: int
    ) -> "Trainee":
        optimizer = build_optimizer(config, decoder)
        average = None
        if config.ema_decay:
            average = AveragedModel(decoder, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))
        return cls(decoder, average, optimizer, build_schedule(config, optimizer, steps_per_epoch))

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts():
            part.load_state_dict(state[name])

    def _parts(self) -> list[tuple[str, Any]]:
        return [(name, part) for name, part in vars(self).items() if part is not None]


def build_optimizer(config: FitConfig, decoder: LSTMWithAttention) -> torch.optim.Optimizer:
    """Adam, or AdamW that decays matrices but neither embeddings nor vectors."""
    if config.optimizer == "adam":
        return torch.optim.Adam(decoder.parameters(), lr=config.lr)
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in decoder.named_parameters():
        decay = parameter.ndim > 1 and not name.startswith("embedding.")
        (decayed if decay else kept).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98))


def build_schedule(
    config: FitConfig, optimizer: torch.optim.Optimizer, steps_per_epoch: int
) -> LRScheduler:
    """The learning rate over all steps of a run; stepped once per batch."""
    return LambdaLR(optimizer, lambda step: learning_rate_at(step / steps_per_epoch, config))


def learning_rate_at(epoch: float, config: FitConfig) -> float:
    """The share of the highest learning rate, 0 to 1, after so many epochs."""
    if config.schedule == "step":
        return 0.5 ** (int(epoch) // 10)
    if config.schedule == "constant":
        return 1.0
    warm_up = WARM_UP_SHARE * config.epochs
    if epoch < warm_up:
        return max(epoch / warm_up, 0.02)
    progress = (epoch - warm_up) / (config.epochs - warm_up)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def caption_losses(
    logits: Tensor, alphas: Tensor, targets: Tensor, smoothing: float, doubly_stochastic: float
) -> Losses:
    """The training loss of a batch.

    Args:
        logits: (N, T, V).
        alphas: (N, T, P).
        targets: (N, T) token ids; `<pad>` counts for nothing.
        smoothing: probability spread over all words, 0 to 1.
        doubly_stochastic: weight of the penalty on regions whose attention over the caption does
            not sum to 1.

    Source: Show, Attend and Tell (arXiv:1502.03044), sec. 4.2.1, eq. 14.
    """
    spoken = targets != PAD_ID  # (N, T)
    logprobs = logits[spoken].float().log_softmax(dim=1)  # (words, V)
    nll = F.nll_loss(logprobs, targets[spoken])
    smoothed = (1 - smoothing) * nll - smoothing * logprobs.mean()
    coverage = (alphas.float() * spoken.unsqueeze(2)).sum(dim=1)  # (N, P)
    penalty = ((1 - coverage) ** 2).mean()
    return Losses(smoothed + doubly_stochastic * penalty, nll.detach(), len(logprobs))


def train_epoch(
    config: FitConfig, model: ImageCaptioningModel, trainee: Trainee, batches: Iterable[Batch]
) -> dict[str, float]:
    """One pass over the training data; returns the mean losses per word and the last rate."""
    model.train()
    totals, words = np.zeros(2), 0
    bar = tqdm(batches, desc="training", unit="batch", leave=False)
    for batch in bar:
        losses = _losses_of(config, model, batch)
        trainee.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()
        nn.utils.clip_grad_norm_(trainee.decoder.parameters(), config.clip_norm)
        trainee.optimizer.step()
        trainee.schedule.step()
        if trainee.average is not None:
            trainee.average.update_parameters(trainee.decoder)
        totals += [losses.words * losses.total.item(), losses.words * losses.nll.item()]
        words += losses.words
        bar.set_postfix(loss=f"{totals[1] / words:.3f}")
    total, nll = totals / words
    return {
        "train_objective": float(total),
        "train_loss": float(nll),
        "lr": float(trainee.schedule.get_last_lr()[0]),
    }


def validate(
    config: FitConfig,
    model: ImageCaptioningModel,
    dataset: Flickr30kDataset,
    scorer: Scorer,
) -> dict[str, float]:
    """Mean val loss per word, and the scores of the model's own captions of the val photos."""
    model.eval()
    with torch.inference_mode():
        losses = [_losses_of(config, model, batch) for batch in _loader(config, dataset)]
    options = DecodingOptions(beam_size=config.val_beam_size, max_length=config.max_length)
    names = [photo.name for photo in dataset.photos]
    (captions,) = caption_photos(model, names, dataset.source, options)
    texts = {name: str(caption) for name, caption in captions.items()}
    val_loss = sum(part.words * part.nll.item() for part in losses) / sum(p.words for p in losses)
    return {"val_loss": val_loss, **scorer.score(texts)}


def _losses_of(config: FitConfig, model: ImageCaptioningModel, batch: Batch) -> Losses:
    photos, token_ids, photo_of_row = (tensor.to(config.device) for tensor in batch)
    predict: Callable[..., tuple[Tensor, Tensor]] = model if photos.ndim == 4 else model.decoder
    with torch.autocast(torch.device(config.device).type, torch.bfloat16, config.autocast):
        logits, alphas = predict(photos, token_ids[:, :-1], photo_of_row)
    return caption_losses(
        logits, alphas, token_ids[:, 1:], config.label_smoothing, config.doubly_stochastic
    )


@contextmanager
def _averaged_weights(model: ImageCaptioningModel, trainee: Trainee) -> Iterator[None]:
    """Give the model the averaged weights for a while, where there are any."""
    if trainee.average is not None:
        model.decoder = cast(LSTMWithAttention, trainee.average.module)
    try:
        yield
    finally:
        model.decoder = trainee.decoder


def _build_model(config: FitConfig, vocabulary: Vocabulary) -> ImageCaptioningModel:
    torch.manual_seed(config.seed)
    encoder = FeatureExtractor(config.encoder, config.encoder_weights)
    # Both configurations call what shapes the model by the same names.
    shape = {item.name for item in fields(ModelConfig)} & vars(config).keys()
    model_config = ModelConfig(
        **{name: getattr(config, name) for name in shape},
        preprocess=encoder.preprocess_config(config.image_size),
    )
    model = ImageCaptioningModel(model_config, vocabulary, encoder)
    if config.start_from is not None:
        _copy_decoder(config.start_from, model)
    return model.to(config.device)


def _copy_decoder(checkpoint: Path, model: ImageCaptioningModel) -> None:
    """Begin with a checkpoint's decoder; its dropout may differ, its shapes and words may not."""
    given = load_model(checkpoint)
    if given.vocabulary.words != model.vocabulary.words:
        raise ValueError(f"{checkpoint} has another vocabulary than this run's train captions give")
    if replace(given.config, dropout=model.config.dropout) != model.config:
        raise ValueError(f"{checkpoint} is of {given.config}, but this run has {model.config}")
    model.decoder.load_state_dict(given.decoder.state_dict())


def _vocabulary(config: FitConfig) -> Vocabulary:
    if config.features is None:
        return build_vocabulary(config)
    path = config.features / VOCABULARY_FILE
    if not path.exists():
        raise FileNotFoundError(f"no {path}; run: python -m train prepare")
    return Vocabulary.from_json(json.loads(path.read_text(encoding="utf-8")))


def _dataset(
    config: FitConfig,
    photos: list[CaptionedPhoto],
    model: ImageCaptioningModel,
    training: bool,
) -> Flickr30kDataset:
    source: PhotoSource
    preprocess = model.config.preprocess
    if config.features is not None:
        source = FeatureCache(config.features, random_views=training)
        source.require(model.encoder, preprocess)
    else:
        assert config.photos is not None  # checked by FitConfig
        augmentation = config.augmentation if training else "none"
        source = PhotoFolder(config.photos, preprocess, augmentation)
    return Flickr30kDataset(
        photos, model.vocabulary, source, config.max_length, group_captions=True, seed=config.seed
    )


def _loader(
    config: FitConfig, dataset: Flickr30kDataset, shuffle_epoch: int | None = None
) -> "DataLoader[Any]":
    generator = torch.Generator().manual_seed(_epoch_seed(config, shuffle_epoch or 0))
    return DataLoader(
        dataset,
        batch_size=config.batch_photos,
        shuffle=shuffle_epoch is not None,
        generator=generator,
        num_workers=config.workers,
        collate_fn=collate,
    )


def _epoch_seed(config: FitConfig, epoch: int) -> int:
    return config.seed * 100_003 + epoch
