"""The `point` stage: a pointing gate for a trained checkpoint, so that it names what it recognizes.

The captions' words are gone through once with the model as it is; then the gate alone is trained on
what was found at them. At a share of the words the vocabulary may not say the noun recognized
there, as if it were one that no caption has: the gate learns when to be trusted from photos of
what captions name. Source: after Li et al., LSTM-P (arXiv:1904.11251), sec. 3.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from captioner.checkpoint import load_model, save_model
from captioner.encoder import FeatureExtractor, load_classifier
from captioner.model import ImageCaptioningModel
from captioner.pointing import PointingGate
from captioner.vocabulary import SPECIALS, UNK_ID, Vocabulary
from train.batches import in_order, stage_dataset
from train.class_nouns import ClassNoun, noun_forms, read_nouns
from train.config import PointConfig
from train.objective import caption_inputs
from train.optim import warm_up_and_cosine
from train.runs import find_device

NEVER_SAID = -1e4
"""Bias of words that only the gate can say."""
NOUN_MASS = 0.03
"""Probability of nouns above which a word matters to the gate."""
OTHERS_KEPT = 0.05
"""Share of the other words that are kept."""
HELD_OUT = 0.1
"""Share of the photos whose words are not trained on."""
WORST = -12.0
"""Log-probability below which a word gives no gradient: the gate cannot help it."""
NAMEABLE_PENALTY = 1e-3
NOTHING_TO_LEARN = "there are no words to train a gate on; use more train photos"


def point(config: PointConfig) -> None:
    """Add a pointing gate to a checkpoint and train it.

    Raises:
        FileNotFoundError, ValueError: checkpoint, table, weights or data are missing or unfit.
    """
    torch.manual_seed(config.seed)
    nouns = read_nouns(config.class_nouns)
    model = add_pointing(load_model(config.checkpoint), nouns, config)
    words = collect(config, model.to(find_device(config.device)))
    train_gate(config, pointing_of(model), words)
    pointing_of(model).open(config.opening)
    save_model(model, config.output)
    print(f"{len(words.targets)} words gone through; {config.output} written")


def pointing_of(model: ImageCaptioningModel) -> PointingGate:
    """The model's pointing gate.

    Raises:
        ValueError: it has none.
    """
    if model.decoder.pointing is None:
        raise ValueError("the model has no pointing gate")
    return model.decoder.pointing


def add_pointing(
    given: ImageCaptioningModel, nouns: Sequence[ClassNoun], config: PointConfig
) -> ImageCaptioningModel:
    """The same model with the encoder's classifier, nouns for it, and a gate that is nearly closed.

    Nouns that are no words of the model become such, with the mean of the vectors of its words of
    the same kind, for the words after them; only the gate can say them.

    Raises:
        FileNotFoundError, ValueError: the encoder's weights are missing or unfit, it has another
            number of classes than the table, or the model is not one that can get a gate.
    """
    if given.decoder.pointing is not None:
        raise ValueError("the checkpoint has a pointing gate already")
    if given.decoder.deep_output is None:
        raise ValueError("pointing needs a model with deep output (--deep-output)")
    if given.training_photos is not None:
        raise ValueError("the checkpoint is calibrated already; point first, and calibrate then")
    size = given.config.preprocess.image_size
    pretrained = FeatureExtractor(given.config.encoder, config.encoder_weights, size)
    classifier = load_classifier(given.config.encoder, config.encoder_weights)
    if classifier.out_features != len(nouns):
        raise ValueError(
            f"{given.config.encoder} has {classifier.out_features} classes, but "
            f"{config.class_nouns} has nouns for {len(nouns)}"
        )
    known = given.vocabulary
    new = [form for form in noun_forms(nouns) if form not in known]
    vocabulary = Vocabulary(
        [*known.words[len(SPECIALS) :], *new],
        known.keep_punctuation,
        [noun[:3] for noun in nouns],
    )
    model_config = replace(given.config, recognizer_stages=config.recognizer_stages)
    model = ImageCaptioningModel(model_config, vocabulary, pretrained)
    weights = {**model.state_dict(), **given.state_dict()}
    table = given.decoder.embedding.weight
    vectors = [*(_vector_of_kind(form, nouns, known, table) for form in new)]
    weights["decoder.embedding.embedding.weight"] = torch.cat([table, *vectors])
    bias = given.decoder.output_bias
    weights["decoder.output_bias"] = torch.cat([bias, bias.new_full((len(new),), NEVER_SAID)])
    model.load_state_dict(weights)
    pointing_of(model).classifier.load_state_dict(classifier.state_dict())
    return model.eval()


def _vector_of_kind(
    form: str, nouns: Sequence[ClassNoun], known: Vocabulary, table: Tensor
) -> Tensor:
    """The mean vector (1, D_embedding) of known nouns of the form's kind and number, or of all."""
    noun = next(noun for noun in nouns if form in noun[:2])
    number = noun[:2].index(form)
    alike = [other for other in nouns if other[number] in known]
    alike = [other for other in alike if other.kind == noun.kind] or alike
    rows = [known.id_of(other[number]) for other in alike]
    return table[rows].mean(dim=0, keepdim=True) if rows else table.mean(dim=0, keepdim=True)


class GateExamples(NamedTuple):
    """What the gate is trained on: W words of captions, and the model's state before each."""

    targets: Tensor  # (W,), token ids
    logprobs: Tensor  # (W,), of the targets by the output layer
    said: Tensor  # (W, U), of the pointing gate's words by the output layer, log-probabilities
    seen: Tensor  # (W, C), see `PointingGate.attend`
    hidden: Tensor  # (W, H)
    named: Tensor  # (W, L) bool, nouns said before
    photos: Tensor  # (W,), index of the photo


@torch.inference_mode()
def collect(config: PointConfig, model: ImageCaptioningModel) -> GateExamples:
    """Go through the train captions, each photo in one view.

    Of the words where no noun is probable, only a random few are kept.
    """
    pointing = pointing_of(model)
    dataset = stage_dataset(config, model, "train", config.correct_spelling, config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    parts: list[GateExamples] = []
    start = 0
    for batch in tqdm(in_order(config, dataset), desc="reading", unit="batch", leave=False):
        kind = torch.device(model.device).type
        with torch.autocast(kind, torch.bfloat16, config.autocast):
            regions = model.regions(batch.photos.to(model.device), dataset.source.stages_left)
            token_ids = batch.token_ids.to(model.device)
            photo_of_row = batch.photo_of_row.to(model.device)
            read = model.decoder.read(regions, caption_inputs(token_ids), photo_of_row)
            logits = model.decoder.logits(read.hidden, read.context, read.embedded)
        logprobs = logits.float().log_softmax(dim=1)
        targets = token_ids[read.rows, read.steps + 1]
        said = logprobs[:, pointing.words]
        has_noun = (said.exp().sum(dim=1) > NOUN_MASS) | torch.isin(targets, pointing.words)
        others = torch.rand(len(targets), generator=generator).to(model.device) < OTHERS_KEPT
        kept = (has_noun | others) & (targets != UNK_ID)
        chosen = logprobs.gather(1, targets.unsqueeze(1)).squeeze(1)
        found = (targets, chosen, said.half(), read.seen.half(), read.hidden.half(), read.named)
        photos = photo_of_row[read.rows] + start
        parts.append(GateExamples(*(tensor[kept].cpu() for tensor in (*found, photos))))
        start += len(batch.photos)
    return GateExamples(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


class GateOutput(NamedTuple):
    """What the gate makes of words."""

    logprobs: Tensor  # (W,), of the targets by the mixture
    unmixed: Tensor  # (W,), by the output layer alone
    gate: Tensor  # (W,), logits


def predict(pointing: PointingGate, words: GateExamples, hiding: Tensor) -> GateOutput:
    """Predict words, at some of which the output layer may not say the noun that is recognized.

    Args:
        hiding: (W,) bool, at which words.
    """
    said, logprobs = words.said.float(), words.logprobs
    columns = torch.searchsorted(pointing.words, words.targets).clamp(max=len(pointing.words) - 1)
    is_noun = pointing.words[columns] == words.targets
    with torch.no_grad():
        nouns = pointing.recognize(words.seen.float(), words.named)[1]  # (W, L)
        recognized = nouns.argmax(dim=1)
        hidden = torch.zeros_like(said, dtype=torch.bool)
        hidden = hidden.scatter(1, pointing.nouns[recognized], value=True) & hiding.unsqueeze(1)
        left = torch.log1p(-(said.exp() * hidden).sum(dim=1).clamp(max=1 - 1e-4))
        said = (said - left.unsqueeze(1)).masked_fill(hidden, WORST)
        unsaid = is_noun & hidden.gather(1, columns.unsqueeze(1)).squeeze(1)
        logprobs = (logprobs - left).masked_fill(unsaid, WORST)
    hidden = F.linear(words.hidden.float(), *pointing.hidden_weights)
    gate, read = pointing.point(said, words.seen.float(), hidden, words.named)
    gate = gate.squeeze(1)
    pointed = read.gather(1, columns.unsqueeze(1)).squeeze(1) + F.logsigmoid(gate)
    mixed = logprobs + F.logsigmoid(-gate)
    mixed = torch.where(is_noun, torch.logaddexp(mixed, pointed), mixed)
    return GateOutput(mixed, logprobs, gate)


def train_gate(config: PointConfig, pointing: PointingGate, words: GateExamples) -> None:
    """Train the gate, and print after each epoch what it is worth on photos held out.

    Raises:
        ValueError: there are no words to train on.
    """
    generator = torch.Generator().manual_seed(config.seed)
    if not len(words.targets):
        raise ValueError(NOTHING_TO_LEARN)
    words = GateExamples(*(tensor.to(pointing.words.device) for tensor in words))
    photos = torch.rand(int(words.photos.max()) + 1, generator=generator) < HELD_OUT
    held_out = photos.to(words.photos.device)[words.photos]
    train, rest = (flags.nonzero().squeeze(1) for flags in (~held_out, held_out))
    if not len(train):
        raise ValueError(NOTHING_TO_LEARN)
    trained = [parameter for parameter in pointing.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.lr)
    steps = config.epochs * -(-len(train) // config.batch_words)
    for epoch in range(config.epochs):
        order = train[torch.randperm(len(train), generator=generator).to(train.device)]
        for number, rows in enumerate(order.split(config.batch_words)):
            share = torch.rand(len(rows), generator=generator)
            found = predict(pointing, _only(words, rows), (share < config.hidden).to(rows.device))
            loss = -found.logprobs.clamp(min=WORST).mean()
            loss = loss + NAMEABLE_PENALTY * pointing.nameable.square().mean()
            progress = (epoch * (steps // config.epochs) + number) / steps
            for group in optimizer.param_groups:
                group["lr"] = config.lr * warm_up_and_cosine(progress)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
        if len(rest):
            print(f"epoch {epoch + 1}  {_summary(pointing, _only(words, rest))}", flush=True)


@torch.inference_mode()
def _summary(pointing: PointingGate, words: GateExamples) -> str:
    texts: list[str] = []
    for name, hiding in (("as it is", False), ("with nouns hidden", True)):
        flags = torch.full_like(words.targets, hiding, dtype=torch.bool)
        found = predict(pointing, words, flags)
        gain = (found.logprobs - found.unmixed.clamp(min=WORST)).mean()
        texts.append(
            f"{name}: {gain:.3f} nats per word gained, gate {found.gate.sigmoid().mean():.3f}"
        )
    return "; ".join(texts)


def _only(words: GateExamples, rows: Tensor) -> GateExamples:
    return GateExamples(*(tensor[rows] for tensor in words))
