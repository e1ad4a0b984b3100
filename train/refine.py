"""The `refine` stage: self-critical training, towards captions of higher CIDEr-D.

Captions of every photo are sampled from the model, and each is made more or less probable by how
much better or worse than the others it scores. Source: Rennie et al. (arXiv:1612.00563), sec. 3,
with the mean of a photo's other captions as the baseline, as Luo has it (arXiv:2003.09971).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from tqdm import tqdm

from captioner.checkpoint import load_model
from captioner.decoder import LSTMWithAttention, TeacherForcingOutput
from captioner.decoding import ban_special_tokens, generate, sample
from captioner.model import ImageCaptioningModel
from captioner.vocabulary import END, PAD_ID, START_ID, UNK_ID, Vocabulary, tokenize
from train.batches import Batch, build_dataset, build_loader, epoch_seed, steps_per_epoch
from train.config import RefineConfig
from train.data import CaptionedPhoto, has_sides, swap_sides
from train.metrics import CiderD
from train.objective import autocast, caption_inputs, caption_losses, encode_batch
from train.objects import ObjectFinder
from train.optim import TrainingState
from train.runs import join_processes, open_run, read_state
from train.sets import load_split
from train.spelling import correct
from train.validation import BEST_FOLDER, KEPT_SCORE, Validator
from train.wordnet import WordNet

ENOUGH_REFERENCES = 3
"""Fewer do not mention enough of a photo to say that something is not on it."""
NEVER_SAMPLED = (PAD_ID, START_ID, UNK_ID)


def refine(config: RefineConfig) -> Path:
    """Train a checkpoint further. Stops when the val score has not risen for some epochs.

    Returns:
        The checkpoint folder of the best epoch; of the given weights, where no epoch is better.

    Raises:
        FileNotFoundError, ValueError: the data or the checkpoint are missing or unfit, or the run
            exists and is not to be resumed, or was started with other settings.
    """
    settings = config
    processes, config = join_processes(config)
    if processes.num_processes > 1:
        raise ValueError("refine is for one process; start it without accelerate launch")
    run = open_run(settings)
    train_photos = load_split(config, "train", config.limit)
    torch.manual_seed(config.seed)
    model = load_model(config.start_from, config.device)
    model.encoder.unfreeze(config.finetune_stages, config.finetune_statistics)
    _set_dropout(model, config.dropout)
    train_set = build_dataset(config, train_photos, model, training=True)
    penalty = None
    if config.wordnet is not None:
        finder = ObjectFinder(WordNet(config.wordnet))
        penalty = InventedPenalty(finder, train_photos, config.invented_penalty)
    reward = Reward(model.vocabulary, train_photos, train_set.misspellings, penalty)
    state = TrainingState.build(config, model, steps_per_epoch(config, train_set, 1))
    history = read_state(run, state) if config.resume else []
    validator = Validator(config, run, model, len(history))
    if not history:  # the given weights are epoch 0
        validator.record(state, history, {"epoch": 0}, time.monotonic())
    while len(history) <= config.epochs and not _is_over(config, history):
        started = time.monotonic()
        epoch = len(history)
        torch.manual_seed(epoch_seed(config, epoch))
        train_set.epoch = epoch
        batches = build_loader(config, train_set, epoch)
        metrics = refine_epoch(config, state, batches, train_set.source.stages_left, reward)
        validator.record(state, history, {"epoch": epoch, **metrics}, started)
    validator.writer.close()
    return run / BEST_FOLDER


class Reward:
    """CIDEr-D of captions as a model says them: n-grams of the train split, `<eos>` a word.

    Without `<eos>` among the words a caption that breaks off would lose nothing.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        photos: Sequence[CaptionedPhoto],
        misspellings: Mapping[str, str] | None = None,
        penalty: "InventedPenalty | None" = None,
    ) -> None:
        self._vocabulary, self._penalty = vocabulary, penalty
        self._references: dict[tuple[str, bool], list[tuple[str, ...]]] = {}
        for photo in photos:
            texts = [correct(text, misspellings or {}) for text in photo.captions]
            upright = [self._words(text) for text in texts]
            mirrored = [
                self._words(swap_sides(text)) if has_sides(text) else words
                for text, words in zip(texts, upright, strict=True)
            ]
            self._references[photo.name, False] = upright
            self._references[photo.name, True] = mirrored
        self._scorer = CiderD(self._references[photo.name, False] for photo in photos)

    def _words(self, text: str) -> tuple[str, ...]:
        return (*tokenize(text, self._vocabulary.keep_punctuation), END)

    def __call__(self, token_ids: Tensor, names: Sequence[tuple[str, bool]]) -> Tensor:
        """Score captions.

        Args:
            token_ids: (B * K, T + 1), K captions of each photo in turn, from `<sos>` on.
            names: of the B photos, and whether they are mirrored.

        Returns:
            (B, K), at most 10.
        """
        samples = len(token_ids) // len(names)
        scores = [
            self._score(row, names[number // samples])
            for number, row in enumerate(token_ids.tolist())
        ]
        return torch.tensor(scores).view(len(names), samples)

    def _score(self, token_ids: Sequence[int], photo: tuple[str, bool]) -> float:
        said = (self._vocabulary.words[i] for i in token_ids if i not in NEVER_SAMPLED)
        words = tuple(part for word in said for part in word.split(" "))
        score = self._scorer.score(words, self._references[photo])
        if self._penalty is not None:
            score -= self._penalty(photo[0], " ".join(words).removesuffix(END))
        return score


class InventedPenalty:
    """What captions lose by naming objects that no reference mentions, see `train.objects`."""

    def __init__(
        self, finder: ObjectFinder, photos: Sequence[CaptionedPhoto], weight: float
    ) -> None:
        """Read the references; photos with fewer than ENOUGH_REFERENCES of them are left alone."""
        self._finder, self._weight = finder, weight
        self._mentions = {
            photo.name: finder.mentions(photo.captions)
            for photo in photos
            if len(photo.captions) >= ENOUGH_REFERENCES
        }

    def __call__(self, name: str, caption: str) -> float:
        """The penalty of a photo's caption."""
        if (mentions := self._mentions.get(name)) is None:
            return 0.0
        things = self._finder.objects(caption)
        return self._weight * sum(not mentions.cover(thing) for thing in things)


def refine_epoch(
    config: RefineConfig,
    state: TrainingState,
    batches: Iterable[Batch],
    stages_left: int | None,
    reward: Reward,
) -> dict[str, float]:
    """One pass over the train photos; returns the mean reward and losses."""
    state.model.train()
    seen: list[tuple[float, ...]] = []
    bar = tqdm(batches, desc="refining", unit="batch", leave=False)
    for batch in bar:
        features = encode_batch(config, state.model, batch, stages_left)
        sampled = sample_captions(config, state.model, features)
        rewards = reward(sampled.cpu(), batch.names)
        loss, nll, box = _losses(config, state.model, features, batch, sampled, rewards)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.update(config.clip_norm)
        length = float((sampled[:, 1:] > UNK_ID).sum(dim=1).float().mean())
        seen.append((float(rewards.mean()), length, float(nll), float(box)))
        bar.set_postfix(reward=f"{np.mean(seen, axis=0)[0]:.3f}")
    means = np.mean(seen, axis=0).tolist()
    names = ("train_reward", "train_length", "train_loss", "train_box")
    return dict(zip(names, means, strict=True)) | state.rates


def _losses(
    config: RefineConfig,
    model: ImageCaptioningModel,
    features: Tensor,
    batch: Batch,
    sampled: Tensor,
    rewards: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, and the parts that teacher forcing has in it; both in one pass of the decoder."""
    num_photos = len(features)
    photo_of_row = torch.arange(num_photos, device=sampled.device).repeat_interleave(
        config.sampled_captions
    )
    token_ids = sampled
    if config.cross_entropy:
        given = batch.token_ids.to(config.device)
        token_ids = _stack_padded(sampled, given)
        photo_of_row = torch.cat([photo_of_row, batch.photo_of_row.to(config.device)])
    with autocast(config):
        output = model.decoder.predict(features, caption_inputs(token_ids), photo_of_row)
    is_sampled = output.rows < len(sampled)
    loss = policy_loss(_only(output, is_sampled), token_ids, rewards.to(config.device))
    if not config.cross_entropy:
        return loss, loss.new_zeros(()), loss.new_zeros(())
    rest = _only(output, ~is_sampled)
    losses = caption_losses(
        rest._replace(rows=rest.rows - len(sampled)),
        token_ids[len(sampled) :],
        None if batch.coverage is None else batch.coverage.to(config.device),
        config.label_smoothing,
        config.doubly_stochastic,
        config.box_weight,
    )
    return loss + config.cross_entropy * losses.total, losses.nll, losses.box


def policy_loss(output: TeacherForcingOutput, token_ids: Tensor, rewards: Tensor) -> Tensor:
    """What makes captions likelier by how much better than a photo's others they are.

    Args:
        output: of sampled captions, given as `caption_inputs(token_ids)`.
        token_ids: (N, T + 1), K captions of each of B photos in turn.
        rewards: (B, K).

    Returns:
        The loss per word.
    """
    samples = rewards.shape[1]
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (samples - 1)
    advantages = (rewards - others).flatten()  # (N,)
    chosen = token_ids[output.rows, output.steps + 1].unsqueeze(1)
    logprobs = output.logits.float().log_softmax(dim=1).gather(1, chosen).squeeze(1)  # (W,)
    return -(advantages[output.rows] * logprobs).mean()


@torch.no_grad()
def sample_captions(config: RefineConfig, model: ImageCaptioningModel, features: Tensor) -> Tensor:
    """Sample captions from an evaluating model's distribution.

    Returns:
        (B * K, T + 1) token ids from `<sos>` to `<eos>`, then `<pad>`; a caption as long as is
        allowed has no `<eos>`.
    """

    def choose(logprobs: Tensor, token_ids: Tensor) -> Tensor:
        return sample(logprobs.exp(), torch.rand(len(logprobs), device=logprobs.device))

    decoder: LSTMWithAttention = model.decoder.eval()
    with autocast(config):
        state = decoder.initial_state(features).shared_by(config.sampled_captions)
        start = torch.full((state.num_rows,), START_ID, device=state.device)
        steps = generate(
            decoder.step, state, choose, lambda _: [ban_special_tokens], config.max_length
        )
        columns = [start, *(step.chosen for step in steps)]
    decoder.train()
    return torch.stack(columns, dim=1)


def _stack_padded(first: Tensor, second: Tensor) -> Tensor:
    width = max(first.shape[1], second.shape[1])
    return torch.cat(
        [pad(part, (0, width - part.shape[1]), value=PAD_ID) for part in (first, second)]
    )


def _only(output: TeacherForcingOutput, wanted: Tensor) -> TeacherForcingOutput:
    rows, steps, logits, alphas = (tensor[wanted] for tensor in output[:4])
    return TeacherForcingOutput(rows, steps, logits, alphas)


def _is_over(config: RefineConfig, history: Sequence[dict[str, Any]]) -> bool:
    """Whether the best epoch lies further back than patience goes."""
    scores = [row[KEPT_SCORE] for row in history]
    return len(scores) - 1 - scores.index(max(scores)) >= config.patience


def _set_dropout(model: ImageCaptioningModel, share: float) -> None:
    for module in model.decoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
