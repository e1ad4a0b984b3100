"""A data set small enough to train on in every test: photos of walls of one colour."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (250,) * 3}
ENCODER = "tf_efficientnet_lite2"


def write_data(folder: Path) -> Path:
    """Twelve photos in `photos/`, their captions, boxes and splits: eight to train, four of val."""
    (folder / "photos").mkdir()
    rows = ["image_name| comment_number| comment"]
    names: dict[str, list[str]] = {"train": [], "val": []}
    boxes: dict[str, Any] = {}
    for number in range(12):
        colour = list(COLOURS)[number % 4]
        name = f"{number}.jpg"
        photo = Image.new("RGB", (64, 48), COLOURS[colour])
        photo.paste("black", (0, 0, 8, 48))  # tells left from right
        photo.save(folder / "photos" / name)
        rows += [f"{name}| 0| a {colour} wall .", f"{name}| 1| one {colour} wall ."]
        wall = [[1, 2, [[0.125, 0.0, 1.0, 1.0]]]]
        captions = [{"words": [word, colour, "wall"], "phrases": wall} for word in ("a", "one")]
        boxes[name] = {"width": 64, "height": 48, "captions": captions}
        names["train" if number < 8 else "val"].append(name)
    rows.append("10.jpg| 2| an unheard word .")  # of the val split
    (folder / "results.csv").write_text("\n".join(rows), encoding="utf-8")
    (folder / "boxes.json").write_text(json.dumps(boxes), encoding="utf-8")
    for split, members in names.items():
        (folder / f"{split}.txt").write_text("\n".join(members), encoding="utf-8")
    return folder


def common(data: Path) -> dict[str, Any]:
    """Settings of every stage for data that `write_data` wrote."""
    return {
        "captions": (data / "results.csv",),
        "splits": (data,),
        "photos": (data / "photos",),
        "encoder": ENCODER,
        "image_size": 64,
        "min_frequency": 1,
        "device": "cpu",
    }


def rows_of(run: Path) -> list[dict[str, Any]]:
    """The metrics of a run's epochs, without what depends on the machine."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]
