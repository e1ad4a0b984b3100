"""Models small enough to build in every test."""

import torch
from torch import nn
from torch.nn import functional as F

from captioner import FeatureExtractor, ImageCaptioningModel, ModelConfig, Vocabulary

WORDS = ("dog", "cat", "runs", "sleeps", "on", "the", "grass", "sofa")


def build_model(config: ModelConfig, vocabulary: Vocabulary) -> ImageCaptioningModel:
    """A model with untrained weights that nevertheless depends on the photo and the words."""
    encoder = FeatureExtractor(config.encoder, "random")
    model = ImageCaptioningModel(config, vocabulary, encoder).eval()
    size = config.preprocess.image_size
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(4)
        if isinstance(model.decoder.project, nn.Sequential):  # see what differs between photos
            regions = encoder(F.interpolate(torch.rand(8, 3, 4, 6) * 2 - 1, (size, size)))
            first = model.decoder.project[0]
            first.weight.mul_(20)
            first.bias.copy_(-first.weight @ regions.mean(dim=(0, 1)))
    return model
