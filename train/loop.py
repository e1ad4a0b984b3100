"""The `fit` stage: teacher forcing, epoch by epoch, keeping the model whose captions score best.

Everything of a run is in `<runs>/<name>/`. All that is random in an epoch follows from the seed
and the epoch's number, so a run that is resumed after its last whole epoch ends with the same
numbers as one that was never stopped. Several processes share each batch and end with the numbers
of one process with batches of that size, dropout apart.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from captioner.captions import Caption
from captioner.checkpoint import save_model
from captioner.model import ImageCaptioningModel
from captioner.options import DecodingOptions
from train.batches import build_dataset, build_loader, epoch_seed
from train.config import FitConfig, TrainingConfig
from train.data import Batch, Flickr30kDataset, load_split
from train.evaluate import caption_photos
from train.metrics import Scorer
from train.objective import Counts, Objective, count
from train.optim import Trainee
from train.processes import add_up, average_gradients, join_processes
from train.runs import open_run, read_state, record_epoch, run_folder
from train.samples import Samples
from train.start import build_model, find_vocabulary

BEST_FOLDER = "best"
KEPT_SCORE = "CIDEr-D"
"""The val score by which the best epoch is kept."""


def fit(config: FitConfig) -> Path:
    """Train a model, alone or together with the other processes that run this.

    Returns:
        The checkpoint folder of the best epoch.

    Raises:
        FileNotFoundError, ValueError: the data or weights are missing or unfit, or the run exists
            and is not to be resumed, or was begun with other settings.
    """
    settings = config
    state, config = join_processes(config)
    run = run_folder(config)
    if state.is_main_process:
        open_run(settings, state.num_processes)
    state.wait_for_everyone()
    train_photos = load_split(config.captions, config.splits, "train", config.limit)
    model = build_model(config, find_vocabulary(config))
    train_set = build_dataset(config, train_photos, model, True, config.group_captions)
    steps = steps_per_epoch(config, train_set, state.num_processes)
    trainee = Trainee.build(config, model, steps)
    history = read_state(run, trainee) if config.resume else []
    judge = Judge(config, run, model, len(history) + 1) if state.is_main_process else None
    objective = average_gradients(Objective(config, model), state, config.finetune_statistics)
    for epoch in range(len(history), config.epochs):
        started = time.monotonic()
        torch.manual_seed(epoch_seed(config, epoch, state.process_index))
        train_set.epoch = epoch
        batches = build_loader(config, train_set, epoch, state.process_index, state.num_processes)
        metrics: dict[str, Any] = {"epoch": epoch + 1}
        left = train_set.source.left
        metrics |= train_epoch(config, trainee, batches, left, objective, state)
        if judge is not None:
            judge.record(trainee, history, metrics, started)
        state.wait_for_everyone()
    if judge is not None:
        judge.writer.close()
    state.destroy_process_group()
    return run / BEST_FOLDER


def steps_per_epoch(config: TrainingConfig, dataset: Flickr30kDataset, processes: int) -> int:
    """Batches in an epoch, of all processes together.

    Raises:
        ValueError: there are fewer examples than processes.
    """
    if len(dataset) < processes:
        raise ValueError(f"{processes} processes cannot share {len(dataset)} training examples")
    return -(-len(dataset) // (config.batch_photos * processes))


class Judge:
    """Validates each epoch's model, keeps the best, and notes all of it; for one process alone."""

    def __init__(
        self, config: TrainingConfig, run: Path, model: ImageCaptioningModel, next_epoch: int
    ) -> None:
        photos = load_split(config.captions, config.splits, "val", config.limit)
        names = [photo.name for photo in photos]
        self.config, self.run = config, run
        self.val_set = build_dataset(config, photos, model, training=False)
        self.scorer = Scorer({photo.name: photo.captions for photo in photos})
        self.samples = Samples(names, config.samples, config.photos)
        self.writer = SummaryWriter(str(run / "tensorboard"), purge_step=next_epoch)

    def record(
        self,
        trainee: Trainee,
        history: list[dict[str, Any]],
        metrics: dict[str, Any],
        started: float,
    ) -> None:
        """Add an epoch to the history and to the run's folder.

        Args:
            metrics: of its training.
            started: when it began, by `time.monotonic`.
        """
        scores, captions = validate(self.config, trainee.judged, self.val_set, self.scorer)
        metrics = {**metrics, **scores, "seconds": round(time.monotonic() - started, 1)}
        best = max((row[KEPT_SCORE] for row in history), default=-1.0)
        if metrics[KEPT_SCORE] > best:
            save_model(trainee.judged, self.run / BEST_FOLDER)
        history.append(metrics)
        self.samples.write(self.writer, metrics["epoch"], captions)
        record_epoch(self.run, self.writer, history, trainee)


def train_epoch(
    config: FitConfig,
    trainee: Trainee,
    batches: Iterable[Batch | None],
    left: int | None,
    objective: nn.Module,
    state: PartialState,
) -> dict[str, float]:
    """One pass over the training data; returns the mean losses per word and the last rates.

    Args:
        batches: this process's shares of the batches.
        objective: an `Objective`, or what averages its gradients over processes.
    """
    trainee.model.train()
    totals, weights = torch.zeros(3, dtype=torch.double), torch.zeros(3, dtype=torch.double)
    bar = tqdm(
        batches, desc="training", unit="batch", leave=False, disable=not state.is_main_process
    )
    batch = None
    for share in bar:
        batch = share or batch  # with nothing to do, take part in the step for a weight of 0
        assert batch is not None
        counted = float(share is not None)
        own = torch.stack(count(batch.token_ids, batch.coverage)).to(config.device) * counted
        counts = Counts(*add_up(own))
        losses = objective(batch, left, counts)
        trainee.optimizer.zero_grad(set_to_none=True)
        (counted * state.num_processes * losses.total).backward()  # the mean becomes a sum
        trainee.update(config.clip_norm)
        over = torch.stack([counts.words, counts.words, counts.boxed]).cpu().double()
        totals += counted * over * torch.stack(losses).detach().cpu().double()
        weights += over
        bar.set_postfix(loss=f"{float(state.num_processes * totals[1] / weights[1]):.3f}")
    means = _whole(totals, config) / weights.clamp(min=1)
    names = ("train_objective", "train_loss", "train_box")
    return dict(zip(names, means.tolist(), strict=True)) | trainee.rates


def _whole(totals: Tensor, config: TrainingConfig) -> Tensor:
    return add_up(totals.float().to(config.device)).cpu().double()


def validate(
    config: TrainingConfig,
    model: ImageCaptioningModel,
    dataset: Flickr30kDataset,
    scorer: Scorer,
) -> tuple[dict[str, float], dict[str, Caption]]:
    """Look at the val photos.

    Returns:
        The mean losses per word, the scores of the model's own captions, and how many different
        words they use; and these captions, by photo name.
    """
    model.eval()
    objective, left = Objective(config, model), dataset.source.left
    totals, weights = torch.zeros(2, dtype=torch.double), torch.zeros(2, dtype=torch.double)
    with torch.inference_mode():
        for batch in build_loader(config, dataset):
            losses = objective(batch, left)
            counts = count(batch.token_ids, batch.coverage)
            over = torch.stack([counts.words, counts.boxed]).double()
            totals += over * torch.stack([losses.nll, losses.box]).cpu().double()
            weights += over
    options = DecodingOptions(beam_size=config.val_beam_size, max_length=config.max_length)
    names = [photo.name for photo in dataset.photos]
    (captions,) = caption_photos(model, names, dataset.source, options)
    texts = {name: str(caption) for name, caption in captions.items()}
    loss, box = (totals / weights.clamp(min=1)).tolist()
    distinct = len({word for text in texts.values() for word in text.split()})
    scores = {"val_loss": loss, "val_box": box, "distinct_words": distinct, **scorer.score(texts)}
    return scores, captions
