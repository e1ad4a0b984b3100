"""What a run starts from: word vectors, another run's weights, or a warm-up on text alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from captioner import ImageCaptioningModel, Vocabulary, save_model
from captioner.checkpoint import load_model
from captioner.vocabulary import PAD_ID, SPECIALS
from tests.colour_walls import rows_of
from train.batches import build_dataset
from train.config import FitConfig
from train.data import load_split
from train.loop import fit
from train.objective import caption_inputs, caption_losses
from train.start import build_model
from train.warm_up import mean_region, warm_up

VOCABULARY = Vocabulary(["a", "one", "wall", "red", "green", "blue", "white"], False)


def test_a_run_can_begin_with_the_weights_of_another(fit_config: FitConfig, tmp_path: Path) -> None:
    best = fit(fit_config)
    further = replace(fit_config, name="further", start_from=best, dropout=0.3, lr=1e-6)
    fit(replace(further, epochs=1))
    first = rows_of(tmp_path / "further")[0]
    kept = max(rows_of(tmp_path / "run"), key=lambda row: row["CIDEr-D"])
    assert first["val_loss"] == pytest.approx(kept["val_loss"], abs=0.02)
    with pytest.raises(ValueError, match="hidden_size=24"):
        fit(replace(further, name="other", hidden_size=16))


def test_a_run_can_begin_with_the_encoder_that_another_has_trained(
    fit_config: FitConfig, stages_left: Path
) -> None:
    settings = replace(fit_config, features=stages_left, finetune_stages=1, encoder_lr=1e-3)
    given = load_model(fit(replace(settings, epochs=1)))
    further = replace(settings, name="further", start_from=fit_config.runs / "run" / "best")
    started = build_model(further, given.vocabulary)
    for name, tensor in given.state_dict().items():
        assert torch.equal(tensor, started.state_dict()[name]), name
    assert started.encoder.unfrozen_stages == 1
    fit(replace(further, epochs=1))
    assert len(rows_of(further.runs / "further")) == 1


def test_another_vocabulary_is_not_begun_with(fit_config: FitConfig, tmp_path: Path) -> None:
    save_model(build_model(fit_config, Vocabulary(["wall", "a"], False)), tmp_path / "other")
    with pytest.raises(ValueError, match="has another vocabulary"):
        build_model(replace(fit_config, start_from=tmp_path / "other"), VOCABULARY)


def write_vectors(path: Path, width: int = 16) -> dict[str, torch.Tensor]:
    """Vectors in GloVe's text format, of two words of the vocabulary and one other."""
    words = ("wall", "unheard", "red")
    vectors = {word: 5 * torch.randn(width) for word in words}
    lines = [f"{word} " + " ".join(f"{x:.5f}" for x in vectors[word].tolist()) for word in words]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return vectors


def test_known_words_begin_with_given_vectors_of_the_size_of_random_ones(
    fit_config: FitConfig, tmp_path: Path
) -> None:
    vectors = write_vectors(tmp_path / "vectors.txt")
    random = build_model(fit_config, VOCABULARY).decoder.embedding.weight
    settings = replace(fit_config, word_vectors=tmp_path / "vectors.txt")
    table = build_model(settings, VOCABULARY).decoder.embedding.weight
    rows = {word: VOCABULARY.words.index(word) for word in ("wall", "red")}
    both = torch.stack([vectors["wall"], vectors["red"]])
    scale = random[len(SPECIALS) :].std() / both.std()
    torch.testing.assert_close(table[list(rows.values())], both * scale, rtol=1e-4, atol=1e-5)
    others = [row for row in range(len(VOCABULARY)) if row not in rows.values()]
    assert torch.equal(table[others], random[others])
    assert not table[PAD_ID].any()


def test_word_vectors_that_do_not_fit_are_refused(fit_config: FitConfig, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    settings = replace(fit_config, word_vectors=path)
    with pytest.raises(FileNotFoundError, match=r"no such file of word vectors: .*vectors.txt"):
        build_model(settings, VOCABULARY)
    write_vectors(path, width=5)
    with pytest.raises(ValueError, match="of width 5; set --embedding-size to that, it is 16"):
        build_model(settings, VOCABULARY)
    write_vectors(path)
    with pytest.raises(ValueError, match="holds no word of the vocabulary"):
        build_model(settings, Vocabulary(["other"], False))


def text_loss(config: FitConfig, model: ImageCaptioningModel) -> float:
    """Of the train captions, told without their photos."""
    photos = load_split(config.captions, config.splits, "train")
    dataset = build_dataset(config, photos, model, training=True)
    rows = [model.vocabulary.encode(text) for photo in photos for text in photo.captions]
    token_ids = torch.tensor(rows)  # all are of three words
    with torch.inference_mode():
        mean = mean_region(config, model.eval(), dataset)
        zeros = torch.zeros(len(rows), dtype=torch.long)
        said = model.decoder.predict(mean, caption_inputs(token_ids), zeros)
        return float(caption_losses(said, token_ids).nll)


def warmed_up(config: FitConfig) -> ImageCaptioningModel:
    model = build_model(config, VOCABULARY)
    photos = load_split(config.captions, config.splits, "train")
    warm_up(config, model, build_dataset(config, photos, model, training=True))
    return model


@pytest.mark.slow
def test_a_warm_up_teaches_the_language_and_repeats_by_seed(
    fit_config: FitConfig, data: Path
) -> None:
    settings = replace(
        fit_config, warm_up_captions=data / "results.csv", warm_up_epochs=20, batch_photos=1
    )
    before = text_loss(settings, build_model(settings, VOCABULARY))
    model = warmed_up(settings)
    assert text_loss(settings, model) < 0.6 * before
    for name, tensor in warmed_up(settings).state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    other = warmed_up(replace(settings, seed=1)).decoder.output_bias
    assert not torch.equal(other, model.decoder.output_bias)


@pytest.mark.parametrize("batch_photos", [1, 2, 32])
def test_a_warm_up_may_be_of_any_number_of_steps(
    fit_config: FitConfig, data: Path, batch_photos: int
) -> None:
    """Of exactly 20 steps it once divided by zero."""
    for epochs in (1, 5, 10, 20):
        warmed_up(
            replace(
                fit_config,
                warm_up_captions=data / "results.csv",
                warm_up_epochs=epochs,
                batch_photos=batch_photos,
                autocast=False,
            )
        )


def test_a_run_is_warmed_up_before_its_first_epoch_alone(
    fit_config: FitConfig, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path | None] = []
    monkeypatch.setattr(
        "train.loop.warm_up", lambda config, model, data: calls.append(config.warm_up_captions)
    )
    settings = replace(fit_config, epochs=1, warm_up_captions=data / "results.csv")
    fit(settings)
    fit(replace(settings, resume=True))
    assert calls == [data / "results.csv"]
