"""What a run starts from: its vocabulary, a new model, word vectors, another run's weights."""

import json
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import Tensor

from captioner.checkpoint import load_model
from captioner.encoder import FeatureExtractor
from captioner.model import ImageCaptioningModel, ModelConfig
from captioner.vocabulary import SPECIALS, Vocabulary
from train.config import FitConfig
from train.features import VOCABULARY_FILE, build_vocabulary


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
    encoder = FeatureExtractor(config.encoder, weights)
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
    """Begin with given word vectors, in GloVe's text format, scaled to the size of random ones.

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
    print(f"{len(found)} of {len(model.vocabulary)} words begin with vectors of {path.name}")


def _copy_weights(checkpoint: Path, model: ImageCaptioningModel) -> None:
    """Begin with a checkpoint's weights; its dropout may differ, its shapes and words may not."""
    given = load_model(checkpoint)
    if given.vocabulary.words != model.vocabulary.words:
        raise ValueError(f"{checkpoint} has another vocabulary than this run's train captions give")
    if replace(given.config, dropout=model.config.dropout) != model.config:
        raise ValueError(f"{checkpoint} is of {given.config}, but this run has {model.config}")
    model.load_state_dict(given.state_dict())
