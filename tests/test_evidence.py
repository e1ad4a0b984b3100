"""The evidence for words: what is read off the photo, and what is said without seeing it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import Caption, Features, ImageCaptioningModel, LSTMWithAttention, ModelConfig
from captioner.evidence import Evidence, weigh
from captioner.occlusion import word_probabilities
from captioner.options import DecodingError
from captioner.vocabulary import START_ID, UNK_ID
from tests.tiny_models import build_pointing_model

V, D, P, C = 14, 6, 5, 3
CAPTIONS = [[[7, 4, 8, 5]], [], [[10], [5, 7, 9, 6, UNK_ID, 7], []], [[8, 7], [8, 7, 4]]]
"""Of four photos: one without captions, and one with an empty caption."""


def build_decoder(pointing: bool = True) -> LSTMWithAttention:
    decoder = LSTMWithAttention(
        V, D, 10, 12, 8, 9, gate=True, deep_output=True, classes=C if pointing else 0,
        temperature=1.3,
    ).eval()  # fmt: skip
    with torch.no_grad():
        decoder.output_bias.normal_()
    if decoder.pointing is not None:
        decoder.pointing.set_nouns(torch.tensor([[7, 8], [5, 5], [9, 6]]))
        torch.nn.init.zeros_(decoder.pointing.gate.bias)
    return decoder


def assert_near(found: Evidence, wanted: Evidence) -> None:
    assert found.recognized == pytest.approx(wanted.recognized, abs=1e-5)
    assert found.blind == (None if wanted.blind is None else pytest.approx(wanted.blind, abs=1e-6))


@pytest.mark.parametrize("pointing", [True, False])
@torch.inference_mode()
def test_blind_is_the_probability_where_every_region_is_the_mean_region(pointing: bool) -> None:
    decoder = build_decoder(pointing)
    width = 2 * D if pointing else D
    features, mean_region = torch.randn(4, P, width), torch.randn(width)
    unseen = mean_region.expand(1, P, width)
    begin = decoder.initial_state
    found = weigh(decoder, begin(features), CAPTIONS, begin(unseen))
    for own, weighed in zip(CAPTIONS, found, strict=True):
        for ids, words in zip(own, weighed, strict=True):
            assert len(words) == len(ids)
            if ids:
                wanted = word_probabilities(decoder, unseen, torch.tensor(ids))[0]
                torch.testing.assert_close(torch.tensor([word.blind for word in words]), wanted)


@torch.inference_mode()
def test_recognized_is_the_gates_share_of_each_word_as_the_photo_is_seen() -> None:
    decoder = build_decoder()
    features = torch.randn(4, P, 2 * D)
    found = weigh(decoder, decoder.initial_state(features), CAPTIONS, None)
    shares: list[float] = []
    for photo, own in enumerate(CAPTIONS):
        for ids, words in zip(own, found[photo], strict=True):
            state = decoder.initial_state(features[photo : photo + 1])
            for before, token_id, word in zip([START_ID, *ids], ids, words, strict=False):
                embedded = decoder.embedding(torch.tensor([before]))
                step = decoder.step(torch.tensor([before]), state)
                state = step.state
                logits = decoder.logits(state.hidden, state.context, embedded)
                assert decoder.pointing is not None
                seen = decoder.pointing.attend(step.alpha, state.class_logits)
                mixture = decoder.pointing(logits, seen, state.hidden, state.named)
                share = float(mixture.recognized(torch.tensor([token_id])))
                assert word == Evidence(pytest.approx(share, abs=1e-5), None)
                shares.append(share)
    assert max(shares) > 0.2
    assert min(shares) < 1e-4


@pytest.mark.parametrize("with_mean", [True, False])
@torch.inference_mode()
def test_many_captions_of_photos_give_together_what_each_gives_alone(with_mean: bool) -> None:
    decoder = build_decoder()
    begin = decoder.initial_state
    features = torch.randn(4, P, 2 * D)
    unseen = begin(torch.randn(2 * D).expand(1, P, -1)) if with_mean else None
    together = weigh(decoder, begin(features), CAPTIONS, unseen)
    for photo, own in enumerate(CAPTIONS):
        for number, ids in enumerate(own):
            photo_alone = begin(features[photo : photo + 1])
            ((alone,),) = weigh(decoder, photo_alone, [[ids]], unseen)
            for one, other in zip(together[photo][number], alone, strict=True):
                assert_near(one, other)


def test_without_a_gate_nothing_is_recognized_and_without_a_mean_region_nothing_is_blind() -> None:
    decoder = build_decoder(pointing=False)
    begin = decoder.initial_state
    features = torch.randn(4, P, D)
    nothing = Evidence(0.0, None)
    assert weigh(decoder, begin(features), CAPTIONS, None) == [
        [[nothing] * len(ids) for ids in own] for own in CAPTIONS
    ]
    words = weigh(decoder, begin(features), CAPTIONS, begin(torch.zeros(1, P, D)))[3][1]
    assert [word.recognized for word in words] == [0, 0, 0]
    assert all(0 < (word.blind or 0) < 1 for word in words)


@pytest.mark.parametrize("captions", [[], [[]], [[[]]]])
def test_no_words_need_no_evidence(captions: list[list[list[int]]]) -> None:
    decoder = build_decoder()
    state = decoder.initial_state(torch.randn(len(captions), P, 2 * D))
    assert weigh(decoder, state, captions, state) == captions


@pytest.fixture
def pointing_model(config: ModelConfig) -> ImageCaptioningModel:
    return build_pointing_model(config)


def check(model: ImageCaptioningModel, features: Features, caption: Caption) -> None:
    """The caption has all that the model knows of its words and photo."""
    summary, pointing = model.training_photos, model.decoder.pointing
    assert summary is not None
    assert pointing is not None
    assert caption.words
    assert caption.familiarity is not None
    assert 0 <= caption.familiarity <= 1
    means = model.pretrained_means(features.regions.unsqueeze(0))
    assert caption.familiarity == pytest.approx(
        float(summary.familiarity(means, pointing.classifier)), abs=1e-5
    )
    unseen = Features(summary.mean_region.expand_as(features.regions), features.grid)
    text = " ".join(word.text for word in caption.words)
    blind = model.score_caption(unseen, text)
    for word, without in zip(caption.words, blind.words, strict=True):
        assert word.blind == pytest.approx(without.probability, abs=1e-5)
        assert 0 <= word.recognized <= 1
        assert word.text not in [other for other, _ in word.alternatives]
    json.dumps(caption.to_json(), allow_nan=False)


@pytest.mark.parametrize("options", [{"beam_size": 1}, {"beam_size": 3}, {"temperature": 1.0}])
def test_every_caption_has_its_evidence_and_familiarity(
    pointing_model: ImageCaptioningModel, photos: list[Image.Image], options: dict[str, float]
) -> None:
    encoded = pointing_model.encode_batch(photos)
    captions = pointing_model.generate_captions(encoded, max_length=6, min_length=4, **options)
    for features, caption in zip(encoded, captions, strict=True):
        check(pointing_model, features, caption)
    assert any(word.recognized > 0.5 for caption in captions for word in caption.words)
    assert len({caption.familiarity for caption in captions}) > 1
    n_best = pointing_model.generate_n_best(encoded[:2], num_captions=3, max_length=6, **options)
    for features, own in zip(encoded[:2], n_best, strict=True):
        assert own
        for caption in own:
            check(pointing_model, features, caption)


def test_scored_and_branched_captions_have_them_too(
    pointing_model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    features = pointing_model.encode(photos[0])
    scored = pointing_model.score_caption(photos[0], "a coffee pot zebra on the ostrich")
    assert [word.text for word in scored.words] == [
        "a", "coffee pot", "zebra", "on", "the", "ostrich",
    ]  # fmt: skip
    check(pointing_model, features, scored)
    assert scored.words[1].recognized > 0 == scored.words[2].recognized
    told = pointing_model.branch(photos[0], scored, 1, "sheep", max_length=8, min_length=4)
    check(pointing_model, features, told)
    np.testing.assert_allclose(told.words[0].blind or 0, scored.words[0].blind or 0, atol=1e-6)


@pytest.mark.parametrize("options", [{"beam_size": 3}, {"temperature": 1.0, "seed": 4}])
def test_a_blind_caption_is_that_of_the_mean_region_everywhere(
    pointing_model: ImageCaptioningModel, photos: list[Image.Image], options: dict[str, float]
) -> None:
    summary = pointing_model.training_photos
    assert summary is not None
    regions, grid = pointing_model.encode(photos[0])
    chosen = {"max_length": 6, "min_length": 3, **options}
    caption = pointing_model.generate_blind_caption(**chosen)
    unseen = Features(summary.mean_region.repeat(len(regions), 1), grid)
    wanted = pointing_model.generate_caption(unseen, **chosen)
    assert caption == replace(wanted, familiarity=None)
    assert caption.grid == grid
    assert len(caption.words) >= 3
    for word in caption.words:
        assert word.blind == pytest.approx(word.probability, abs=1e-5)
    assert str(caption) != str(pointing_model.generate_caption(photos[0], **chosen))


def test_a_model_without_training_photos_gives_no_blind_caption(
    model: ImageCaptioningModel,
) -> None:
    with pytest.raises(DecodingError, match="keeps no training photos") as caught:
        model.generate_blind_caption()
    assert caught.value.code == "no_training_photos"


def test_a_model_without_either_says_nothing_of_them(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    caption = model.generate_caption(photos[0])
    assert caption.familiarity is None
    assert {(word.recognized, word.blind) for word in caption.words} == {(0.0, None)}


def say(model: ImageCaptioningModel, photo: Image.Image, words: str, noun: int) -> list[str]:
    """What is said where the model has said these words so far, and recognizes one class."""
    pointing = model.decoder.pointing
    assert pointing is not None
    with torch.no_grad():
        pointing.classifier.weight.zero_()
        pointing.classifier.bias.zero_()
        pointing.classifier.bias[noun] = 100.0
        pointing.gate.bias.fill_(9.0)
        pointing.plural.weight.zero_()
        pointing.plural.bias.fill_(-9.0)
        for name in {"a", "an"} & {*model.vocabulary.words}:  # the first of the alternatives
            model.decoder.output_bias[model.vocabulary.id_of(name)] += 4
    number = len(words.split())
    caption = model.generate_caption(
        photo, prefix=words, beam_size=1, max_length=number + 1, min_length=number + 1
    )
    for word in caption.words:
        assert word.text not in [other for other, _ in word.alternatives]
    return [word.text for word in caption.words]


@pytest.mark.parametrize(
    ("words", "noun", "wanted"),
    [
        ("a", 2, ["an", "ostrich"]),
        ("an", 2, ["an", "ostrich"]),
        ("an", 0, ["a", "dog"]),
        ("a", 1, ["a", "coffee pot"]),
        ("on a", 2, ["on", "an", "ostrich"]),
        ("the", 2, ["the", "ostrich"]),
    ],
)
def test_the_article_agrees_with_a_noun_that_was_recognized(
    pointing_model: ImageCaptioningModel,
    photos: list[Image.Image],
    words: str,
    noun: int,
    wanted: list[str],
) -> None:
    assert say(pointing_model, photos[0], words, noun) == wanted


def test_an_article_that_the_vocabulary_lacks_is_not_said(
    config: ModelConfig, photos: list[Image.Image]
) -> None:
    """It became a word that the model itself could not be given again."""
    forms = ("dog", "dogs", "coffee pot", "coffee pots", "ostrich", "ostriches", "sheep")
    model = build_pointing_model(config, ("a", "on", "the", *forms))
    assert say(model, photos[0], "a", 2) == ["a", "ostrich"]


def test_a_persons_own_article_stays_as_it_is(
    pointing_model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    say(pointing_model, photos[0], "a", 2)
    scored = pointing_model.score_caption(photos[0], "a ostrich")
    assert scored.words[1].recognized > 0.5
    assert [word.text for word in scored.words] == ["a", "ostrich"]


def test_an_article_before_a_noun_that_was_not_recognized_stays(
    pointing_model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    say(pointing_model, photos[0], "a", 2)
    assert pointing_model.decoder.pointing is not None
    with torch.no_grad():
        pointing_model.decoder.pointing.gate.bias.fill_(-40.0)
    caption = pointing_model.generate_caption(photos[0], prefix="a ostrich", max_length=2)
    assert [word.text for word in caption.words] == ["a", "ostrich"]
