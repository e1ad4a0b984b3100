"""The whole model: photo in, caption out, the same whichever way it is asked."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import captioner.occlusion
from captioner import (
    Caption,
    DecodingOptions,
    Ending,
    Features,
    ImageCaptioningModel,
    ModelConfig,
    Vocabulary,
    Word,
)
from captioner.captions import CaptionError
from captioner.images import load_image
from captioner.occlusion import occlusion_drops
from captioner.options import DecodingError
from captioner.preprocessing import to_tensor
from captioner.vocabulary import END_ID, SPECIALS, START_ID
from tests.tiny_models import build_model


def words_and_end(caption: Caption) -> list[Word | Ending]:
    return [*caption.words, caption.ending] if caption.ending else [*caption.words]


def assert_same(one: Caption, other: Caption, exactly: bool = True) -> None:
    tolerance = 0.0 if exactly else 1e-5
    assert [word.text for word in one.words] == [word.text for word in other.words]
    assert one.grid == other.grid
    assert one.score == pytest.approx(other.score, abs=tolerance)
    for left, right in zip(words_and_end(one), words_and_end(other), strict=True):
        assert left.probability == pytest.approx(right.probability, abs=tolerance)
        assert left.entropy == pytest.approx(right.entropy, abs=tolerance)
        assert [text for text, _ in left.alternatives] == [text for text, _ in right.alternatives]
    for left, right in zip(one.words, other.words, strict=True):
        assert left.ending == pytest.approx(right.ending, abs=tolerance)
        np.testing.assert_allclose(left.alpha, right.alpha, rtol=0, atol=tolerance)


@pytest.mark.parametrize("beam_size", [1, 5])
def test_a_batch_of_photos_gives_what_each_gives_alone(
    model: ImageCaptioningModel, photos: list[Image.Image], beam_size: int
) -> None:
    together = model.generate_captions(photos, beam_size=beam_size, max_length=8)
    alone = [model.generate_caption(photo, beam_size=beam_size, max_length=8) for photo in photos]
    for one, other in zip(together, alone, strict=True):
        assert_same(one, other, exactly=False)
    assert len({str(caption) for caption in alone}) > 1


def test_several_photos_are_encoded_together_a_bounded_number_at_a_time(
    model: ImageCaptioningModel, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def count(images: torch.Tensor, *stages: int) -> torch.Tensor:
        sizes.append(len(images))
        return original(images, *stages)

    original = model.encoder.run_stages
    mixed = [*photos, model.encode(photos[0]), *photos]
    monkeypatch.setattr(model.encoder, "run_stages", count)
    monkeypatch.setattr("captioner.model.ENCODED_TOGETHER_ON_CPU", 3)
    together = model.generate_captions(mixed, max_length=4)
    assert sizes == [3, 3, 2]
    for photo, caption in zip(mixed, together, strict=True):
        assert_same(caption, model.generate_caption(photo, max_length=4), exactly=False)


def test_a_batch_of_photos_is_encoded_as_each_is_alone(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    for photo, features in zip(photos, model.encode_batch(photos), strict=True):
        torch.testing.assert_close(features.regions, model.encode(photo).regions)
    assert model.encode_batch([]) == []


@pytest.mark.parametrize(
    ("changes", "code", "values"),
    [
        ({"beams": 3}, "unknown_option", {"names": "beams"}),
        ({"beam_size": 0}, "out_of_range", {"field": "beam_size", "low": 1, "high": 100}),
        ({"prefix": "the zebra"}, "unknown_prefix", {"words": "zebra"}),
        ({"prefix": "the dog", "max_length": 1}, "prefix_too_long", {"limit": 1, "got": 2}),
    ],
)
def test_options_are_checked_before_any_photo_is_read(
    model: ImageCaptioningModel, changes: dict[str, Any], code: str, values: dict[str, Any]
) -> None:
    with pytest.raises(DecodingError) as caught:
        model.check_options(**changes)
    assert caught.value.code == code
    assert caught.value.values.items() >= values.items()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_options_that_a_model_can_use_come_back_changed(model: ImageCaptioningModel) -> None:
    options = DecodingOptions(prefix="The dog")
    assert model.check_options(options, beam_size=2) == replace(options, beam_size=2)


def test_a_photo_may_be_a_path_an_image_an_array_or_its_features(
    model: ImageCaptioningModel, photos: list[Image.Image], tmp_path: Path
) -> None:
    photo = photos[0]
    photo.save(tmp_path / "photo.png")
    forms: list[Any] = [
        tmp_path / "photo.png", str(tmp_path / "photo.png"), np.asarray(photo), model.encode(photo),
    ]  # fmt: skip
    wanted = model.generate_caption(photo)
    assert wanted.words
    for form in forms:
        assert_same(model.generate_caption(form), wanted)


def test_a_photo_is_encoded_once_as_regions_and_their_grid(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    features = model.encode(photos[0])
    assert isinstance(features, Features)
    assert features.grid == model.grid == (3, 3)
    assert features.regions.shape == (9, 96)
    image = to_tensor(load_image(photos[0]), model.config.preprocess)
    torch.testing.assert_close(features.regions, model.encoder(image.unsqueeze(0))[0])


@pytest.mark.parametrize("left", [0, 2])
def test_a_photo_may_be_half_encoded_already(
    model: ImageCaptioningModel, photos: list[Image.Image], left: int
) -> None:
    image = to_tensor(load_image(photos[0]), model.config.preprocess)
    maps = model.encoder.run_stages(image.unsqueeze(0), 0, model.encoder.num_stages - left)[0]
    (features,), wanted = model.encode_tensors([maps], left), model.encode(photos[0])
    assert features.grid == wanted.grid
    torch.testing.assert_close(features.regions, wanted.regions)


def test_positions_and_a_later_attention_caption_photos_too(
    config: ModelConfig, vocabulary: Vocabulary, photos: list[Image.Image]
) -> None:
    model = build_model(replace(config, position=True, attention_query="after"), vocabulary)
    assert model.decoder.position is not None
    assert model.decoder.position(torch.zeros(1, 9, 20)).abs().sum() > 0  # of the 3 x 3 regions
    captions = model.generate_captions(photos, beam_size=3, max_length=6)
    for photo, caption in zip(photos, captions, strict=True):
        alone = model.generate_caption(photo, beam_size=3, max_length=6)
        assert_same(caption, alone, exactly=False)


@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_caption_says_what_teacher_forcing_says_of_it(
    model: ImageCaptioningModel, photos: list[Image.Image], beam_size: int
) -> None:
    """The numbers, alternatives and attention of its words and its end are the model's own."""
    with torch.no_grad():
        model.decoder.output_bias[END_ID] += 2  # an untrained model seldom ends
    caption = model.generate_caption(photos[1], beam_size=beam_size, max_length=6, min_length=3)
    ids = [START_ID, *(model.vocabulary.words.index(word.text) for word in caption.words)]
    image = to_tensor(photos[1], model.config.preprocess).unsqueeze(0)
    with torch.inference_mode():
        logits, alphas = model(image, torch.tensor([ids]))
    probabilities = logits[0].softmax(dim=1)
    entropies = torch.distributions.Categorical(logits=logits[0]).entropy().tolist()
    assert len(caption.words) >= 3
    assert caption.ending is not None
    end_probability = float(probabilities[len(caption.words), END_ID])
    assert caption.ending.probability == pytest.approx(end_probability, abs=1e-5)
    said = [word.entropy for word in caption.words]
    assert [*said, caption.ending.entropy] == pytest.approx(entropies, abs=1e-4)
    for t, word in enumerate(caption.words):
        assert word.ending == pytest.approx(float(probabilities[t, END_ID]), abs=1e-5)
        assert word.probability == pytest.approx(float(probabilities[t, ids[t + 1]]), abs=1e-5)
        assert word.alpha.shape == caption.grid
        assert word.alpha.dtype == np.float32
        assert float(word.alpha.sum()) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(word.alpha.reshape(-1), alphas[0, t].numpy(), atol=1e-5)
        shares = [share for _, share in word.alternatives]
        assert shares == sorted(shares, reverse=True)
        assert len(shares) == 5
        assert {text for text, _ in word.alternatives}.isdisjoint({word.text, *SPECIALS})
        for text, share in word.alternatives:
            model_share = float(probabilities[t, model.vocabulary.words.index(text)])
            assert share == pytest.approx(model_share, abs=1e-5)


def test_several_captions_of_a_photo_need_it_only_once(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    images = torch.stack([to_tensor(photo, model.config.preprocess) for photo in photos[:2]])
    token_ids = torch.randint(len(SPECIALS), len(model.vocabulary), (3, 4))
    photo_of_row = torch.tensor([1, 0, 1])
    shared = model(images, token_ids, photo_of_row)
    torch.testing.assert_close(shared, model(images[photo_of_row], token_ids))


def test_options_may_be_changed_one_by_one(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    options = DecodingOptions(beam_size=1, max_length=4)
    caption = model.generate_caption(photos[0], options, min_length=4)
    assert len(caption.words) == 4
    assert_same(caption, model.generate_caption(photos[0], replace(options, min_length=4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beams": 3}, "no such decoding option: beams; there are beam_size, "),
        ({"beam_size": "3"}, "beam_size must be a whole number, got '3'"),
        ({"beam_size": 0}, "beam_size must be from 1"),
    ],
)
def test_a_wrong_option_is_refused_by_name(
    model: ImageCaptioningModel,
    photos: list[Image.Image],
    changes: dict[str, Any],
    message: str,
) -> None:
    """An option of the wrong type was once reported as one that does not exist."""
    with pytest.raises(ValueError, match=message):
        model.generate_caption(photos[0], **changes)


def test_no_photos_give_no_captions(model: ImageCaptioningModel) -> None:
    assert model.generate_captions([]) == []


@pytest.mark.parametrize(
    "options",
    [{"beam_size": 5}, {"diversity": 1.0}, {"temperature": 1.0, "top_p": 0.9}],
)
def test_several_captions_of_a_photo_differ_and_come_best_first(
    model: ImageCaptioningModel, photos: list[Image.Image], options: dict[str, Any]
) -> None:
    with torch.no_grad():
        model.decoder.output_bias[END_ID] += 2  # an untrained model seldom ends
    found = model.generate_n_best(photos[:2], num_captions=3, max_length=6, **options)
    assert [len(captions) for captions in found] == [3, 3]
    for captions in found:
        assert len({str(caption) for caption in captions}) == 3
        scores = [caption.score for caption in captions]
        assert scores == sorted(scores, reverse=True)
    best = model.generate_caption(photos[1], num_captions=3, max_length=6, **options)
    assert_same(best, found[1][0], exactly=False)


def test_captions_of_different_words_and_the_same_text_are_given_once(
    config: ModelConfig, photos: list[Image.Image]
) -> None:
    """ "coffee" and "pot" read as the one word "coffee pot" does."""
    model = build_model(config, Vocabulary(["coffee", "pot", "coffee pot", "a"]))
    with torch.no_grad():
        model.decoder.output_bias[END_ID] += 1
    options = {"num_captions": 99, "max_length": 2, "no_repeat_ngram": 0}
    (captions,) = model.generate_n_best(photos[:1], **options)
    texts = [str(caption) for caption in captions]
    assert len(texts) == 4 + 4 * 4 - 1  # all of one word and of two, and one of them twice
    assert len(set(texts)) == len(texts)
    scores = [caption.score for caption in captions]
    assert scores == sorted(scores, reverse=True)
    (sampled,) = model.generate_n_best(photos[:1], temperature=9.0, **options)
    assert len({str(caption) for caption in sampled}) == len(sampled) > 5
    (few,) = model.generate_n_best(photos[:1], **(options | {"num_captions": 19, "beam_size": 99}))
    assert [str(caption) for caption in few] == texts  # others have come in the place of the twin


def test_ten_photos_at_beam_5_give_together_what_each_gives_alone(
    model: ImageCaptioningModel,
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (10, 40, 40, 3), dtype=np.uint8)
    photos = [model.encode(pixels) for pixels in noise]
    together = model.generate_captions(photos, beam_size=5, max_length=8)
    for photo, caption in zip(photos, together, strict=True):
        alone = model.generate_caption(photo, beam_size=5, max_length=8)
        assert_same(caption, alone, exactly=False)


def test_a_caption_keeps_to_a_prefix_and_to_banned_words(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    free = model.generate_caption(photos[0], prefix="The dog", max_length=6, min_length=4)
    assert [word.text for word in free.words[:2]] == ["the", "dog"]
    banned = free.words[2].text
    held = model.generate_caption(
        photos[0], prefix="The dog", max_length=6, min_length=4, banned_words=[banned, "zebra"]
    )
    assert [word.text for word in held.words[:2]] == ["the", "dog"]
    assert banned not in [word.text for word in held.words[2:]]
    assert banned in [text for text, _ in held.words[2].alternatives]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefix": "the zebra the yak"}, "prefix holds a word that .* not know: zebra, yak"),
        ({"prefix": "the dog runs", "max_length": 2}, "at most max_length = 2 words, got 3"),
    ],
)
def test_a_prefix_that_cannot_be_said_is_refused(
    model: ImageCaptioningModel,
    photos: list[Image.Image],
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        model.generate_caption(photos[0], **options)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_generated_caption_scored_as_ones_own_is_the_same_caption(
    model: ImageCaptioningModel, photos: list[Image.Image], beam_size: int
) -> None:
    with torch.no_grad():
        model.decoder.output_bias[END_ID] += 2  # an untrained model seldom ends
    caption = model.generate_caption(photos[1], beam_size=beam_size, min_length=3)
    assert caption.finished
    scored = model.score_caption(photos[1], " ".join(word.text for word in caption.words))
    assert_same(scored, caption, exactly=False)
    assert scored.logprob == pytest.approx(caption.logprob, abs=1e-4)
    assert scored.finished


def test_words_that_the_model_does_not_know_are_marked_and_kept(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    scored = model.score_caption(photos[0], "The ZEBRA runs runs runs")
    assert [word.text for word in scored.words] == ["the", "zebra", "runs", "runs", "runs"]
    assert [word.known for word in scored.words] == [True, False, True, True, True]
    assert scored.unknown_words == ("zebra",)
    assert all(0 < word.probability < 1 for word in scored.words)
    assert scored.perplexity == pytest.approx(np.exp(-scored.logprob / 6))
    features = model.encode(photos[0])
    assert_same(model.score_caption(features, "the zebra runs runs runs"), scored)


@pytest.mark.parametrize("text", ["", " ", "dog " * 201])
def test_a_text_without_words_or_with_too_many_is_refused(
    model: ImageCaptioningModel, photos: list[Image.Image], text: str
) -> None:
    with pytest.raises(ValueError, match=r"must have from 1 to 200 words, got (0|201)"):
        model.score_caption(photos[0], text)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_branch_with_the_word_that_was_there_tells_the_same_again(
    model: ImageCaptioningModel, photos: list[Image.Image], beam_size: int
) -> None:
    options = DecodingOptions(beam_size=beam_size, max_length=8, min_length=3)
    features = model.encode(photos[2])
    caption = model.generate_caption(features, options)
    for position, word in enumerate(caption.words):
        again = model.branch(features, caption, position, word.text, options)
        if beam_size == 1:
            assert_same(again, caption, exactly=False)
        else:  # a beam that need not hold other beginnings may find a better end
            assert again.score >= caption.score - 1e-6
            assert again.words[: position + 1] == caption.words[: position + 1]


def test_a_branch_keeps_the_words_before_and_finishes_the_sentence(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    features = model.encode(photos[0])
    caption = model.generate_caption(features, max_length=6, min_length=4)
    other, probability = caption.words[2].alternatives[0]
    told = model.branch(features, caption, 2, other, max_length=6, min_length=4)
    assert [w.text for w in told.words[:3]] == [*(w.text for w in caption.words[:2]), other]
    assert told.words[2].probability == pytest.approx(probability, rel=1e-4)
    assert len(told.words) >= 4
    longer = model.branch(photos[0], caption, len(caption.words), "cat", max_length=30)
    assert len(longer.words) > len(caption.words)


@pytest.mark.parametrize(
    ("position", "word", "message"),
    [
        (-1, "dog", "position must be from 0 to 4, the caption's length, got -1"),
        (5, "dog", "position must be from 0 to 4, the caption's length, got 5"),
        (0, "zebra", "word must be one that the model knows, got 'zebra'"),
        (0, "<eos>", "word must be one that the model knows, got '<eos>'"),
        (3, "dog", "the model does not know 'zebra': branch before that word"),
        (2, "dog", "position must be below max_length = 2, got 2"),
    ],
)
def test_a_branch_that_cannot_be_is_refused(
    model: ImageCaptioningModel,
    photos: list[Image.Image],
    position: int,
    word: str,
    message: str,
) -> None:
    caption = model.score_caption(photos[0], "the dog zebra runs")
    limit = 2 if position == 2 else 30
    with pytest.raises(ValueError, match=message):
        model.branch(photos[0], caption, position, word, max_length=limit)


def test_occlusion_is_what_a_word_loses_when_a_region_is_hidden(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    """Against a second pass over hidden features, region by region, with words scored anew."""
    features = model.encode(photos[0])
    caption = model.score_caption(features, "the zebra runs on grass")
    occlusion = model.occlusion(features, caption)
    assert len(occlusion.drops) == len(occlusion.agreements) == 5
    assert all(drop.shape == (3, 3) and drop.dtype == np.float32 for drop in occlusion.drops)
    for region in (0, 5):
        regions = features.regions.clone()
        regions[region] = features.regions.mean(dim=0)
        without = model.score_caption(Features(regions, features.grid), "the zebra runs on grass")
        for drop, seen, unseen in zip(occlusion.drops, caption.words, without.words, strict=True):
            wanted = seen.probability - unseen.probability
            assert drop.flat[region] == pytest.approx(wanted, abs=1e-6)
    assert any(abs(drop).max() > 1e-6 for drop in occlusion.drops)
    assert model.occlusion(photos[0], caption).agreement == pytest.approx(occlusion.agreement)


def test_hiding_many_regions_may_take_several_passes(
    model: ImageCaptioningModel, photos: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    caption = model.generate_caption(photos[0], max_length=4)
    whole = model.occlusion(photos[0], caption)
    monkeypatch.setattr("captioner.occlusion.MAX_VARIANTS", 4)
    for left, right in zip(whole.drops, model.occlusion(photos[0], caption).drops, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_occlusion_holds_a_bounded_number_of_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    """It once built a copy of the features for every region, a gigabyte on a large grid."""
    rows: list[int] = []

    def decoder(
        features: torch.Tensor, token_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows.append(len(features))
        return torch.zeros(*token_ids.shape, 7), torch.zeros(*token_ids.shape, len(regions))

    regions, token_ids = torch.randn(50, 4), torch.tensor([4, 5, 6])
    built: list[int] = []
    hide = captioner.occlusion.hide_regions

    def record(regions: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        assert len(built) == len(rows) - 1  # each when its turn comes
        built.append(hide(regions, hidden).numel())
        return hide(regions, hidden)

    monkeypatch.setattr("captioner.occlusion.hide_regions", record)
    monkeypatch.setattr("captioner.occlusion.MAX_NUMBERS", 2000)
    assert occlusion_drops(decoder, 7, regions, token_ids).shape == (50, 3)
    assert rows == [1, *[10] * 5]
    assert max(built) == 2000
    rows.clear()
    built.clear()
    occlusion_drops(decoder, 500, regions, token_ids)  # logits: 3 words x 500
    assert rows == [1] * 51


def test_occlusion_of_a_caption_of_too_many_words_is_refused(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    caption = model.score_caption(photos[0], "the dog")
    with pytest.raises(CaptionError, match="must have at most 200 words, got 201"):
        model.occlusion(photos[0], replace(caption, words=caption.words[:1] * 201))


def test_occlusion_of_a_caption_of_another_grid_or_model_is_refused(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    caption = model.score_caption(photos[0], "the dog")
    with pytest.raises(ValueError, match=r"attention on \(3, 3\) regions.* on \(7, 7\)"):
        model.occlusion(photos[0], replace(caption, grid=(7, 7)))
    with pytest.raises(ValueError, match="got 0 words"):
        model.occlusion(photos[0], replace(caption, words=()))
    foreign = replace(caption, words=(replace(caption.words[0], text="yak"),))
    with pytest.raises(ValueError, match="'yak' is not a word of this model"):
        model.occlusion(photos[0], foreign)


def test_there_is_an_overlay_of_the_photos_size_for_each_word(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    caption = model.generate_caption(photos[0], max_length=4)
    overlays = model.visualize_attention(photos[0], caption)
    assert [overlay.size for overlay in overlays] == [photos[0].size] * len(caption.words)
    own = model.visualize_attention(photos[0])
    assert len(own) == len(model.generate_caption(photos[0]).words)


def test_the_encoder_gets_no_gradient_and_the_decoder_does(
    model: ImageCaptioningModel, photos: list[Image.Image]
) -> None:
    model.train()
    image = to_tensor(photos[0], model.config.preprocess).unsqueeze(0)
    logits, _ = model(image, torch.tensor([[START_ID, 5, 6]]))
    logits.sum().backward()
    assert not any(module.training for module in model.encoder.modules())
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert all(parameter.grad is not None for parameter in model.decoder.parameters())


@pytest.mark.slow
def test_a_model_learns_to_say_what_four_photos_show(
    config: ModelConfig, vocabulary: Vocabulary, photos: list[Image.Image]
) -> None:
    captions = ["the dog runs", "the cat sleeps on the sofa", "dog on grass", "cat runs"]
    model = build_model(replace(config, dropout=0.0), vocabulary)
    rows = [vocabulary.encode(caption) for caption in captions]
    width = max(map(len, rows))
    token_ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    images = torch.stack([to_tensor(photo, config.preprocess) for photo in photos])
    with torch.no_grad():
        features = model.encoder(images)
    optimizer = torch.optim.Adam(model.decoder.parameters(), lr=0.01)
    for _ in range(120):
        logits, _ = model.decoder(features, token_ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), token_ids[:, 1:].flatten(), ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = [str(caption) for caption in model.eval().generate_captions(photos)]
    assert said == captions
    assert token_ids.eq(END_ID).sum() == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
        ({"projection_size": -1}, "projection_size must be at least 0, got -1"),
        ({"dropout": 1.0}, "dropout must be from 0 to below 1, got 1.0"),
        ({"temperature": float("nan")}, "temperature must be from 0.01 to 100, got nan"),
        ({"recognizer_stages": -1}, "recognizer_stages must be at least 0, got -1"),
        ({"photo_components": 9000}, "photo_components must be at most 8192, got 9000"),
        ({"attention_query": "never"}, "attention_query must be before or after, got 'never'"),
    ],
)
def test_a_wrong_configuration_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelConfig(**changes)
