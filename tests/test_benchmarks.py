"""The benchmark `compare` measures what it says."""

from pathlib import Path

import pytest
import torch

from captioner import ImageCaptioningModel, save_model
from tests.benchmarks import captions, compare, measuring, parts


def test_contestants_take_turns_and_a_first_round_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "TURN_SECONDS", 0.0)
    turns: list[tuple[str, int]] = []
    contestants = {name: lambda given, name=name: turns.append((name, given)) for name in "ab"}
    times = measuring.alternate(contestants, [1, 2], rounds=2)
    assert turns == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 1), ("b", 1)]
    assert {name: len(found) for name, found in times.items()} == {"a": 2, "b": 2}


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    assert measuring.ratio([2.0, 40.0, 9.0], [1.0, 10.0, 1.0]) == 4.0


def test_floors_count_the_multiply_adds_of_products_and_convolutions() -> None:
    left, right = torch.ones(2, 3), torch.ones(3, 5)
    assert measuring.count_multiply_adds(lambda: left @ right) == 2 * 3 * 5
    convolution = torch.nn.Conv2d(3, 4, 3, padding=1)
    counted = measuring.count_multiply_adds(lambda: convolution(torch.ones(1, 3, 8, 8)))
    assert counted == 8 * 8 * 3 * 4 * 9


def test_the_floor_of_a_search_grows_with_its_beam_and_its_words(
    model: ImageCaptioningModel,
) -> None:
    """Of weights that are packed, as these can be, nothing would be counted."""
    model.load_state_dict({name: part.half() for name, part in model.state_dict().items()})
    size = model.config.preprocess.image_size
    regions = model.encode_tensors([torch.zeros(3, size, size)])[0].regions
    one, wider, longer = (
        parts.search_multiply_adds(model, regions, beam, words)
        for beam, words in ((1, 4), (3, 4), (1, 8))
    )
    lstm = model.decoder.lstm
    per_word = lstm.weight_ih.numel() + lstm.weight_hh.numel()
    assert longer - one > 4 * per_word
    assert wider - one > 2 * 4 * per_word


def test_ratios_are_printed_without_the_packages_of_other_contestants(
    model: ImageCaptioningModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(measuring, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(captions, "find_spec", lambda name: None)
    save_model(model, tmp_path)
    compare.main(["--only", "captions", "--rounds", "1", "--checkpoint", str(tmp_path)])
    printed = capsys.readouterr().out
    assert captions.INSTALL in printed
    assert "| ours, beam 3 | 1.00 |" in printed
