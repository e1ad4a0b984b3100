"""The captioning model: encoder, decoder and vocabulary behind one object.

Shape letters, here and in the modules it is made of: B photos, P positions (regions), T words of
a caption, K beam size, N = B * K rows in decoding, V vocabulary, D_* and H widths.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, get_args

import torch
from PIL import Image
from torch import Tensor, nn

from captioner.decoder import AttentionQuery, LSTMWithAttention
from captioner.decoding import Caption, DecodingOptions, Hypothesis, Word, search
from captioner.encoder import FeatureExtractor
from captioner.images import Photo, PreprocessConfig, load_image, to_tensor
from captioner.visualization import overlay
from captioner.vocabulary import Vocabulary


@dataclass(frozen=True)
class ModelConfig:
    """Everything a model is built from, besides its vocabulary and weights.

    The defaults are the released model's.
    """

    encoder: str = "tf_efficientnet_lite2"
    embedding_size: int = 300
    hidden_size: int = 512
    attention_size: int = 256
    projection_size: int = 512
    position: bool = False
    attention_query: AttentionQuery = "before"
    gate: bool = True
    deep_output: bool = True
    dropout: float = 0.5
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)

    def __post_init__(self) -> None:
        for name in ("embedding_size", "hidden_size", "attention_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.projection_size < 0:
            raise ValueError(f"projection_size must be at least 0, got {self.projection_size}")
        if self.attention_query not in get_args(AttentionQuery):
            raise ValueError(
                f"attention_query must be before or after, got {self.attention_query!r}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")


class Features(NamedTuple):
    """An encoded photo. Takes the photo's place wherever a method wants one."""

    regions: Tensor
    """(P, D), in reading order."""
    grid: tuple[int, int]
    """(rows, cols), rows * cols = P."""


class ImageCaptioningModel(nn.Module):
    """Captions photos and shows where it looked.

    Attributes:
        config: how the model is built.
        vocabulary: the words it can say.
        encoder: the FeatureExtractor.
        decoder: the LSTMWithAttention.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocabulary: Vocabulary,
        encoder: FeatureExtractor | None = None,
    ) -> None:
        """Build the model with an untrained decoder.

        Args:
            encoder: by default `FeatureExtractor(config.encoder)` with its pretrained weights.

        Raises:
            FileNotFoundError, ValueError: as FeatureExtractor.
        """
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        self.encoder = encoder or FeatureExtractor(config.encoder)
        self.decoder = LSTMWithAttention(
            len(vocabulary),
            self.encoder.feature_size,
            embedding_size=config.embedding_size,
            hidden_size=config.hidden_size,
            attention_size=config.attention_size,
            projection_size=config.projection_size,
            position_grid=self.encoder.grid(config.preprocess.image_size)
            if config.position
            else None,
            attention_query=config.attention_query,
            gate=config.gate,
            deep_output=config.deep_output,
            dropout=config.dropout,
        )

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.decoder.embedding.weight.device

    def forward(
        self, images: Tensor, token_ids: Tensor, photo_of_row: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predict every next word of given captions (teacher forcing).

        Args:
            images: (B, 3, S, S), see `images.to_tensor`.
            token_ids: (N, T), from `<sos>` on.
            photo_of_row: (N,), which photo each caption belongs to; by default its own, N = B.

        Returns:
            logits (N, T, V) and alphas (N, T, P).
        """
        return self.decoder(self.encoder(images), token_ids, photo_of_row)

    @torch.inference_mode()
    def encode(self, photo: Photo) -> Features:
        """Look at a photo once, to ask several things of it.

        Raises:
            FileNotFoundError, ValueError: as `images.load_image`.
        """
        return self.encode_tensor(to_tensor(load_image(photo), self.config.preprocess))

    @torch.inference_mode()
    def encode_tensor(self, image: Tensor, left: int | None = None) -> Features:
        """Encode a photo that `images.to_tensor` has prepared.

        Args:
            image: (3, S, S), or what the encoder's `front` made of it.
            left: how many of the encoder's stages are left to do; all of them for an image.
        """
        image = image.unsqueeze(0).to(self.device)
        stages = self.encoder.num_stages if left is None else left
        maps = self.encoder.back(image, stages)  # (1, D, rows, cols)
        return Features(maps[0].flatten(1).T, (maps.shape[2], maps.shape[3]))

    def generate_caption(
        self, photo: Photo | Features, options: DecodingOptions | None = None, **changes: Any
    ) -> Caption:
        """Caption one photo.

        Args:
            photo: a path, a PIL image, an HWC uint8 array, or what `encode` gave.
            options: how to decode; by default `DecodingOptions()`.
            **changes: fields of the options to change, such as `beam_size=5`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the photo cannot be read, or an option is out of range.
        """
        return self.generate_captions([photo], options, **changes)[0]

    @torch.inference_mode()
    def generate_captions(
        self,
        photos: Sequence[Photo | Features],
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> list[Caption]:
        """Caption several photos, decoding them as one batch. As `generate_caption`.

        Call it on an evaluating model (`model.eval()`), as `load_model` returns it.
        """
        options = _changed(options, changes)
        features = [p if isinstance(p, Features) else self.encode(p) for p in photos]
        if not features:
            return []
        state = self.decoder.initial_state(torch.stack([f.regions for f in features]))
        found = search(self.decoder.step, state, len(features), options, self.device)
        return [
            self._caption(hypotheses[0], features[index].grid)
            for index, hypotheses in enumerate(found)
        ]

    def visualize_attention(
        self, photo: Photo, caption: Caption | None = None
    ) -> list[Image.Image]:
        """Draw where the model looked for each word.

        Args:
            photo: the photo captioned.
            caption: its caption; by default a new one.

        Returns:
            One RGB image per word, at the photo's own size.

        Raises:
            FileNotFoundError, ValueError: as `images.load_image`.
        """
        image = load_image(photo)
        caption = caption or self.generate_caption(image)
        return [overlay(image, word.alpha) for word in caption.words]

    def _caption(self, hypothesis: Hypothesis, grid: tuple[int, int]) -> Caption:
        names = self.vocabulary.words
        words = tuple(
            Word(
                names[choice.token_id],
                float(torch.tensor(choice.logprob).exp()),
                tuple((names[other], probability) for other, probability in choice.alternatives),
                choice.alpha.float().cpu().numpy().reshape(grid),
            )
            for choice in hypothesis.choices
        )
        return Caption(words, hypothesis.score, grid)


def _changed(options: DecodingOptions | None, changes: dict[str, Any]) -> DecodingOptions:
    options = options or DecodingOptions()
    names = options.__dataclass_fields__
    if unknown := ", ".join(changes.keys() - names.keys()):
        raise ValueError(f"no such decoding option: {unknown}; there are {', '.join(names)}")
    return replace(options, **changes)
