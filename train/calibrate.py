"""The `calibrate` stage: a checkpoint's temperature, and its summary of the train photos."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from tqdm import tqdm

from captioner.checkpoint import load_model, save_model
from captioner.model import ImageCaptioningModel
from captioner.vocabulary import UNK_ID
from train.batches import Batch, in_order, stage_dataset
from train.calibration import fit_temperature
from train.config import CalibrateConfig
from train.objective import caption_inputs
from train.runs import find_device


def calibrate(config: CalibrateConfig) -> None:
    """Write a checkpoint whose probabilities are calibrated and that knows what is familiar.

    Raises:
        FileNotFoundError, ValueError: checkpoint or data are missing or unfit, or there are fewer
            train photos or features than components to keep.
    """
    given = load_model(config.checkpoint)
    settings = replace(given.config, temperature=1.0, photo_components=config.photo_components)
    model = ImageCaptioningModel(settings, given.vocabulary, given.encoder)
    weights = {**model.state_dict(), **_without_summary(given)}
    model.load_state_dict(weights)
    model = model.eval().to(find_device(config.device))
    if config.photo_components:
        summarize(config, model)
    fitted = fit_temperature(_predictions(config, model))
    model.config = replace(settings, temperature=round(fitted.temperature, 4))
    save_model(model, config.output)
    print(
        f"temperature {fitted.temperature:.4f}: expected calibration error on val "
        f"{fitted.error_before:.4f} before, {fitted.error:.4f} after; {config.output} written"
    )


def _regions(
    config: CalibrateConfig, model: ImageCaptioningModel, batch: Batch, stages_left: int | None
) -> Tensor:
    with torch.autocast(model.device.type, torch.bfloat16, config.autocast):
        regions = model.regions(batch.photos.to(model.device), stages_left)
    return regions.float()


def _without_summary(model: ImageCaptioningModel) -> dict[str, Tensor]:
    state = model.state_dict()
    return {name: state[name] for name in state if not name.startswith("training_photos.")}


@torch.inference_mode()
def _predictions(
    config: CalibrateConfig, model: ImageCaptioningModel
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (W, V) at the words of val captions, and the words; unknown words are left out."""
    dataset = stage_dataset(config, model, "val")
    for batch in tqdm(in_order(config, dataset), desc="predicting", unit="batch", leave=False):
        token_ids = batch.token_ids.to(model.device)
        output = model.decoder.predict(
            _regions(config, model, batch, dataset.source.stages_left),
            caption_inputs(token_ids),
            batch.photo_of_row.to(model.device),
        )
        targets = token_ids[output.rows, output.steps + 1]
        yield output.logits[targets != UNK_ID].float(), targets[targets != UNK_ID]


@torch.inference_mode()
def summarize(config: CalibrateConfig, model: ImageCaptioningModel) -> None:
    """Fill the model's summary of the train photos, each as it is.

    Raises:
        ValueError: there are fewer of them, or of features, than components to keep.
    """
    dataset = stage_dataset(config, model, "train")
    limit = min(len(dataset), model.encoder.feature_size)
    if config.photo_components > limit or len(dataset) < 2:
        raise ValueError(
            f"{config.photo_components} components need as many train photos and features of a "
            f"region, and at least two photos, got {len(dataset)} photos and "
            f"{model.encoder.feature_size} features; lower --photo-components"
        )
    means: list[Tensor] = []
    total, regions = torch.zeros((), device=model.device), 0
    for batch in tqdm(in_order(config, dataset), desc="summarizing", unit="batch", leave=False):
        found = _regions(config, model, batch, dataset.source.stages_left)
        means.append(model.pretrained_means(found))
        total = total + found.sum(dim=(0, 1))
        regions += found.shape[0] * found.shape[1]
    training, pointing = model.training_photos, model.decoder.pointing
    assert training is not None  # the configuration wants components
    classifier = None if pointing is None else pointing.classifier
    training.summarize(torch.cat(means), total / regions, classifier)
