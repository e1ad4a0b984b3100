"""The captioning model: encoder, decoder and vocabulary behind one object.

Shape letters, here and in the modules it is made of: B photos, P positions (regions), T words of
a caption, K beam size, N = B * K rows in decoding, V vocabulary, D_* and H widths.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, get_args

import torch
from PIL import Image
from torch import Tensor, nn

from captioner.beam_search import search
from captioner.captions import Caption, Occlusion, Word
from captioner.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    short,
)
from captioner.decoder import AttentionQuery, LSTMWithAttention
from captioner.decoding import Hypothesis, TokenConstraints
from captioner.encoder import FeatureExtractor
from captioner.images import READ_MIN_SIDE, Photo, load_image
from captioner.options import DecodingOptions
from captioner.preprocessing import PreprocessConfig, to_tensor
from captioner.visualization import overlay
from captioner.vocabulary import END_ID, SPECIALS, START_ID, UNK_ID, Vocabulary

MAX_WORDS = 200
"""Of a caption that a person gives."""
MAX_VARIANTS = 64
"""Of a photo with regions hidden, decoded together."""
MAX_WIDTH = 8192
"""Of a layer of the decoder."""


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
    position: bool = True
    attention_query: AttentionQuery = "before"
    gate: bool = True
    deep_output: bool = True
    dropout: float = 0.4
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)

    def __post_init__(self) -> None:
        if not isinstance(self.encoder, str):
            raise ValueError(f"encoder must be a name, got {short(self.encoder)}")
        for name in ("embedding_size", "hidden_size", "attention_size"):
            check_integer(name, getattr(self, name), 1, MAX_WIDTH)
        check_integer("projection_size", self.projection_size, 0, MAX_WIDTH)
        for name in ("position", "gate", "deep_output"):
            check_flag(name, getattr(self, name))
        check_choice("attention_query", self.attention_query, get_args(AttentionQuery))
        check_number("dropout", self.dropout, 0, 1)
        if self.dropout == 1:
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
            images: (B, 3, S, S), see `preprocessing.to_tensor`.
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
        return self.encode_batch([photo])[0]

    @torch.inference_mode()
    def encode_batch(self, photos: Sequence[Photo]) -> list[Features]:
        """Look at several photos at once, which is faster than one after the other.

        Raises:
            FileNotFoundError, ValueError: as `images.load_image`, of the first bad photo.
        """
        if not photos:
            return []
        images = torch.stack(
            [
                to_tensor(load_image(photo, READ_MIN_SIDE), self.config.preprocess)
                for photo in photos
            ]
        )
        maps = self.encoder.feature_map(images.to(self.device))  # (B, D, rows, cols)
        grid = (maps.shape[2], maps.shape[3])
        return [Features(regions, grid) for regions in maps.flatten(2).transpose(1, 2)]

    @torch.inference_mode()
    def encode_tensor(self, image: Tensor, left: int | None = None) -> Features:
        """Encode a photo that `preprocessing.to_tensor` has prepared.

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
            photo: a path, the bytes of a file, a PIL image, an HWC uint8 array, or what `encode`
                gave.
            options: how to decode; by default `DecodingOptions()`.
            **changes: fields of the options to change, such as `beam_size=5`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the photo cannot be read, an option is out of range, or the prefix holds a
                word that the model does not know.
        """
        return self.generate_captions([photo], options, **changes)[0]

    def generate_captions(
        self,
        photos: Sequence[Photo | Features],
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> list[Caption]:
        """Caption several photos, decoding them as one batch. As `generate_caption`.

        Call it on an evaluating model (`model.eval()`), as `load_model` returns it.
        """
        return [captions[0] for captions in self.generate_n_best(photos, options, **changes)]

    @torch.inference_mode()
    def generate_n_best(
        self,
        photos: Sequence[Photo | Features],
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> list[list[Caption]]:
        """Find several captions of each photo: `num_captions` of them, best score first.

        They are all different; there are fewer where the search ends with fewer. Arguments and
        errors as `generate_captions`.
        """
        options = _changed(options, changes)
        given = self.vocabulary.tokenize(options.prefix)
        if unknown := [word for word in given if word not in self.vocabulary]:
            raise ValueError(
                f"prefix holds a word that the model does not know: {', '.join(unknown)}; "
                "use score_caption to see what it makes of words it cannot say"
            )
        if len(given) > options.max_length:
            raise ValueError(
                f"prefix must have at most max_length = {options.max_length} words, "
                f"got {len(given)}"
            )
        features = [self._look(photo) for photo in photos]
        if not features:
            return []
        found = self._search(features, options, map(self.vocabulary.id_of, given))
        return [
            [self._caption(h, part.grid) for h in hypotheses[: options.num_captions]]
            for hypotheses, part in zip(found, features, strict=True)
        ]

    @torch.inference_mode()
    def score_caption(
        self,
        photo: Photo | Features,
        text: str,
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> Caption:
        """Ask the model what it makes of a person's own words for a photo.

        Args:
            photo: as `generate_caption`.
            text: the caption to judge, of 1 to 200 words.
            options: only its `length_penalty` counts here, for the score.

        Returns:
            The caption with the model's attention, probability and alternatives at every word, as
            if it had said them itself; its `perplexity` tells how surprised the model is. A word it
            does not know has `known` False, and the probability of any such word.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the photo cannot be read, or the text has no words, or too many.
        """
        texts = self.vocabulary.tokenize(text)
        if not 1 <= len(texts) <= MAX_WORDS:
            raise ValueError(f"a caption must have from 1 to {MAX_WORDS} words, got {len(texts)}")
        options = replace(
            _changed(options, changes),
            beam_size=1,
            num_captions=1,
            temperature=0.0,
            top_k=0,
            top_p=1.0,
            min_length=0,
            max_length=len(texts),
        )
        features = self._look(photo)
        given = [*map(self.vocabulary.id_of, texts), END_ID]
        ((hypothesis,),) = self._search([features], options, given)
        return self._caption(hypothesis, features.grid, texts)

    @torch.inference_mode()
    def branch(
        self,
        photo: Photo | Features,
        caption: Caption,
        position: int,
        word: str,
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> Caption:
        """Tell a caption again from one of its words on.

        Args:
            photo: as `generate_caption`; with `Features` it is not encoded again.
            caption: its words before the position are kept.
            position: of the word to change, from 0; as many as there are words, to add one.
            word: what to say there instead.
            options: how to finish the caption; a prefix in them is not used.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the photo cannot be read, the position is out of range, or the model does
                not know the word, or one before it.
        """
        if not 0 <= position <= len(caption.words):
            raise ValueError(
                f"position must be from 0 to {len(caption.words)}, the caption's length, "
                f"got {position}"
            )
        if word not in self.vocabulary or word in SPECIALS:
            raise ValueError(f"word must be one that the model knows, got {word!r}")
        if unknown := [w.text for w in caption.words[:position] if w.text not in self.vocabulary]:
            raise ValueError(f"the model does not know {unknown[0]!r}: branch before that word")
        options = _changed(options, changes)
        if position >= options.max_length:
            raise ValueError(
                f"position must be below max_length = {options.max_length}, got {position}"
            )
        features = self._look(photo)
        texts = [*(w.text for w in caption.words[:position]), word]
        found = self._search([features], options, map(self.vocabulary.id_of, texts))
        return self._caption(found[0][0], features.grid)

    @torch.inference_mode()
    def occlusion(self, photo: Photo | Features, caption: Caption) -> Occlusion:
        """Measure what each word of a caption hangs on, by hiding one region after the other.

        A region is hidden from the whole caption, as if the photo had never shown it, by putting
        the photo's mean region in its place; the words before stay as they are. Attention says
        where the model looked; this says what it would have missed.

        Args:
            photo: as `generate_caption`; with `Features` it is not encoded again.
            caption: generated or scored.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the photo cannot be read, or the caption is of another grid, has no words,
                or one that is neither the model's nor marked as unknown.

        Source: Petsiuk et al. (arXiv:1806.07421), sec. 4, the deletion metric, of one region at a
        time in place of pixels.
        """
        features = self._look(photo)
        if caption.grid != features.grid or not caption.words:
            raise ValueError(
                f"the caption must have words with attention on {features.grid} regions, as "
                f"generate_caption gives it; got {len(caption.words)} words on {caption.grid}"
            )
        token_ids = torch.tensor(self.token_ids(caption), device=self.device)  # (T,)
        regions = features.regions  # (P, D)
        hidden = torch.eye(len(regions), dtype=torch.bool, device=self.device).unsqueeze(2)
        variants = torch.cat(
            [regions.unsqueeze(0), torch.where(hidden, regions.mean(dim=0), regions)]
        )  # (1 + P, P, D), the photo itself first
        probabilities = torch.cat(
            [self._probabilities(part, token_ids) for part in variants.split(MAX_VARIANTS)]
        )  # (1 + P, T)
        drops = (probabilities[0] - probabilities[1:]).T.cpu().numpy()  # (T, P)
        return Occlusion(caption, tuple(drop.reshape(features.grid) for drop in drops))

    def visualize_attention(
        self, photo: Photo, caption: Caption | None = None
    ) -> list[Image.Image]:
        """Draw where the model looked for each word.

        Args:
            photo: the photo captioned; its pixels, not its `Features`.
            caption: its caption; by default a new one.

        Returns:
            One RGB image per word, at the photo's own size.

        Raises:
            FileNotFoundError, ValueError: as `images.load_image`.
        """
        image = load_image(photo)
        caption = caption or self.generate_caption(image)
        return [overlay(image, word.alpha) for word in caption.words]

    def token_ids(self, caption: Caption) -> list[int]:
        """The ids of a caption's words, `<unk>` for those that are marked as unknown.

        Raises:
            ValueError: a word is neither the model's nor marked as unknown.
        """
        strange = [w.text for w in caption.words if w.known and w.text not in self.vocabulary]
        if strange:
            raise ValueError(f"{strange[0]!r} is no word of this model's: whose caption is it?")
        return [self.vocabulary.id_of(w.text) if w.known else UNK_ID for w in caption.words]

    def _search(
        self, features: Sequence[Features], options: DecodingOptions, given: Iterable[int]
    ) -> list[list[Hypothesis]]:
        """Search for captions that begin with given words; or are them, if `<eos>` is last."""
        banned = (self.vocabulary.id_of(word.lower()) for word in options.banned_words)
        constraints = TokenConstraints(tuple(given), tuple(banned))
        state = self.decoder.initial_state(torch.stack([part.regions for part in features]))
        return search(self.decoder.step, state, options, constraints)

    def _look(self, photo: Photo | Features) -> Features:
        return photo if isinstance(photo, Features) else self.encode(photo)

    def _probabilities(self, features: Tensor, token_ids: Tensor) -> Tensor:
        """Of each of T words after those before it, for each of M photos; (M, T)."""
        given = torch.cat([token_ids.new_tensor([START_ID]), token_ids[:-1]])
        logits, _ = self.decoder(features, given.expand(len(features), -1))
        targets = token_ids.expand(len(features), -1).unsqueeze(2)
        return logits.float().softmax(dim=2).gather(2, targets).squeeze(2)

    def _caption(
        self, hypothesis: Hypothesis, grid: tuple[int, int], texts: Sequence[str] | None = None
    ) -> Caption:
        """A hypothesis as a caption, of other words than its tokens' where texts are given."""
        names = self.vocabulary.words
        if texts is None:
            texts = [names[choice.token_id] for choice in hypothesis.choices]
        words = tuple(
            Word(
                text,
                math.exp(choice.logprob),
                tuple((names[other], probability) for other, probability in choice.alternatives),
                choice.alpha.float().cpu().numpy().reshape(grid),
                choice.token_id != UNK_ID,
            )
            for text, choice in zip(texts, hypothesis.choices, strict=True)
        )
        return Caption(words, hypothesis.score, grid, hypothesis.logprob, hypothesis.finished)


def _changed(options: DecodingOptions | None, changes: dict[str, Any]) -> DecodingOptions:
    options = options or DecodingOptions()
    names = options.__dataclass_fields__
    if unknown := ", ".join(changes.keys() - names.keys()):
        raise ValueError(f"no such decoding option: {unknown}; there are {', '.join(names)}")
    return replace(options, **changes)
