"""Captions for photos, with the model's attention for each word."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captioner.captions import Caption, Ending, Occlusion, Word
    from captioner.checkpoint import load_model, save_model
    from captioner.decoder import Attention, EmbeddingLayer, LSTMWithAttention
    from captioner.encoder import FeatureExtractor
    from captioner.errors import PhotoError
    from captioner.images import load_image
    from captioner.model import Features, ImageCaptioningModel, ModelConfig
    from captioner.options import DecodingOptions
    from captioner.photo_reader import PhotoReader
    from captioner.preprocessing import PreprocessConfig
    from captioner.search_tree import SearchTree
    from captioner.vocabulary import Vocabulary

__all__ = [
    "Attention",
    "Caption",
    "DecodingOptions",
    "EmbeddingLayer",
    "Ending",
    "FeatureExtractor",
    "Features",
    "ImageCaptioningModel",
    "LSTMWithAttention",
    "ModelConfig",
    "Occlusion",
    "PhotoError",
    "PhotoReader",
    "PreprocessConfig",
    "SearchTree",
    "Vocabulary",
    "Word",
    "load_image",
    "load_model",
    "save_model",
]

_MODULES = {
    "captions": ("Caption", "Ending", "Occlusion", "Word"),
    "checkpoint": ("load_model", "save_model"),
    "decoder": ("Attention", "EmbeddingLayer", "LSTMWithAttention"),
    "encoder": ("FeatureExtractor",),
    "images": ("load_image",),
    "model": ("Features", "ImageCaptioningModel", "ModelConfig"),
    "options": ("DecodingOptions",),
    "errors": ("PhotoError",),
    "photo_reader": ("PhotoReader",),
    "preprocessing": ("PreprocessConfig",),
    "search_tree": ("SearchTree",),
    "vocabulary": ("Vocabulary",),
}


def __getattr__(name: str) -> Any:
    """Import a public name's module on first use: a process that reads photos needs no torch."""
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
