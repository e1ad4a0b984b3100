"""The `prepare` stage: cached features are what the encoder gives, and are not mixed up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ImageOps
from safetensors.torch import save_file
from torch import Tensor

from captioner import FeatureExtractor
from captioner.images import load_image
from captioner.preprocessing import PreprocessConfig, to_tensor
from tests.colour_walls import ENCODER, common
from train.config import FitConfig, PrepareConfig
from train.data import MIRRORED, UPRIGHT, View
from train.features import FeatureCache, build_vocabulary, prepare
from train.fit import fit


def test_the_vocabulary_holds_the_train_splits_words_only(data: Path, tmp_path: Path) -> None:
    vocabulary = build_vocabulary(PrepareConfig(**common(data), features=tmp_path))
    assert "wall" in vocabulary
    assert "unheard" not in vocabulary
    assert "." not in vocabulary


def encode_photo(encoder: FeatureExtractor, path: Path, preprocess: PreprocessConfig) -> Tensor:
    with torch.inference_mode():
        return encoder(to_tensor(load_image(path), preprocess).unsqueeze(0))[0]


@pytest.mark.parametrize("left", [0, 2])
def test_cached_features_are_what_the_encoder_gives(
    data: Path, features: Path, stages_left: Path, left: int
) -> None:
    cache = FeatureCache(stages_left if left else features, random_views=False)
    encoder = FeatureExtractor(ENCODER)
    cache.require(encoder, encoder.preprocess_config(64))
    assert cache.stages_left == left
    for name in ("0.jpg", "9.jpg"):  # of several views, and of one
        view = cache.view(name, np.random.default_rng(0))
        assert view.placement == UPRIGHT
        assert view.photo.shape[1:] == (4, 4) if left else encoder.grid(64)
        with torch.inference_mode():
            regions = encoder(view.photo.unsqueeze(0), left)[0]
        wanted = encode_photo(encoder, data / "photos" / name, cache.preprocess)
        torch.testing.assert_close(regions, wanted, atol=5e-3, rtol=5e-3)


def test_train_photos_have_several_views_and_val_photos_their_plain_one(features: Path) -> None:
    cache = FeatureCache(features, random_views=True)
    generator = np.random.default_rng(0)
    train_views = {float(cache.view("0.jpg", generator)[0].sum()) for _ in range(30)}
    val_views = {float(cache.view("9.jpg", generator)[0].sum()) for _ in range(30)}
    assert len(train_views) == 3
    assert len(val_views) == 1


def views_of(cache: FeatureCache, name: str) -> list[View]:
    generator = np.random.default_rng(0)
    return [cache.view(name, generator) for _ in range(30)]


def test_the_second_view_is_the_mirror_image_and_says_so(data: Path, features: Path) -> None:
    cache = FeatureCache(features, random_views=True)
    mirror = ImageOps.mirror(load_image(data / "photos" / "0.jpg"))
    encoder = FeatureExtractor(ENCODER)
    with torch.inference_mode():
        wanted = encoder.feature_map(to_tensor(mirror, cache.preprocess).unsqueeze(0))[0]
    found = [view for view in views_of(cache, "0.jpg") if torch.allclose(view.photo, wanted, 1e-2)]
    assert {view.placement for view in found} == {MIRRORED}


def test_the_third_view_is_a_random_one_that_lies_where_it_says(features: Path) -> None:
    cache = FeatureCache(features, random_views=True)
    others = {view.placement for view in views_of(cache, "0.jpg")} - {UPRIGHT, MIRRORED}
    assert len(others) == 1
    ((a, b, _), (d, e, _)) = others.pop()
    assert 1 <= abs(a * e - b * d) <= 1.1 / 0.6  # it shows 60 to 100 % of the photo


def test_random_views_do_not_depend_on_pythons_hash(
    data: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It differs between versions of Python."""
    monkeypatch.setattr("train.features.hash", lambda _: 7, raising=False)
    config = PrepareConfig(**common(data), features=tmp_path / "f", views=3, stages_left=0)
    prepare(config)
    assert np.array_equal(
        np.load(config.features / "features.npy"), np.load(features / "features.npy")
    )


def test_an_interrupted_prepare_goes_on_to_the_same_features(
    data: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"views": 3, "batch_size": 2, "stages_left": 0}
    config = PrepareConfig(**common(data), features=tmp_path / "f", **settings)
    monkeypatch.setattr("train.features.FLUSH_EVERY", 2)
    encode = FeatureExtractor.run_stages
    calls = 0

    def fail_at_the_seventh(
        self: Any, images: Tensor, first: int, end: int | None = None
    ) -> Tensor:
        nonlocal calls
        if len(images) == 1:  # the photo that tells the features' shape
            return encode(self, images, first, end)
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return encode(self, images, first, end)

    monkeypatch.setattr("train.features.FeatureExtractor.run_stages", fail_at_the_seventh)
    with pytest.raises(KeyboardInterrupt):
        prepare(config)
    with pytest.raises(ValueError, match="holds 12 of 28 views"):
        FeatureCache(config.features, random_views=False)
    prepare(config)
    assert calls == 7 + 8  # 6 of the 14 batches were done and kept
    np.testing.assert_allclose(
        np.load(config.features / "features.npy").astype(np.float32),
        np.load(features / "features.npy").astype(np.float32),
        atol=1e-2,
    )


def test_features_made_otherwise_are_not_mixed_in(data: Path, features: Path) -> None:
    before = (features / "vocabulary.json").read_bytes()
    other = {**common(data), "min_frequency": 3}
    with pytest.raises(ValueError, match="made with other settings"):
        prepare(PrepareConfig(**other, features=features, views=2))
    assert (features / "vocabulary.json").read_bytes() == before


def weights_with_another(name: str, folder: Path) -> Path:
    weights = FeatureExtractor(ENCODER).backbone.state_dict()
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    weights[name] += 0.1
    save_file(weights, folder / "other.safetensors")
    return folder / "other.safetensors"


def test_features_of_other_weights_are_not_trained_on(
    fit_config: FitConfig, tmp_path: Path
) -> None:
    other = weights_with_another("conv_stem.weight", tmp_path)
    with pytest.raises(ValueError, match="of other weights of"):
        fit(replace(fit_config, encoder_weights=str(other)))


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("conv_stem.weight", False),
        ("blocks.4.0.bn1.running_mean", False),
        ("blocks.5.0.conv_pw.weight", True),
        ("conv_head.weight", True),
    ],
)
def test_weights_may_differ_in_the_stages_that_are_left_to_do_alone(
    features: Path, stages_left: Path, tmp_path: Path, name: str, fits: bool
) -> None:
    encoder = FeatureExtractor(ENCODER, weights_with_another(name, tmp_path))
    cache = FeatureCache(stages_left, random_views=False)
    if fits:
        cache.require(encoder, cache.preprocess)
    else:
        with pytest.raises(ValueError, match="of other weights of"):
            cache.require(encoder, cache.preprocess)
    with pytest.raises(ValueError, match="of other weights of"):
        FeatureCache(features, random_views=False).require(encoder, cache.preprocess)


def test_at_least_one_stage_is_done_when_features_are_cached(data: Path, tmp_path: Path) -> None:
    config = PrepareConfig(**common(data), features=tmp_path / "f", stages_left=8)
    with pytest.raises(ValueError, match="stages_left must be from 0 to 7, got 8"):
        prepare(config)
