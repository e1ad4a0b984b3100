"""What a run starts from: word vectors or another run's weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from captioner import Vocabulary, save_model
from captioner.checkpoint import load_model
from captioner.vocabulary import PAD_ID, SPECIALS
from tests.colour_walls import rows_of
from train.config import FitConfig
from train.fit import build_model, fit


def assert_close(one: torch.Tensor, other: torch.Tensor) -> None:
    """Up to the float16 of checkpoints."""
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


VOCABULARY = Vocabulary(["a", "one", "wall", "red", "green", "blue", "white"], False)


def test_a_run_can_start_from_the_weights_of_another(fit_config: FitConfig, tmp_path: Path) -> None:
    best = fit(fit_config)
    further = replace(fit_config, name="further", start_from=best, dropout=0.3, lr=1e-6)
    fit(replace(further, epochs=1))
    first = rows_of(tmp_path / "further")[0]
    kept = max(rows_of(tmp_path / "run"), key=lambda row: row["CIDEr-D"])
    assert first["val_loss"] == pytest.approx(kept["val_loss"], abs=0.02)
    with pytest.raises(ValueError, match="hidden_size=24"):
        fit(replace(further, name="other", hidden_size=16))


def test_a_run_can_start_from_the_encoder_that_another_has_trained(
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


@pytest.mark.parametrize("deep_output", [True, False])
def test_words_in_common_with_a_checkpoint_keep_their_weights(
    fit_config: FitConfig, tmp_path: Path, deep_output: bool
) -> None:
    """Other words keep their random ones, and start as improbable as the rarest of those."""
    config = replace(fit_config, deep_output=deep_output)
    given = build_model(config, Vocabulary(["wall", "unheard", "a"], False))
    output = given.decoder.output_bias if deep_output else given.decoder.output.bias
    with torch.no_grad():
        output[:] = torch.tensor([-90.0, -80.0, 0.0, -70.0, 3.0, -60.0, 2.0])
    save_model(given, tmp_path / "given")
    own = build_model(config, VOCABULARY)
    started = build_model(replace(config, start_from=tmp_path / "given"), VOCABULARY)
    common = [*range(len(SPECIALS)), *map(VOCABULARY.id_of, ("a", "wall"))]
    rows = [*range(len(SPECIALS)), 6, 4]
    new = [row for row in range(len(VOCABULARY)) if row not in common]
    for name, tensor in started.decoder.state_dict().items():
        old = given.decoder.state_dict()[name]
        if tensor.shape == old.shape:
            assert_close(tensor, old)
            continue
        assert_close(tensor[common], old[rows])
        if tensor.ndim == 1:
            assert tensor[new].unique().tolist() == [2.0]
        else:
            assert torch.equal(tensor[new], own.decoder.state_dict()[name][new])


def test_weights_of_no_word_in_common_or_of_another_shape_are_refused(
    fit_config: FitConfig, tmp_path: Path
) -> None:
    save_model(build_model(fit_config, Vocabulary(["other"], False)), tmp_path / "given")
    config = replace(fit_config, start_from=tmp_path / "given")
    with pytest.raises(ValueError, match="has no word in common"):
        build_model(config, VOCABULARY)
    with pytest.raises(ValueError, match="hidden_size=24"):
        build_model(replace(config, hidden_size=16), VOCABULARY)


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


@pytest.mark.slow
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
