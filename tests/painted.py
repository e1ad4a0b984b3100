"""Painted photos whose colours are classes of the encoder, and a model that knows most of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from captioner import FeatureExtractor, ImageCaptioningModel, ModelConfig, Vocabulary, save_model
from captioner.preprocessing import PreprocessConfig, to_tensor
from captioner.vocabulary import PAD_ID
from tests.tiny_models import build_model
from train.objective import caption_inputs

COLOURS = {
    "cherry": (220, 20, 30), "leaf": (20, 170, 30), "sky": (90, 170, 250), "coal": (15, 15, 15),
    "lemon": (250, 230, 30), "cloud": (250, 250, 250), "plum": (110, 20, 120),
    "orange": (250, 140, 10),
}  # fmt: skip
"""One class each, in order; no caption has the last two."""
KNOWN, UNHEARD = list(COLOURS)[:-2], list(COLOURS)[-2:]
CLASSES = 1000
SHARPNESS = 12.0
"""Logits by which the classifier tells the two colours apart that are most alike."""


def paint(name: str, seed: int) -> Image.Image:
    """A photo of one colour, more or less."""
    noise = np.random.default_rng(seed).normal(0, 6, (48, 48, 3))
    return Image.fromarray((COLOURS[name] + noise).clip(0, 255).astype(np.uint8))


def captions_of(name: str) -> tuple[str, str]:
    return f"the {name} sleeps", f"a {name} on the grass"


def write_painted(folder: Path) -> Path:
    """Photos, captions and splits; `encoder.pth`, its table `nouns.csv` and a `checkpoint`."""
    torch.manual_seed(0)
    (folder / "photos").mkdir(parents=True)
    rows = ["image_name| comment_number| comment"]
    splits: dict[str, list[str]] = {"train": [], "val": []}
    for number in range(30):
        name = KNOWN[number % len(KNOWN)]
        file = f"{number:02}.png"
        paint(name, number).save(folder / "photos" / file)
        rows += [f"{file}| {place}| {text}" for place, text in enumerate(captions_of(name))]
        splits["train" if number < 24 else "val"].append(file)
    (folder / "results.csv").write_text("\n".join(rows), encoding="utf-8")
    for split, names in splits.items():
        (folder / f"{split}.txt").write_text("\n".join(names), encoding="utf-8")
    write_nouns(folder / "nouns.csv")
    preprocess = PreprocessConfig(64)
    torch.save(classifying_weights(preprocess), folder / "encoder.pth")
    save_model(train_model(folder / "encoder.pth", preprocess), folder / "checkpoint")
    return folder


def stage_settings(painted: Path, output: Path) -> dict[str, Any]:
    """What every stage that changes the checkpoint of `write_painted` needs to be told."""
    return {
        "captions": (painted / "results.csv",),
        "splits": (painted,),
        "photos": (painted / "photos",),
        "checkpoint": painted / "checkpoint",
        "output": output,
        "device": "cpu",
    }


def write_nouns(path: Path) -> None:
    names = [*COLOURS, *(["thing"] * (CLASSES - len(COLOURS)))]
    lines = ["class,word,plural,article,kind"]
    lines += [
        f"{number},{name},{name}s,{'an' if name == 'orange' else 'a'},{kind_of(name)}"
        for number, name in enumerate(names)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def kind_of(name: str) -> str:
    return "fruit" if name in ("cherry", "lemon", "plum", "orange") else "other"


def classifying_weights(preprocess: PreprocessConfig) -> dict[str, torch.Tensor]:
    """A backbone with random weights and a classifier that tells the colours apart."""
    network = timm.create_model("test_resnet").eval()
    images = torch.stack([to_tensor(paint(name, 99), preprocess) for name in COLOURS])
    with torch.no_grad():
        centres = network.forward_features(images).mean(dim=(2, 3))  # (8, D)
        nearest = torch.pdist(centres).min().square()
        classifier = network.get_classifier()
        classifier.weight.zero_()
        classifier.bias.fill_(-1e4)
        classifier.weight[: len(COLOURS)] = 2 * SHARPNESS / nearest * centres
        classifier.bias[: len(COLOURS)] = -SHARPNESS / nearest * centres.square().sum(dim=1)
    return network.state_dict()


def train_model(weights: Path, preprocess: PreprocessConfig) -> ImageCaptioningModel:
    """A model of the known colours, whose encoder's last stage is no longer the pretrained one."""
    config = ModelConfig(
        "test_resnet", 24, 32, 16, 20, position=False, dropout=0.0, preprocess=preprocess
    )
    vocabulary = Vocabulary([*KNOWN, "the", "a", "on", "sleeps", "grass"], keep_punctuation=False)
    model = build_model(config, vocabulary)
    given = FeatureExtractor("test_resnet", weights, 64)
    model.encoder.load_state_dict(given.state_dict())
    with torch.no_grad():
        for parameter in model.encoder.stages[-1].parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    names = [name for name in KNOWN for _ in range(4)]
    images = [to_tensor(paint(name, 200 + seed), preprocess) for seed, name in enumerate(names)]
    with torch.no_grad():
        features = model.encoder(torch.stack(images))
    centre_projection(model, features)
    rows = [vocabulary.encode(text) for name in names for text in captions_of(name)]
    token_ids = pad(rows)
    photo_of_row = torch.arange(len(names)).repeat_interleave(2)
    optimizer = torch.optim.Adam(model.decoder.parameters(), lr=0.02)
    for _ in range(60):
        output = model.decoder.predict(features, caption_inputs(token_ids), photo_of_row)
        loss = F.cross_entropy(output.logits, token_ids[output.rows, output.steps + 1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def centre_projection(model: ImageCaptioningModel, features: torch.Tensor) -> None:
    """Let the decoder see what differs between photos."""
    assert isinstance(model.decoder.project, nn.Sequential)
    first = model.decoder.project[0]
    with torch.no_grad():
        scale = (features.mean(dim=1).std(dim=0).norm() / features.shape[2] ** 0.5).clamp(min=1e-4)
        first.weight.copy_(torch.randn_like(first.weight) / scale / features.shape[2] ** 0.5)
        first.bias.copy_(-first.weight @ features.mean(dim=(0, 1)))


def pad(rows: Sequence[Sequence[int]]) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *([PAD_ID] * (width - len(row)))] for row in rows])


def with_closed_gate(model: ImageCaptioningModel) -> ImageCaptioningModel:
    assert model.decoder.pointing is not None
    model.decoder.pointing.close()
    return model
