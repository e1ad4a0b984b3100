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

from captioner.beam_search import search, trace_beam_search
from captioner.captions import Caption, CaptionError, Ending, Occlusion, Word
from captioner.checks import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    short,
)
from captioner.decoder import AttentionQuery, DecoderState, LSTMWithAttention
from captioner.decoding import Choice, Hypothesis, TokenConstraints
from captioner.encoder import FeatureExtractor
from captioner.evidence import Evidence, weigh
from captioner.images import READ_MIN_SIDE, Photo, load_image
from captioner.occlusion import occlusion_drops
from captioner.options import DecodingError, DecodingOptions
from captioner.preprocessing import PreprocessConfig, to_tensor
from captioner.recognizer import Recognizer
from captioner.search_tree import SearchTree
from captioner.training_photos import TrainingPhotos
from captioner.visualization import overlay
from captioner.vocabulary import END_ID, SPECIALS, UNK_ID, Vocabulary
from captioner.weight_cache import WeightCache

MAX_WORDS = 200
"""Of a caption that is scored or whose regions are hidden."""
ENCODED_TOGETHER, ENCODED_TOGETHER_ON_CPU = 16, 4
"""Photos, at most. On a CPU more exceed its caches, and take longer each."""
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
    recognizer_stages: int = 0
    """With classes in the vocabulary: last stages of the encoder that are kept as pretrained."""
    temperature: float = 1.0
    """What logits are divided by, so that probabilities are calibrated."""
    photo_components: int = 0
    """Principal components of the training photos that are kept, with their mean region, to tell
    how familiar a photo is and what a caption owes to it; 0 keeps nothing of the photos."""
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
        check_integer("recognizer_stages", self.recognizer_stages, 0, MAX_WIDTH)
        check_integer("photo_components", self.photo_components, 0, MAX_WIDTH)
        check_number("temperature", self.temperature, 0.01, 100)
        check_number("dropout", self.dropout, 0, 1)
        if self.dropout == 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")


class Features(NamedTuple):
    """An encoded photo. Every method that takes a photo takes its features as well."""

    regions: Tensor
    """(P, D), in reading order; (P, 2 D) with a recognizer, whose features follow."""
    grid: tuple[int, int]
    """(rows, cols), rows * cols = P."""


class ImageCaptioningModel(nn.Module):
    """Captions photos, with the attention of every word.

    Attributes:
        config: how the model is built.
        vocabulary: the words it knows.
        encoder: the FeatureExtractor.
        decoder: the LSTMWithAttention.
        recognizer: the Recognizer, if the vocabulary has nouns for classes.
        training_photos: the TrainingPhotos, if the configuration keeps components of them.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocabulary: Vocabulary,
        encoder: FeatureExtractor | None = None,
        grid: tuple[int, int] | None = None,
    ) -> None:
        """Build the model with an untrained decoder.

        Args:
            encoder: by default that of the configuration, with its pretrained weights.
            grid: rows and cols of the encoder's regions, where they are known already; by default
                they are found by encoding a blank photo.

        Raises:
            FileNotFoundError, ValueError: as FeatureExtractor.
        """
        super().__init__()
        self.config = config
        self.vocabulary = vocabulary
        size = config.preprocess.image_size
        self.encoder = encoder or FeatureExtractor(config.encoder, image_size=size)
        if config.position:
            grid = grid or self.encoder.grid(size)
        classes = len(vocabulary.class_nouns)
        self.recognizer = None
        if classes:
            self.recognizer = Recognizer(self.encoder, config.recognizer_stages)
        self.decoder = LSTMWithAttention(
            len(vocabulary),
            self.encoder.feature_size,
            embedding_size=config.embedding_size,
            hidden_size=config.hidden_size,
            attention_size=config.attention_size,
            projection_size=config.projection_size,
            position_grid=grid if config.position else None,
            attention_query=config.attention_query,
            gate=config.gate,
            deep_output=config.deep_output,
            dropout=config.dropout,
            classes=classes,
            temperature=config.temperature,
        )
        self.training_photos = None
        if config.photo_components:
            size = self.encoder.feature_size
            self.training_photos = TrainingPhotos(size, config.photo_components, classes)
        self._unseen_state: WeightCache[DecoderState] = WeightCache(
            [*self.decoder.modules(), *([self.training_photos] if self.training_photos else [])]
        )
        self.connect_nouns()

    def connect_nouns(self) -> None:
        """Tell the decoder's pointing gate the nouns of the vocabulary, which no weight holds."""
        if self.decoder.pointing is not None and self.device.type != "meta":
            nouns = self.vocabulary.class_nouns
            ids = [[*map(self.vocabulary.id_of, noun[:2])] for noun in nouns]
            self.decoder.pointing.set_nouns(torch.tensor(ids, device="cpu"))

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return self.decoder.embedding.weight.device

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and cols of the regions of a photo."""
        return self.encoder.grid(self.config.preprocess.image_size)

    @property
    def _encoded_together(self) -> int:
        return ENCODED_TOGETHER_ON_CPU if self.device.type == "cpu" else ENCODED_TOGETHER

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
        return self.decoder(self.regions(images), token_ids, photo_of_row)

    def regions(self, images: Tensor, stages_left: int | None = None) -> Tensor:
        """What the decoder is given of photos.

        Args:
            images: (B, 3, S, S), see `preprocessing.to_tensor`; or maps of the encoder's first
                stages.
            stages_left: how many of the encoder's stages are still to run; by default all.

        Returns:
            (B, P, D); (B, P, 2 D) with a recognizer, whose features follow.
        """
        return self._regions_on_grid(images, stages_left)[0]

    def _regions_on_grid(
        self, images: Tensor, stages_left: int | None
    ) -> tuple[Tensor, tuple[int, int]]:
        encoder = self.encoder
        first = 0 if stages_left is None else encoder.num_stages - stages_left
        pretrained: list[Tensor] = []
        if self.recognizer is not None:
            shared = encoder.num_stages - self.recognizer.num_stages
            images = encoder.run_stages(images, first, shared)
            pretrained.append(self.recognizer(images))
            first = shared
        maps = encoder.run_stages(images, first)  # (B, D, rows, cols)
        regions = maps.flatten(2).transpose(1, 2)
        return torch.cat([regions, *pretrained], dim=2), (maps.shape[2], maps.shape[3])

    def preprocess(self, photo: Photo) -> Tensor:
        """Read a photo as the encoder's input, (3, S, S) on the CPU; see `encode_tensors`.

        Raises:
            FileNotFoundError, ValueError: as `images.load_image`.
        """
        return to_tensor(load_image(photo, READ_MIN_SIDE), self.config.preprocess)

    def encode(self, photo: Photo) -> Features:
        """Encode a photo once, for several calls.

        Raises:
            FileNotFoundError, ValueError: as `images.load_image`.
        """
        return self.encode_batch([photo])[0]

    def encode_batch(self, photos: Sequence[Photo]) -> list[Features]:
        """Encode several photos, a few of them at a time.

        Raises:
            FileNotFoundError, ValueError: as `images.load_image`, of the first bad photo.
        """
        found: list[Features] = []
        size = self._encoded_together
        for start in range(0, len(photos), size):
            batch = photos[start : start + size]
            found += self.encode_tensors([self.preprocess(photo) for photo in batch])
        return found

    @torch.inference_mode()
    def encode_tensors(
        self, images: Sequence[Tensor], stages_left: int | None = None
    ) -> list[Features]:
        """Encode preprocessed photos, a few of them at a time.

        Args:
            images: (3, S, S) each, from `preprocess`; or maps (C, rows, cols) from the encoder's
                first stages.
            stages_left: how many of the encoder's stages are still to run; by default all.
        """
        found: list[Features] = []
        size = self._encoded_together
        for start in range(0, len(images), size):
            batch = torch.stack([*images[start : start + size]]).to(self.device)
            regions, grid = self._regions_on_grid(batch, stages_left)
            found += [Features(part, grid) for part in regions]
        return found

    def check_options(
        self, options: DecodingOptions | None = None, **changes: Any
    ) -> DecodingOptions:
        """Check, before any photo is read, that this model can decode with these options.

        Returns:
            The options, with the changes.

        Raises:
            DecodingError: a ValueError: an option does not exist or is out of range, or the prefix
                is too long or has a word that the model does not know.
        """
        options = _changed(options, changes)
        prefix = self.vocabulary.tokenize(options.prefix)
        if unknown := [word for word in prefix if word not in self.vocabulary]:
            raise DecodingError("unknown_prefix", {"words": ", ".join(unknown)})
        if len(prefix) > options.max_length:
            values = {"limit": options.max_length, "got": len(prefix)}
            raise DecodingError("prefix_too_long", values)
        return options

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
            ValueError: the photo cannot be read, or as `check_options`.
        """
        return self.generate_captions([photo], options, **changes)[0]

    def generate_captions(
        self,
        photos: Sequence[Photo | Features],
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> list[Caption]:
        """Caption several photos as one batch. As `generate_caption`.

        The model must be in evaluation mode (`model.eval()`), as `load_model` returns it. All
        photos are decoded together; the encoder takes a few of them at a time.
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

        Their texts are all different; there are fewer where the search ends with fewer. Arguments
        and errors as `generate_captions`.
        """
        options = self.check_options(options, **changes)
        features = self._encode_missing(photos)
        if not features:
            return []
        state = self._begin(features)
        found = self._search(state, options, self._prefix(options))
        return [
            _different(captions)[: options.num_captions]
            for captions in self._captions(found, features, state)
        ]

    def generate_blind_caption(
        self, options: DecodingOptions | None = None, **changes: Any
    ) -> Caption:
        """Caption no photo: the mean region of the training photos stands in every region.

        What a caption of a photo shares with it is habit. See `Word.blind`. Arguments as
        `generate_caption`.

        Raises:
            DecodingError: a ValueError: as `check_options`, or the model keeps no training photos.
        """
        if self.training_photos is None:
            raise DecodingError("no_training_photos")
        rows, cols = grid = self.grid
        unseen = Features(self.training_photos.mean_region.expand(rows * cols, -1), grid)
        return replace(self.generate_caption(unseen, options, **changes), familiarity=None)

    @torch.inference_mode()
    def search_tree(
        self,
        photo: Photo | Features,
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> SearchTree:
        """Find out what the search for a photo's caption considers at each step, and what it keeps.

        Arguments as `generate_caption`, whose caption, with the same options, is the best of the
        tree.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: as `generate_caption`, or the options are those of sampling.
        """
        options = self.check_options(options, **changes)
        if options.temperature:
            raise DecodingError("no_search_tree")
        state = self._begin([self._features_of(photo)])
        constraints = self._constraints(options, self._prefix(options))
        names = self.vocabulary.words
        return trace_beam_search(self.decoder.step, state, options, constraints, names)

    @torch.inference_mode()
    def score_caption(
        self,
        photo: Photo | Features,
        text: str,
        options: DecodingOptions | None = None,
        **changes: Any,
    ) -> Caption:
        """Score a person's own caption of a photo.

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
            values = {"low": 1, "high": MAX_WORDS, "got": len(texts)}
            raise DecodingError("number_of_words", values)
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
        features = [self._features_of(photo)]
        state = self._begin(features)
        given = [*map(self.vocabulary.id_of, texts), END_ID]
        found = self._search(state, options, given)
        return self._captions(found, features, state, texts)[0][0]

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
        """Change one word of a caption and generate the rest of it anew.

        Args:
            photo: as `generate_caption`; with `Features` it is not encoded again.
            caption: its words before the position are kept.
            position: of the word to change, from 0; as many as there are words, to add one.
            word: the new word.
            options: how to finish the caption; a prefix in them is not used.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the photo cannot be read, the position is out of range, or the model does
                not know the word, or one before it.
        """
        if not 0 <= position <= len(caption.words):
            raise DecodingError("position", {"high": len(caption.words), "got": position})
        if word not in self.vocabulary or word in SPECIALS:
            raise DecodingError("unknown_word", {"word": word})
        if unknown := [w.text for w in caption.words[:position] if w.text not in self.vocabulary]:
            raise DecodingError("unknown_word_before", {"word": unknown[0]})
        options = _changed(options, changes)
        if position >= options.max_length:
            values = {"limit": options.max_length, "got": position}
            raise DecodingError("position_beyond_limit", values)
        features = [self._features_of(photo)]
        state = self._begin(features)
        texts = [*(w.text for w in caption.words[:position]), word]
        found = self._search(state, options, map(self.vocabulary.id_of, texts))
        return self._captions([found[0][:1]], features, state)[0][0]

    @torch.inference_mode()
    def occlusion(self, photo: Photo | Features, caption: Caption) -> Occlusion:
        """Measure how much the probability of each word drops when a region is hidden.

        The photo's mean region takes the place of one region after the other, for the whole
        caption; the words before each word stay as they are. Attention is what the decoder read
        the photo with; this is how much its prediction depends on each region.

        Args:
            photo: as `generate_caption`; with `Features` it is not encoded again.
            caption: generated or scored.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the photo cannot be read, or the caption is of another grid, has no words
                or too many, or one that is neither the model's nor marked as unknown.

        Source: Petsiuk et al. (arXiv:1806.07421), sec. 4, the deletion metric, of one region at a
        time in place of pixels.
        """
        features = self._features_of(photo)
        if caption.grid != features.grid or not caption.words:
            values = {"limit": features.grid, "words": len(caption.words), "got": caption.grid}
            raise CaptionError("no_attention", values)
        if len(caption.words) > MAX_WORDS:
            values = {"limit": MAX_WORDS, "got": len(caption.words)}
            raise CaptionError("too_many_words", values)
        token_ids = torch.tensor(self.token_ids(caption), device=self.device)  # (T,)
        drops = occlusion_drops(
            self.decoder, len(self.vocabulary), features.regions, token_ids
        ).T  # (T, P)
        return Occlusion(
            caption, tuple(drop.reshape(features.grid) for drop in drops.cpu().numpy())
        )

    def visualize_attention(
        self, photo: Photo, caption: Caption | None = None
    ) -> list[Image.Image]:
        """Draw the attention of each word on the photo.

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
        foreign = [w.text for w in caption.words if w.known and w.text not in self.vocabulary]
        if foreign:
            raise CaptionError("foreign_word", {"word": foreign[0]})
        return [self.vocabulary.id_of(w.text) if w.known else UNK_ID for w in caption.words]

    def _begin(self, features: Sequence[Features]) -> DecoderState:
        """The decoder's state before the first word."""
        return self.decoder.initial_state(torch.stack([part.regions for part in features]))

    def _search(
        self, state: DecoderState, options: DecodingOptions, prefix: Iterable[int]
    ) -> list[list[Hypothesis]]:
        """Search for captions with a prefix, which is the whole caption if `<eos>` is its last."""
        return search(self.decoder.step, state, options, self._constraints(options, prefix))

    def _constraints(self, options: DecodingOptions, prefix: Iterable[int]) -> TokenConstraints:
        banned = (self.vocabulary.id_of(word.lower()) for word in options.banned_words)
        return TokenConstraints(tuple(prefix), tuple(banned))

    def _prefix(self, options: DecodingOptions) -> list[int]:
        return [*map(self.vocabulary.id_of, self.vocabulary.tokenize(options.prefix))]

    def _features_of(self, photo: Photo | Features) -> Features:
        return photo if isinstance(photo, Features) else self.encode(photo)

    def _encode_missing(self, photos: Sequence[Photo | Features]) -> list[Features]:
        """The features of all; those that are photos are encoded together."""
        encoded = iter(self.encode_batch([p for p in photos if not isinstance(p, Features)]))
        return [photo if isinstance(photo, Features) else next(encoded) for photo in photos]

    def _captions(
        self,
        found: Sequence[Sequence[Hypothesis]],
        features: Sequence[Features],
        state: DecoderState,
        texts: Sequence[str] | None = None,
    ) -> list[list[Caption]]:
        """The hypotheses of each photo as captions; their words are the texts, if there are any.

        Args:
            state: from `_begin`.
        """
        training, unseen = self.training_photos, None
        familiarities: list[float | None] = [None] * len(features)
        if training is not None:
            means = [self.pretrained_means(part.regions) for part in features]
            familiarities = self._familiarity(training, torch.stack(means)).tolist()
            unseen = self._unseen(training, len(features[0].regions))
        token_ids = [[hypothesis.token_ids for hypothesis in own] for own in found]
        evidence = weigh(self.decoder, state, token_ids, unseen)
        return [
            [
                Caption(
                    self._words(hypothesis, features[photo].grid, weighed, texts),
                    hypothesis.score,
                    features[photo].grid,
                    hypothesis.logprob,
                    hypothesis.finished,
                    familiarities[photo],
                    self._ending(hypothesis),
                )
                for hypothesis, weighed in zip(own, evidence[photo], strict=True)
            ]
            for photo, own in enumerate(found)
        ]

    def _unseen(self, training: TrainingPhotos, num_regions: int) -> DecoderState:
        """The decoder's state before the first word of a photo that is not seen; one row."""
        regions = training.mean_region.expand(1, num_regions, -1)
        return self._unseen_state.get(lambda: self.decoder.initial_state(regions), num_regions)

    def pretrained_means(self, regions: Tensor) -> Tensor:
        """The mean region of photos with features as pretrained, (..., P, D or 2 D) -> (..., D)."""
        return regions[..., -self.encoder.feature_size :].mean(dim=-2)

    def _familiarity(self, training: TrainingPhotos, means: Tensor) -> Tensor:
        pointing = self.decoder.pointing
        classifier = None if pointing is None else pointing.classifier
        return training.familiarity(means, classifier)

    def _words(
        self,
        hypothesis: Hypothesis,
        grid: tuple[int, int],
        evidence: Sequence[Evidence],
        texts: Sequence[str] | None,
    ) -> tuple[Word, ...]:
        if texts is None:
            names = self.vocabulary.words
            texts = [names[choice.token_id] for choice in hypothesis.choices]
            texts = self._agree(texts, evidence)
        return tuple(
            Word(
                text,
                math.exp(choice.logprob),
                self._alternatives(choice, text),
                choice.alpha.float().cpu().numpy().reshape(grid),
                choice.token_id != UNK_ID,
                weighed.recognized,
                weighed.blind,
                choice.entropy,
                choice.end_probability,
            )
            for text, choice, weighed in zip(texts, hypothesis.choices, evidence, strict=True)
        )

    def _ending(self, hypothesis: Hypothesis) -> Ending | None:
        end = hypothesis.ending
        if end is None:
            return None
        return Ending(math.exp(end.logprob), end.entropy, self._alternatives(end))

    def _alternatives(self, choice: Choice, text: str = "") -> tuple[tuple[str, float], ...]:
        """As text, without the text that was chosen."""
        named = ((self.vocabulary.words[i], share) for i, share in choice.alternatives)
        return tuple((name, share) for name, share in named if name != text)

    def _agree(self, texts: Sequence[str], evidence: Sequence[Evidence]) -> list[str]:
        """Words with "an" for "a", or the reverse, before a noun that was read off the photo.

        The article is chosen before the noun, by a decoder that may not know it.
        """
        agreed = [*texts]
        for place, (noun, weighed) in enumerate(zip(texts[1:], evidence[1:], strict=True)):
            article = self.vocabulary.article_of(noun)
            if article is None or article not in self.vocabulary or weighed.recognized <= 0.5:
                continue
            if {article, texts[place]} == {"a", "an"}:
                agreed[place] = article
        return agreed


def _different(captions: Sequence[Caption]) -> list[Caption]:
    """The first of those with the same text.

    Different words may make the same text: "coffee" and "pot", or the one word "coffee pot"; and
    words may be the same once they agree.
    """
    found: dict[str, Caption] = {}
    for caption in captions:
        found.setdefault(str(caption), caption)
    return list(found.values())


def _changed(options: DecodingOptions | None, changes: dict[str, Any]) -> DecodingOptions:
    options = options or DecodingOptions()
    names = options.__dataclass_fields__
    if unknown := ", ".join(changes.keys() - names.keys()):
        raise DecodingError("unknown_option", {"names": unknown, "known": ", ".join(names)})
    return replace(options, **changes)
