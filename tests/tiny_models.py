"""Models small enough to build in every test."""

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from captioner import FeatureExtractor, ImageCaptioningModel, ModelConfig, Vocabulary

WORDS = ("dog", "cat", "runs", "sleeps", "on", "the", "grass", "sofa")
NOUNS = (
    ("dog", "dogs", "a"),
    ("coffee pot", "coffee pots", "a"),
    ("ostrich", "ostriches", "an"),
    ("dog", "dogs", "a"),
    ("sheep", "sheep", "a"),
)
"""Of five classes; two share a noun, and one noun has no plural of its own."""
FORMS = ("dogs", "coffee pot", "coffee pots", "ostrich", "ostriches", "sheep")


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


def build_pointing_model(
    config: ModelConfig, words: tuple[str, ...] = (*WORDS, "a", "an", *FORMS)
) -> ImageCaptioningModel:
    """Such a model with a gate that is open, temperature, and a summary of photos of noise.

    Its encoder's last stage has changed since the recognizer kept it.
    """
    config = replace(config, recognizer_stages=2, temperature=1.5, photo_components=6)
    model = build_model(config, Vocabulary(words, class_nouns=NOUNS))
    pointing, summary = model.decoder.pointing, model.training_photos
    assert pointing is not None
    assert summary is not None
    size = config.preprocess.image_size
    with torch.no_grad():
        for parameter in model.encoder.stages[-1].parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
        pointing.gate.bias.fill_(1.0)
        regions = model.regions(F.interpolate(torch.rand(20, 3, 4, 6) * 2 - 1, (size, size)))
        means = model.pretrained_means(regions)
        pointing.classifier.weight.mul_(20)
        pointing.classifier.bias.copy_(-pointing.classifier.weight @ means.mean(dim=0))
        summary.summarize(means, regions.mean(dim=(0, 1)), pointing.classifier)
    return model
