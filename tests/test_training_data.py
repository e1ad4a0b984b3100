"""Reading, splitting, augmenting and batching captioned photos."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.preprocessing import PreprocessConfig
from captioner.vocabulary import END_ID, PAD_ID, START_ID, Vocabulary
from train.batches import Flickr30kDataset, collate
from train.data import (
    MIRRORED,
    UPRIGHT,
    Augmentation,
    CaptionedPhoto,
    PhotoFiles,
    Placement,
    View,
    augment,
    read_captions,
    read_splits,
    swap_sides,
)

BARS = """image_name| comment_number| comment
1.jpg| 0| A man on the left .
1.jpg| 1|  "Two   dogs"
2.jpg| 4   A dog runs .
2.jpg| 1|
"""
COMMAS = """image,caption
1.jpg,A man on the left .
1.jpg,"Two dogs, one black ."
"""
KAGGLE = """image_name,comment_number,comment
1.jpg,0,Two dogs , one black .
"""
KAGGLE_ROWS = "1.jpg,0,a dog{}and a cat\n2.jpg,0,a man\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_flickr30k_captions_are_cleaned_and_its_broken_row_is_read(tmp_path: Path) -> None:
    photos = read_captions(write(tmp_path / "results.csv", BARS))
    assert photos == [
        CaptionedPhoto("1.jpg", ("A man on the left .", "Two dogs")),
        CaptionedPhoto("2.jpg", ("A dog runs .",)),
    ]


def test_commas_inside_a_caption_survive(tmp_path: Path) -> None:
    assert read_captions(write(tmp_path / "a.txt", COMMAS))[0].captions[1] == (
        "Two dogs, one black ."
    )
    assert read_captions(write(tmp_path / "b.txt", KAGGLE))[0].captions == (
        "Two dogs , one black .",
    )


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
@pytest.mark.parametrize("rows", ["1.jpg| 0| a dog{}and a cat\n2.jpg| 0| a man\n", KAGGLE_ROWS])
def test_only_line_feeds_end_a_row(tmp_path: Path, separator: str, rows: str) -> None:
    """Captions were cut at every character that `str.splitlines` splits at."""
    header = (BARS if "|" in rows else KAGGLE).splitlines()[0] + "\n"
    photos = read_captions(write(tmp_path / "results.csv", header + rows.format(separator)))
    assert photos == [
        CaptionedPhoto("1.jpg", ("a dog and a cat",)),
        CaptionedPhoto("2.jpg", ("a man",)),
    ]


def test_a_file_that_holds_no_captions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must begin with"):
        read_captions(write(tmp_path / "x.csv", "a;b\n1;2\n"))
    with pytest.raises(ValueError, match="line 3 is not a caption"):
        read_captions(write(tmp_path / "y.csv", BARS.splitlines()[0] + "\n1.jpg| 0| a\nnonsense\n"))
    with pytest.raises(FileNotFoundError, match="no such caption file"):
        read_captions(tmp_path / "z.csv")


def test_splits_come_from_lists_or_from_karpathys_json(tmp_path: Path) -> None:
    photos = [CaptionedPhoto(f"{number}.jpg", ("a",)) for number in range(4)]
    write(tmp_path / "train.txt", "0.jpg\n1.jpg\n")
    write(tmp_path / "val.txt", "2.jpg\nunknown.jpg\n")
    assert read_splits(photos, tmp_path) == {"0.jpg": "train", "1.jpg": "train", "2.jpg": "val"}

    images = [
        {"filename": "0.jpg", "split": "restval"},
        {"filename": "3.jpg", "split": "test"},
    ]
    path = write(tmp_path / "dataset.json", json.dumps({"images": images}))
    assert read_splits(photos, path) == {"0.jpg": "train", "3.jpg": "test"}


def test_a_split_list_has_one_file_name_a_line(tmp_path: Path) -> None:
    """Names with blanks in them were once taken for several."""
    write(tmp_path / "train.txt", "a dog.jpg\n\n  b\u2028.jpg \n")
    write(tmp_path / "val.txt", "")
    photos = [CaptionedPhoto(name, ("a",)) for name in ("a dog.jpg", "b\u2028.jpg")]
    assert read_splits(photos, tmp_path) == dict.fromkeys(("a dog.jpg", "b\u2028.jpg"), "train")


def test_a_photo_in_two_lists_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "0.jpg\n")
    write(tmp_path / "val.txt", "0.jpg\n")
    with pytest.raises(ValueError, match=r"both train\.txt and val\.txt"):
        read_splits([CaptionedPhoto("0.jpg", ("a",))], tmp_path)


def test_without_lists_the_split_hangs_on_the_name_alone() -> None:
    photos = [CaptionedPhoto(f"{number}.jpg", ("a",)) for number in range(3000)]
    splits = read_splits(photos, None)
    assert splits == read_splits(photos[::-1], None)
    counts = Counter(splits.values())
    assert 60 < counts["val"] < 140
    assert 60 < counts["test"] < 140


def test_a_mirrored_photo_swaps_left_and_right() -> None:
    assert swap_sides("Left hand, right-hand bright leftover") == (
        "Right hand, left-hand bright leftover"
    )


@pytest.mark.parametrize("kind", ["classic", "strong"])
def test_augmented_photos_are_square_and_say_whether_they_are_mirrored(kind: Augmentation) -> None:
    pixels = np.zeros((60, 90, 3), dtype=np.uint8)
    pixels[:, :45] = 255  # white on the left
    flags: list[bool] = []
    torch.manual_seed(1)
    for _ in range(20):
        image, placement = augment(Image.fromarray(pixels), kind, 56)
        mirrored = View(torch.zeros(1), placement).mirrored
        assert image.size == (56, 56)
        columns = np.asarray(image).mean(axis=(0, 2))
        assert (columns[-8:].mean() > columns[:8].mean()) == mirrored
        flags.append(mirrored)
    assert 4 < sum(flags) < 16


def brightest(image: Image.Image) -> tuple[float, float]:
    """The centre of what is bright, as fractions of width and height."""
    light = np.asarray(image.convert("L"), dtype=float)
    light[light < 60] = 0
    rows, cols = np.indices(light.shape) + 0.5
    total = light.sum()
    return (cols * light).sum() / total / image.width, (rows * light).sum() / total / image.height


@pytest.mark.parametrize("kind", ["none", "classic", "strong"])
def test_a_dot_in_a_photo_lands_where_the_placement_says(kind: Augmentation) -> None:
    """torchvision mirrors points one pixel beside where it mirrors photos."""
    torch.manual_seed(0)
    placements: list[Placement] = []
    for number in range(60):
        dot = 0.2 + 0.3 * (number % 3), 0.3 + 0.2 * (number % 2)
        pixels = np.zeros((200, 300, 3), dtype=np.uint8)
        row, col = round(dot[1] * 200), round(dot[0] * 300)
        pixels[row - 5 : row + 5, col - 5 : col + 5] = 255
        image, ((a, b, c), (d, e, f)) = augment(Image.fromarray(pixels), kind, 112)
        x, y = a * dot[0] + b * dot[1] + c, d * dot[0] + e * dot[1] + f
        if 0.06 < x < 0.94 and 0.06 < y < 0.94:  # the whole dot is in the view
            assert brightest(image) == pytest.approx((x, y), abs=0.5 / 112)
            placements.append(((a, b, c), (d, e, f)))
    assert len(placements) > 30
    mirrored = [placement[0][0] < 0 for placement in placements]
    turned = [abs(placement[0][1]) > 0.01 for placement in placements]
    assert any(mirrored) == (kind != "none")
    assert any(turned) == (kind == "strong")
    if kind == "none":
        assert set(placements) == {UPRIGHT}


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (80 * number, 90, 0)).save(folder / f"{number}.jpg")
    return folder


@pytest.fixture
def photos() -> list[CaptionedPhoto]:
    return [
        CaptionedPhoto("0.jpg", ("a dog", "a dog left")),
        CaptionedPhoto("1.jpg", ("a cat on a mat",)),
        CaptionedPhoto("2.jpg", ("a b c", "a")),
    ]


def in_folder(photos: list[CaptionedPhoto], folder: Path) -> list[CaptionedPhoto]:
    return [replace(photo, path=folder / photo.name) for photo in photos]


VOCABULARY = Vocabulary(["a", "dog", "left", "right", "cat"])


def test_an_example_is_a_caption_or_a_photo_with_all_of_them(
    photo_folder: Path, photos: list[CaptionedPhoto]
) -> None:
    source = PhotoFiles(in_folder(photos, photo_folder), PreprocessConfig(32))
    pairs = Flickr30kDataset(photos, VOCABULARY, source)
    groups = Flickr30kDataset(photos, VOCABULARY, source, group_captions=True)
    assert len(pairs) == 5
    assert len(groups) == 3
    assert [len(groups[index].captions) for index in range(3)] == [2, 1, 2]
    assert pairs[2].captions[0].tolist() == groups[1].captions[0].tolist()
    assert pairs[2].photo.shape == (3, 32, 32)


def test_captions_begin_and_end_and_are_padded_at_the_end(
    photo_folder: Path, photos: list[CaptionedPhoto]
) -> None:
    source = PhotoFiles(in_folder(photos, photo_folder), PreprocessConfig(32))
    dataset = Flickr30kDataset(photos, VOCABULARY, source, max_length=3, group_captions=True)
    batch = collate([dataset[index] for index in range(3)])
    assert batch.photos.shape == (3, 3, 32, 32)
    assert batch.photo_of_row.tolist() == [0, 0, 1, 2, 2]
    a, dog = VOCABULARY.encode("a dog")[1:3]
    assert batch.token_ids[0].tolist() == [START_ID, a, dog, END_ID, PAD_ID]
    assert (batch.token_ids[2] == END_ID).nonzero().tolist() == [[4]]  # cut to 3 words, then ended


def test_random_views_differ_by_epoch_and_repeat_by_seed(
    photo_folder: Path, photos: list[CaptionedPhoto]
) -> None:
    def views(seed: int, epoch: int) -> list[float]:
        source = PhotoFiles(in_folder(photos, photo_folder), PreprocessConfig(32), "strong")
        dataset = Flickr30kDataset(photos, VOCABULARY, source, seed=seed)
        dataset.epoch = epoch
        return [float(dataset[index].photo.sum()) for index in range(5)]

    assert views(1, 0) == views(1, 0)
    assert views(1, 0) != views(1, 1)
    assert views(1, 0) != views(2, 0)


class Views:
    """A source whose views are blank, and 0.jpg's mirrored."""

    stages_left = None

    def view(self, name: str, generator: np.random.Generator) -> View:
        return View(torch.zeros(1), MIRRORED if name == "0.jpg" else UPRIGHT)


def test_a_mirrored_view_comes_with_mirrored_captions(photos: list[CaptionedPhoto]) -> None:
    dataset = Flickr30kDataset(photos, VOCABULARY, Views(), group_captions=True)
    assert VOCABULARY.decode(dataset[0].captions[1].tolist()) == ["a", "dog", "right"]
    batch = collate([dataset[0], dataset[1]])
    assert batch.names == [("0.jpg", True), ("1.jpg", False)]


@pytest.mark.parametrize("group_captions", [False, True])
def test_each_caption_comes_with_what_its_words_are_about(
    photos: list[CaptionedPhoto], group_captions: bool
) -> None:
    asked: list[tuple[str, int, int, Placement]] = []

    def cover(name: str, caption: int, length: int, placement: Placement) -> torch.Tensor:
        asked.append((name, caption, length, placement))
        return torch.full((length, 2), float(len(asked)))

    dataset = Flickr30kDataset(
        photos, VOCABULARY, Views(), group_captions=group_captions, cover=cover
    )
    batch = collate([dataset[index] for index in range(len(dataset))])
    assert asked == [  # lengths are of the words and the end
        ("0.jpg", 0, 3, MIRRORED),
        ("0.jpg", 1, 4, MIRRORED),
        ("1.jpg", 0, 6, UPRIGHT),
        ("2.jpg", 0, 4, UPRIGHT),
        ("2.jpg", 1, 2, UPRIGHT),
    ]
    assert batch.coverage is not None
    assert batch.coverage.shape == (5, batch.token_ids.shape[1] - 1, 2)
    for row, (_, _, length, _) in enumerate(asked):
        assert batch.coverage[row, :length].unique().tolist() == [row + 1]
        assert not batch.coverage[row, length:].any()
