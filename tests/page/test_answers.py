"""Answers to the page's questions, without a browser."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import app
from captioner import Caption, DecodingOptions, ImageCaptioningModel
from captioner.ui import Answers
from captioner.ui.answers import REMEMBERED_PHOTOS, read_options
from tests.serving import MadeUpModel, answering, write_photo

HOPPER = str(app.EXAMPLES["Grace Hopper"])


@pytest.fixture(scope="module")
def answers(model: ImageCaptioningModel) -> Iterator[Answers]:
    with answering(model) as answers:
        yield answers


@pytest.fixture
def made_up() -> MadeUpModel:
    return MadeUpModel()


@pytest.fixture
def made_up_answers(made_up: MadeUpModel) -> Iterator[Answers]:
    with answering(made_up) as answers:
        yield answers


def last_answer(answers: Answers, path: str | None, question: Any) -> dict[str, Any]:
    """What a question comes to, once its turn has come."""

    async def ask() -> list[dict[str, Any]]:
        return [answer async for answer in answers.answers(path, question)]

    return asyncio.run(ask())[-1]


def test_the_first_of_the_captions_is_the_librarys(
    answers: Answers, model: ImageCaptioningModel
) -> None:
    for photo in app.EXAMPLES.values():
        view = answers.view(str(photo))
        assert view is not None
        assert view.captions is not None
        assert view.captions[0] == model.generate_caption(photo).to_json()
        scores = [caption["score"] for caption in view.captions]
        assert scores == sorted(scores, reverse=True)


def test_each_kind_of_question_is_answered_as_the_library_does(
    answers: Answers, model: ImageCaptioningModel
) -> None:
    caption = model.generate_caption(HOPPER)
    sent = caption.to_json()
    back = Caption.from_json(sent)

    def ask(kind: str, **question: Any) -> dict[str, Any]:
        return last_answer(answers, HOPPER, {"id": 7, "kind": kind, **question})

    told = ask("branch", caption=sent, position=1, word="woman", options={"beam_size": 2})
    assert told["caption"] == model.branch(HOPPER, back, 1, "woman", beam_size=2).to_json()
    assert (told["id"], told["kind"]) == (7, "branch")
    scored = ask("score", text="a woman")
    assert scored["caption"] == model.score_caption(HOPPER, "a woman").to_json()
    hidden = ask("occlusion", caption=sent)
    assert hidden["occlusion"] == model.occlusion(HOPPER, back).to_json()
    (best,) = model.generate_n_best([HOPPER], num_captions=4, beam_size=5)
    more = ask("captions", options={"num_captions": 4, "beam_size": 5})
    assert more["captions"] == [caption.to_json() for caption in best]


def test_a_photo_is_encoded_once_until_it_is_long_past(
    made_up: MadeUpModel, made_up_answers: Answers, tmp_path: Path
) -> None:
    answers = made_up_answers
    path = str(write_photo(tmp_path / "photo.jpg"))
    answers.view(path)
    for _ in range(3):
        last_answer(answers, path, {"kind": "score", "text": "a dog"})
    assert made_up.encoded == 1
    for index in range(REMEMBERED_PHOTOS):
        answers.view(str(write_photo(tmp_path / f"{index}.jpg", seed=index + 1)))
    assert made_up.encoded == REMEMBERED_PHOTOS + 1
    answers.view(path)
    assert made_up.encoded == REMEMBERED_PHOTOS + 2


def test_a_photo_is_known_by_its_content(
    made_up: MadeUpModel, made_up_answers: Answers, tmp_path: Path
) -> None:
    for name, seed in (("a.jpg", 0), ("b.jpg", 0), ("a.jpg", 1)):
        made_up_answers.view(str(write_photo(tmp_path / name, seed=seed)))
    assert made_up.encoded == 2


def test_a_photo_that_was_purged_is_forgotten(made_up_answers: Answers, tmp_path: Path) -> None:
    answers = made_up_answers
    path = write_photo(tmp_path / "photo.jpg")
    answers.view(str(path))
    path.unlink()
    answer = last_answer(answers, str(path), {"id": 1, "kind": "score", "text": "a dog"})
    assert answer["message"] == "The photo is no longer on the server. Choose it again."


CAPTION = MadeUpModel().tell(("a", "dog")).to_json()


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"kind": "animation"}, "a caption needs words"),
        ({"kind": "animation", "caption": {**CAPTION, "words": []}}, "from 1 to 80 words"),
        ({"kind": "animation", "caption": CAPTION, "colours": "jet"}, "colours must be one of"),
        ({"kind": "animation", "caption": CAPTION, "colours": []}, "colours must be one of"),
        ({"kind": "animation", "caption": CAPTION, "colours": "magma"}, "opacity must be a number"),
        (
            {"kind": "animation", "caption": CAPTION, "colours": "magma", "opacity": 2},
            "opacity must be from 0 to 1",
        ),
        (None, "kind must be one of animation, branch, captions, occlusion, score"),
        ({"kind": {}}, "kind must be one of"),
        ({"kind": "score"}, "a caption must be text"),
        ({"kind": "score", "text": ["a"]}, "a caption must be text"),
        ({"kind": "score", "text": "x" * 301}, "at most 300 letters, got 301"),
        ({"kind": "score", "text": "x " * 41}, "at most 40 words, got 41"),
        ({"kind": "score", "text": "a", "options": [1]}, "options must be names and numbers"),
        ({"kind": "captions", "options": {"prefix": "a"}}, "no such option here: 'prefix'"),
        ({"kind": "captions", "options": {"num_captions": 9}}, "num_captions must be from 1 to 8"),
        ({"kind": "captions", "options": {"beam_size": True}}, "beam_size must be from 1 to 10"),
        ({"kind": "captions", "options": {"beam_size": 2.5}}, "beam_size must be a whole number"),
        ({"kind": "captions", "options": {"temperature": float("nan")}}, "got nan"),
        ({"kind": "captions", "options": {"seed": "1"}}, "seed must be from 0"),
        ({"kind": "captions", "options": {"top_p": 0.5}}, "set temperature above 0"),
        ({"kind": "branch"}, "a caption needs words"),
        ({"kind": "branch", "caption": CAPTION}, "position must be a whole number, got 'None'"),
        ({"kind": "branch", "caption": CAPTION, "position": True}, "got 'True'"),
        ({"kind": "branch", "caption": CAPTION, "position": 0}, "word must be text"),
        ({"kind": "branch", "caption": CAPTION, "position": 3, "word": "a"}, "from 0 to 2, got 3"),
        ({"kind": "branch", "caption": CAPTION, "position": -1, "word": "a"}, "got -1"),
        ({"kind": "occlusion", "caption": {**CAPTION, "grid": [3, 3]}}, "is of shape"),
        ({"kind": "occlusion", "caption": {**CAPTION, "grid": None}}, "not a caption's data"),
        ({"kind": "occlusion", "caption": {**CAPTION, "words": ["a"]}}, "not a caption's data"),
        ({"kind": "occlusion", "caption": {**CAPTION, "words": [0] * 301}}, "at most 300"),
        ({"kind": "occlusion", "caption": {**CAPTION, "score": 10**400}}, "is too large"),
        ({"kind": "occlusion", "caption": {**CAPTION, "grid": [float("inf"), 1]}}, "too large"),
    ],
)
def test_a_bad_question_gets_a_message_and_no_fault(
    made_up_answers: Answers, tmp_path: Path, question: Any, message: str
) -> None:
    photo = str(write_photo(tmp_path / "photo.jpg"))
    answer = last_answer(made_up_answers, photo, question)
    assert message in answer["message"]
    assert answer.keys() == {"id", "kind", "message"}


def test_an_attention_that_is_no_number_is_refused(
    made_up_answers: Answers, tmp_path: Path
) -> None:
    photo = str(write_photo(tmp_path / "photo.jpg"))
    word = {**CAPTION["words"][0], "alpha": [[float("nan")] * 4] * 4}
    caption = {**CAPTION, "words": [word]}
    answer = last_answer(made_up_answers, photo, {"kind": "occlusion", "caption": caption})
    assert "an attention is no number" in answer["message"]


def test_a_question_without_a_photo_gets_a_message(made_up_answers: Answers) -> None:
    answer = last_answer(made_up_answers, None, {"id": 3, "kind": "score", "text": "a dog"})
    assert answer["message"].startswith("There is no photo yet")
    assert answer["id"] == 3


def test_the_pages_defaults_are_the_librarys_with_three_captions() -> None:
    assert read_options({}) == DecodingOptions(num_captions=3)
