"""Self-critical training: what is sampled, how it is rewarded, and that captions become better."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from captioner import ModelConfig, Vocabulary, save_model
from captioner.decoder import TeacherForcingOutput
from captioner.preprocessing import PreprocessConfig
from captioner.vocabulary import END_ID, PAD_ID, START_ID, UNK_ID
from tests.tiny_models import WORDS, build_model
from tests.tiny_wordnet import write_wordnet
from train.config import RefineConfig
from train.data import CaptionedPhoto
from train.metrics import CiderD
from train.objective import caption_inputs
from train.objects import ObjectFinder
from train.refine import InventedPenalty, Reward, policy_loss, refine, sample_captions
from train.wordnet import WordNet

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
VOCABULARY = Vocabulary(WORDS, keep_punctuation=False)
TINY = ModelConfig(
    encoder="test_resnet",
    embedding_size=16,
    hidden_size=16,
    attention_size=8,
    projection_size=12,
    position=False,
    attention_query="before",
    preprocess=PreprocessConfig(64),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of one colour, red ones of dogs, with checkpoint: all that refine needs."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "photos").mkdir()
    rows = ["image_name| comment_number| comment"]
    names: dict[str, list[str]] = {"train": [], "val": []}
    for number in range(12):
        colour, noun = ("red", "dog") if number % 2 else ("blue", "cat")
        name = f"{number}.jpg"
        Image.new("RGB", (64, 64), COLOURS[colour]).save(folder / "photos" / name)
        rows += [f"{name}| 0| the {noun} sleeps .", f"{name}| 1| the {noun} runs on grass"]
        names["train" if number < 8 else "val"].append(name)
    (folder / "results.csv").write_text("\n".join(rows), encoding="utf-8")
    for split, members in names.items():
        (folder / f"{split}.txt").write_text("\n".join(members), encoding="utf-8")
    torch.manual_seed(2)
    save_model(build_model(TINY, VOCABULARY), folder / "start")
    return folder


def config(data: Path, runs: Path, **changes: Any) -> RefineConfig:
    settings: dict[str, Any] = {
        "captions": (data / "results.csv",),
        "splits": (data,),
        "photos": (data / "photos",),
        "augmentation": "none",
        "device": "cpu",
        "start_from": data / "start",
        "name": "run",
        "runs": runs,
        "batch_photos": 4,
        "max_length": 6,
        "lr": 3e-3,
        "dropout": 0.1,
        "ema_decay": 0.0,
        "epochs": 2,
        "cross_entropy": 0.0,
        **changes,
    }
    return RefineConfig(**settings)


def rows_of(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def test_the_reward_is_cider_d_on_the_train_splits_words_with_the_end_as_a_word() -> None:
    photos = [
        CaptionedPhoto("a.jpg", ("The dog runs .", "a dog on the left")),
        CaptionedPhoto("b.jpg", ("the cat sleeps",)),
        CaptionedPhoto("c.jpg", ("the cat on the sofa",)),
    ]
    reward = Reward(VOCABULARY, photos)
    full = VOCABULARY.encode("the dog runs")
    broken_off = [*full[:-1], PAD_ID]
    scores = reward(torch.tensor([full, broken_off]), [("a.jpg", False)])
    scorer = CiderD(
        [
            [("the", "dog", "runs", "<eos>"), ("a", "dog", "on", "the", "left", "<eos>")],
            [("the", "cat", "sleeps", "<eos>")],
            [("the", "cat", "on", "the", "sofa", "<eos>")],
        ]
    )
    references = [("the", "dog", "runs", "<eos>"), ("a", "dog", "on", "the", "left", "<eos>")]
    said = [("the", "dog", "runs", "<eos>"), ("the", "dog", "runs")]
    expected = [scorer.score(words, references) for words in said]
    torch.testing.assert_close(scores, torch.tensor([expected]))
    assert scores[0, 0] > scores[0, 1]


def test_objects_that_no_reference_mentions_cost_reward(tmp_path: Path) -> None:
    words = ["a", "dog", "truck", "hot dog", "man", "runs"]
    vocabulary = Vocabulary(words, keep_punctuation=False)
    finder = ObjectFinder(WordNet(write_wordnet(tmp_path)))
    photos = [
        CaptionedPhoto("a.jpg", ("a dog runs", "the bloodhound", "a domestic dog")),
        CaptionedPhoto("b.jpg", ("a man", "the man runs")),
    ]
    plain = Reward(vocabulary, photos)
    penalized = Reward(vocabulary, photos, penalty=InventedPenalty(finder, photos, 0.25))
    texts = ["a dog runs", "a truck runs", "a truck a hot dog a truck"]
    token_ids = pad_sequence(
        [torch.tensor(vocabulary.encode(text)) for text in texts], batch_first=True
    )

    def lost(name: str) -> list[float]:
        named = [(name, True)]
        return (plain(token_ids, named) - penalized(token_ids, named))[0].tolist()

    assert lost("a.jpg") == pytest.approx([0, 0.25, 0.5])
    assert lost("b.jpg") == pytest.approx([0, 0, 0])  # two references do not mention enough


def test_a_penalty_needs_a_wordnet(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--invented-penalty needs --wordnet"):
        config(data, tmp_path, invented_penalty=0.1)


def test_a_mirrored_photo_is_scored_against_mirrored_captions() -> None:
    vocabulary = Vocabulary(["left", "right", "dog"])
    photos = [CaptionedPhoto("a.jpg", ("dog left",)), CaptionedPhoto("b.jpg", ("cat",))]
    reward = Reward(vocabulary, photos)
    token_ids = torch.tensor([vocabulary.encode("dog left"), vocabulary.encode("dog right")])
    upright, mirrored = (reward(token_ids, [("a.jpg", flag)])[0] for flag in (False, True))
    assert upright[0] > upright[1]
    assert mirrored[1] > mirrored[0]


def test_a_caption_becomes_likelier_by_how_much_better_than_the_others_it_is() -> None:
    token_ids = torch.tensor([[START_ID, 4, END_ID], [START_ID, 5, END_ID], [START_ID, 6, END_ID]])
    logits = torch.randn(6, 8, requires_grad=True)
    rows, steps = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0, 0, 0, 1, 1, 1])
    said = TeacherForcingOutput(rows, steps, logits, torch.zeros(6, 4))
    loss = policy_loss(said, token_ids, torch.tensor([[0.9, 0.3, 0.6]]))
    # Against the mean of the other two: 0.9 - 0.45, 0.3 - 0.75, 0.6 - 0.6.
    advantages = torch.tensor([0.45, -0.45, 0.0])
    chosen = token_ids[rows, steps + 1]
    logprobs = logits.log_softmax(dim=1)[range(6), chosen]
    torch.testing.assert_close(loss, -(advantages[rows] * logprobs).mean())
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 4] < 0 < logits.grad[1, 5]
    assert not logits.grad[2].any()


def test_captions_are_drawn_as_the_model_finds_them_likely(data: Path, tmp_path: Path) -> None:
    model = build_model(TINY, VOCABULARY)
    settings = config(data, tmp_path, sampled_captions=4000, max_length=3)
    features = model.encoder(torch.randn(1, 3, 64, 64))
    torch.manual_seed(0)
    sampled = sample_captions(settings, model, features)
    assert sampled.shape == (4000, 4)
    assert (sampled[:, 0] == START_ID).all()
    assert not (sampled[:, 1:] == UNK_ID).any()
    state = model.decoder.eval().initial_state(features)
    logits = model.decoder.step(torch.tensor([START_ID]), state).logits[0]
    logits[[PAD_ID, START_ID, UNK_ID]] = -torch.inf
    shares = torch.bincount(sampled[:, 1], minlength=len(VOCABULARY)) / 4000
    torch.testing.assert_close(shares, logits.softmax(dim=0).detach(), atol=0.03, rtol=0)
    for row in sampled[:50].tolist():
        ends = row.index(END_ID) if END_ID in row else len(row)
        assert all(token_id == PAD_ID for token_id in row[ends + 1 :])
        assert PAD_ID not in row[:ends]


def test_a_caption_of_the_longest_length_is_taught_whole(data: Path, tmp_path: Path) -> None:
    model = build_model(TINY, VOCABULARY)
    sampled = torch.tensor([[START_ID, 4, 5, 6]])
    features = model.encoder(torch.randn(1, 3, 64, 64))
    said = model.decoder.predict(features, caption_inputs(sampled), torch.tensor([0]))
    assert sampled[said.rows, said.steps + 1].tolist() == [4, 5, 6]


def test_captions_become_better_and_the_best_is_kept(data: Path, tmp_path: Path) -> None:
    best = refine(
        config(data, tmp_path, epochs=16, patience=16, seed=1, sampled_captions=8, lr=1e-2)
    )
    rows = rows_of(tmp_path / "run")
    assert rows[0]["epoch"] == 0
    rewards = [row["train_reward"] for row in rows[1:]]
    assert sum(rewards[-3:]) > 2 * sum(rewards[:3])
    assert max(row["CIDEr-D"] for row in rows) > rows[0]["CIDEr-D"]
    assert (best / "model.safetensors").exists()


def test_boxes_fall_on_the_regions_of_the_checkpoint(data: Path, tmp_path: Path) -> None:
    """Its input size is its own, whatever size the configuration has for new models."""
    phrases = [[0, 1, [[0.0, 0.0, 0.5, 1.0]]]]
    caption = {"words": ["the", "dog", "sleeps", "."], "phrases": phrases}
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({f"{number}.jpg": {"captions": [caption]} for number in range(12)}))
    refine(config(data, tmp_path, boxes=(boxes,), cross_entropy=0.5, epochs=1))
    assert rows_of(tmp_path / "run")[1]["train_box"] > 0


def test_it_stops_when_nothing_gets_better(data: Path, tmp_path: Path) -> None:
    refine(config(data, tmp_path, lr=1e-12, epochs=9, patience=2))
    assert [row["epoch"] for row in rows_of(tmp_path / "run")] == [0, 1, 2]


def test_a_resumed_run_ends_with_the_numbers_of_an_uninterrupted_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"cross_entropy": 0.5, "dropout": 0.2, "ema_decay": 0.5, "epochs": 3}
    refine(config(data, tmp_path / "whole", **settings))
    epochs = iter([False, False, True])

    def break_off(*_: Any) -> bool:
        if next(epochs):
            raise KeyboardInterrupt
        return False

    with monkeypatch.context() as patch:
        patch.setattr("train.refine._is_over", break_off)
        with pytest.raises(KeyboardInterrupt):
            refine(config(data, tmp_path / "parts", **settings))
    refine(config(data, tmp_path / "parts", resume=True, **settings))
    assert rows_of(tmp_path / "parts" / "run") == rows_of(tmp_path / "whole" / "run")


def test_several_processes_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = SimpleNamespace(num_processes=2)
    monkeypatch.setattr("train.refine.join_processes", lambda config: (two, config))
    with pytest.raises(ValueError, match="one process"):
        refine(config(data, tmp_path))
    assert not (tmp_path / "run").exists()


def test_a_caption_needs_others_to_be_compared_with(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sampled_captions must be at least 2, got 1"):
        config(data, tmp_path, sampled_captions=1)
