"""Sets of values by name, for the flags that are not given."""

from typing import Any

TP: dict[str, Any] = {
    "encoder": "resnet50",
    "image_size": 224,
    "min_frequency": 2,
    "keep_punctuation": True,
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
"""The classic setting: a frozen ResNet50, cross-entropy alone, one caption with its photo at a
time, photos stretched to 256 pixels, cropped to 224 and mirrored at random."""

RECIPES: dict[str, dict[str, Any]] = {"best": {}, "tp": TP}
"""Values by flag; those of "best" are the fields' own defaults."""
