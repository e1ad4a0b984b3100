"""The `prepare` stage: the vocabulary of the train split, and cached features of all photos."""

import json

from captioner.encoder import FeatureExtractor
from captioner.vocabulary import Vocabulary
from train.config import DataConfig, PrepareConfig
from train.data import load_split
from train.features import encode_photos, list_views

VOCABULARY_FILE = "vocabulary.json"


def prepare(config: PrepareConfig) -> None:
    """Write `vocabulary.json` and the features of train photos (several views) and val photos.

    Raises:
        FileNotFoundError, ValueError: the data or the encoder's weights are missing or unfit.
    """
    config.features.mkdir(parents=True, exist_ok=True)
    vocabulary = build_vocabulary(config)
    path = config.features / VOCABULARY_FILE
    path.write_text(json.dumps(vocabulary.to_json(), indent=1) + "\n", encoding="utf-8")
    train = load_split(config.captions, config.splits, "train", config.limit)
    val = load_split(config.captions, config.splits, "val", config.limit)
    views = [
        *list_views([photo.name for photo in train], config.views),
        *list_views([photo.name for photo in val], 1),
    ]
    encoder = FeatureExtractor(config.encoder, config.encoder_weights).to(config.device)
    encode_photos(
        config.photos,
        views,
        encoder,
        encoder.preprocess_config(config.image_size),
        config.features,
        config.augmentation,
        config.batch_size,
        config.seed,
        config.device,
        config.workers,
    )
    print(f"{len(vocabulary)} vocabulary entries and {len(views)} views in {config.features}")


def build_vocabulary(config: DataConfig) -> Vocabulary:
    """The words of the train split's captions; of no other split, and whatever the limit."""
    photos = load_split(config.captions, config.splits, "train")
    captions = (caption for photo in photos for caption in photo.captions)
    return Vocabulary.build(captions, config.min_frequency, config.keep_punctuation)
