"""The `fit` stage: teacher forcing, epoch by epoch, keeping the model whose captions score best.

All files of a run are in `<runs>/<name>/`. The random numbers of an epoch depend on the seed and
the epoch alone, so a run that is resumed after its last complete epoch ends with the same numbers
as one that was never stopped. Several processes share each batch; except for dropout they end with
the numbers of one process with batches of the same total size.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor, nn
from tqdm import tqdm

from captioner.checkpoint import load_model
from captioner.encoder import FeatureExtractor
from captioner.model import ImageCaptioningModel, ModelConfig
from captioner.vocabulary import SPECIALS, Vocabulary
from train.batches import Batch, build_dataset, build_loader, epoch_seed, steps_per_epoch
from train.config import FitConfig
from train.features import VOCABULARY_FILE, build_vocabulary
from train.objective import Counts, Objective, count
from train.optim import TrainingState
from train.runs import (
    add_up,
    average_gradients,
    join_processes,
    open_run,
    read_state,
    run_folder,
)
from train.sets import load_split
from train.validation import BEST_FOLDER, Validator

WORD_TABLES = (
    "decoder.embedding.embedding.weight",
    "decoder.output_bias",
    "decoder.output.weight",
    "decoder.output.bias",
)
"""Those weights of a model that have a row per word."""


def fit(config: FitConfig) -> Path:
    """Train a model, alone or together with the other processes that run this.

    Returns:
        The checkpoint folder of the best epoch.

    Raises:
        FileNotFoundError, ValueError: the data or weights are missing or unfit, or the run exists
            and is not to be resumed, or was started with other settings.
    """
    settings = config
    processes, config = join_processes(config)
    run = run_folder(config)
    if processes.is_main_process:
        open_run(settings, processes.num_processes)
    processes.wait_for_everyone()
    train_photos = load_split(config, "train", config.limit)
    model = build_model(config, find_vocabulary(config))
    train_set = build_dataset(config, train_photos, model, True, config.group_captions)
    steps = steps_per_epoch(config, train_set, processes.num_processes)
    state = TrainingState.build(config, model, steps)
    history = read_state(run, state) if config.resume else []
    validator = None
    if processes.is_main_process:
        validator = Validator(config, run, model, len(history) + 1)
    objective = average_gradients(Objective(config, model), processes, config.finetune_statistics)
    for epoch in range(len(history), config.epochs):
        started = time.monotonic()
        torch.manual_seed(epoch_seed(config, epoch, processes.process_index))
        train_set.epoch = epoch
        batches = build_loader(
            config, train_set, epoch, processes.process_index, processes.num_processes
        )
        metrics: dict[str, Any] = {"epoch": epoch + 1}
        stages_left = train_set.source.stages_left
        metrics |= train_epoch(config, state, batches, stages_left, objective, processes)
        if validator is not None:
            validator.record(state, history, metrics, started)
        processes.wait_for_everyone()
    if validator is not None:
        validator.writer.close()
    processes.destroy_process_group()
    return run / BEST_FOLDER


def train_epoch(
    config: FitConfig,
    state: TrainingState,
    batches: Iterable[Batch | None],
    stages_left: int | None,
    objective: nn.Module,
    processes: PartialState,
) -> dict[str, float]:
    """One pass over the training data; returns the mean losses per word and the last rates.

    Args:
        batches: this process's shares of the batches.
        objective: an `Objective`, or what averages its gradients over processes.
    """
    state.model.train()
    totals, weights = torch.zeros(3, dtype=torch.double), torch.zeros(3, dtype=torch.double)
    bar = tqdm(
        batches, desc="training", unit="batch", leave=False, disable=not processes.is_main_process
    )
    batch = None
    for share in bar:
        batch = share or batch  # with an empty share, take part in the step with weight 0
        assert batch is not None
        counted = float(share is not None)
        own = torch.stack(count(batch.token_ids, batch.coverage)).to(config.device) * counted
        counts = Counts(*add_up(own))
        losses = objective(batch, stages_left, counts)
        state.optimizer.zero_grad(set_to_none=True)
        (counted * processes.num_processes * losses.total).backward()  # the mean becomes a sum
        state.update(config.clip_norm)
        over = torch.stack([counts.words, counts.words, counts.boxed]).cpu().double()
        totals += counted * over * torch.stack(losses).detach().cpu().double()
        weights += over
        bar.set_postfix(loss=f"{float(processes.num_processes * totals[1] / weights[1]):.3f}")
    means = _sum_over_processes(totals, config) / weights.clamp(min=1)
    names = ("train_objective", "train_loss", "train_box")
    return dict(zip(names, means.tolist(), strict=True)) | state.rates


def _sum_over_processes(totals: Tensor, config: FitConfig) -> Tensor:
    return add_up(totals.float().to(config.device)).cpu().double()


def find_vocabulary(config: FitConfig) -> Vocabulary:
    """The one that lies with the cached features, or the train captions' own.

    Raises:
        FileNotFoundError, ValueError: there is none, or the captions are missing or unfit.
    """
    if config.features is None:
        return build_vocabulary(config)
    path = config.features / VOCABULARY_FILE
    if not path.exists():
        raise FileNotFoundError(f"no {path}; run: python -m train prepare")
    return Vocabulary.from_json(json.loads(path.read_text(encoding="utf-8")))


def build_model(config: FitConfig, vocabulary: Vocabulary) -> ImageCaptioningModel:
    """A model to train, on its device.

    Raises:
        FileNotFoundError, ValueError: weights or word vectors are missing or do not fit.
    """
    torch.manual_seed(config.seed)
    # A checkpoint's weights replace the encoder's, which then need not be found.
    weights = "random" if config.start_from is not None else config.encoder_weights
    encoder = FeatureExtractor(config.encoder, weights, config.image_size)
    # Both configurations call what shapes the model by the same names.
    shape = {item.name for item in fields(ModelConfig)} & vars(config).keys()
    model_config = ModelConfig(
        **{name: getattr(config, name) for name in shape},
        preprocess=encoder.preprocess_config(config.image_size),
    )
    model = ImageCaptioningModel(model_config, vocabulary, encoder)
    if config.word_vectors is not None:
        _copy_word_vectors(config.word_vectors, model)
    if config.start_from is not None:
        _copy_weights(config.start_from, model)
    encoder.unfreeze(config.finetune_stages, config.finetune_statistics)
    return model.to(config.device)


def _copy_word_vectors(path: Path, model: ImageCaptioningModel) -> None:
    """Start from given word vectors, in GloVe's text format, scaled to the size of random ones.

    Source: Pennington et al., GloVe (https://nlp.stanford.edu/projects/glove/).
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file of word vectors: {path}")
    table = model.decoder.embedding.weight
    found: list[int] = []
    vectors: list[Tensor] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word, *numbers = line.rstrip().split(" ")
            if len(numbers) != table.shape[1]:
                raise ValueError(
                    f"{path} holds vectors of width {len(numbers)}; "
                    f"set --embedding-size to that, it is {table.shape[1]}"
                )
            if word in model.vocabulary:
                found.append(model.vocabulary.words.index(word))
                vectors.append(torch.tensor([float(number) for number in numbers]))
    if not found:
        raise ValueError(f"{path} holds no word of the vocabulary")
    given = torch.stack(vectors)
    with torch.no_grad():
        table[found] = given * (table[len(SPECIALS) :].std() / given.std())
    print(f"{len(found)} of {len(model.vocabulary)} words start from vectors of {path.name}")


def _copy_weights(checkpoint: Path, model: ImageCaptioningModel) -> None:
    """Copy a checkpoint's weights; its dropout and its words may differ, its shapes may not.

    Words in common keep their weights. A new word keeps its random ones, and has the smallest bias
    of the words in common.
    """
    given = load_model(checkpoint)
    if replace(given.config, dropout=model.config.dropout) != model.config:
        raise ValueError(f"{checkpoint} is of {given.config}, but this run has {model.config}")
    weights = given.state_dict()
    if given.vocabulary.words != model.vocabulary.words:
        _reorder_words(weights, model, given.vocabulary)
    model.load_state_dict(weights)


def _reorder_words(
    weights: dict[str, Tensor], model: ImageCaptioningModel, given: Vocabulary
) -> None:
    """Change weights of a model with the given vocabulary into those of a model with its own."""
    words = model.vocabulary.words
    common = [row for row, word in enumerate(words) if word in given]
    rows = [given.id_of(words[row]) for row in common]
    if len(common) == len(SPECIALS):
        raise ValueError("the checkpoint's vocabulary has no word in common with this run's")
    print(f"{len(common)} of {len(words)} words start from the checkpoint's")
    for name, start in model.state_dict().items():
        if name in WORD_TABLES:
            table = start.clone()
            if table.ndim == 1:
                table[:] = weights[name][rows[len(SPECIALS) :]].min()
            table[common] = weights[name][rows]
            weights[name] = table
