"""Captions for photos, with where the model looked for each word."""

from captioner.captions import Caption, Occlusion, Word
from captioner.checkpoint import load_model, save_model
from captioner.decoder import Attention, EmbeddingLayer, LSTMWithAttention
from captioner.encoder import FeatureExtractor
from captioner.images import PreprocessConfig, load_image
from captioner.model import Features, ImageCaptioningModel, ModelConfig
from captioner.options import DecodingOptions
from captioner.vocabulary import Vocabulary

__all__ = [
    "Attention",
    "Caption",
    "DecodingOptions",
    "EmbeddingLayer",
    "FeatureExtractor",
    "Features",
    "ImageCaptioningModel",
    "LSTMWithAttention",
    "ModelConfig",
    "Occlusion",
    "PreprocessConfig",
    "Vocabulary",
    "Word",
    "load_image",
    "load_model",
    "save_model",
]
