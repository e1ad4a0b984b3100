"""Answers to the page's requests, without a browser."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from captioner import Caption, DecodingOptions, ImageCaptioningModel
from captioner import load_image as load
from captioner.page import EXAMPLES, CaptionService, Line
from captioner.page.service import REMEMBERED_PHOTOS, read_options
from tests.page import visiting
from tests.serving import FakeModel, answering, write_bad_file, write_photo

HOPPER = str(visiting.HOPPER)
LOADING_SECONDS = 1.0


@pytest.fixture(scope="module")
def service(model: ImageCaptioningModel) -> Iterator[CaptionService]:
    with answering(model) as service:
        yield service


@pytest.fixture
def fake_model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def fake_service(fake_model: FakeModel) -> Iterator[CaptionService]:
    with answering(fake_model) as service:
        yield service


def last_answer(service: CaptionService, path: str | None, question: Any) -> dict[str, Any]:
    """What a question comes to, once its turn has come."""

    async def ask() -> list[dict[str, Any]]:
        return [answer async for answer in service.answers(path, question)]

    return asyncio.run(ask())[-1]


@pytest.mark.slow
def test_the_first_of_the_captions_is_the_librarys(
    service: CaptionService, model: ImageCaptioningModel
) -> None:
    for photo in (example["path"] for example in EXAMPLES.values()):
        view = service.view(str(photo))
        assert view is not None
        assert view.captions is not None
        assert view.captions[0] == model.generate_caption(photo).to_json()
        scores = [caption["score"] for caption in view.captions]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_each_kind_of_question_is_answered_as_the_library_does(
    service: CaptionService, model: ImageCaptioningModel
) -> None:
    caption = model.generate_caption(HOPPER)
    sent = caption.to_json()
    back = Caption.from_json(sent)

    def ask(kind: str, **question: Any) -> dict[str, Any]:
        return last_answer(service, HOPPER, {"id": 7, "kind": kind, **question})

    branched = ask("branch", caption=sent, position=1, word="woman", options={"beam_size": 2})
    assert branched["caption"] == model.branch(HOPPER, back, 1, "woman", beam_size=2).to_json()
    assert (branched["id"], branched["kind"]) == (7, "branch")
    scored = ask("score", text="a woman")
    assert scored["caption"] == model.score_caption(HOPPER, "a woman").to_json()
    hidden = ask("occlusion", caption=sent)
    assert hidden["occlusion"] == model.occlusion(HOPPER, back).to_json()
    (best,) = model.generate_n_best([HOPPER], num_captions=4, beam_size=5)
    more = ask("captions", options={"num_captions": 4, "beam_size": 5})
    assert more["captions"] == [caption.to_json() for caption in best]


@pytest.mark.slow
def test_requests_wait_for_a_model_that_is_being_loaded(tmp_path: Path) -> None:
    """The page is served before it. The estimate of the wait is that of captions alone."""
    photo, bad = write_photo(tmp_path / "photo.jpg"), write_bad_file(tmp_path, "text.jpg")
    model: Future[FakeModel] = Future()
    with Line() as line:
        service = CaptionService(model.result, lambda path: Path(path).read_bytes(), load, line)
        assert (service.view(str(bad)).error or {})["code"] == "format"
        with ThreadPoolExecutor() as visitors:
            view = visitors.submit(service.view, str(photo))
            with pytest.raises(TimeoutError):
                view.result(LOADING_SECONDS)
            model.set_result(FakeModel())
            captions = view.result().captions
        assert captions
        assert captions[0]["caption"] == "a dog runs far"
        assert line.seconds_left(line.enter(lambda: None)) < LOADING_SECONDS


def test_nothing_waits_for_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "photo.jpg")
    model: Future[FakeModel] = Future()
    with Line() as line, ThreadPoolExecutor() as visitors:
        service = CaptionService(model.result, lambda path: Path(path).read_bytes(), load, line)
        view = visitors.submit(service.view, str(photo))
        model.cancel()
        with pytest.raises(CancelledError):
            view.result(60)


def test_captions_continue_from_given_words(fake_service: CaptionService, tmp_path: Path) -> None:
    photo = str(write_photo(tmp_path / "photo.jpg"))
    question = {"kind": "captions", "prefix": "two dogs", "options": {"num_captions": 1}}
    (found,) = last_answer(fake_service, photo, question)["captions"]
    assert found["caption"] == "two dogs sleeps"
    error = last_answer(fake_service, photo, {**question, "prefix": 3})["error"]
    assert error["values"] == {"reason": "a caption must be text"}


def test_a_search_tree_is_that_of_the_captions_with_the_same_options(
    service: CaptionService, model: ImageCaptioningModel
) -> None:
    options = {"beam_size": 2, "num_captions": 1, "max_length": 5}
    answer = last_answer(service, HOPPER, {"id": 8, "kind": "tree", "options": options})
    assert answer == {
        "id": 8,
        "kind": "tree",
        "tree": model.search_tree(HOPPER, **options).to_json(),
    }
    (caption,) = last_answer(service, HOPPER, {"kind": "captions", "options": options})["captions"]
    said = [word["text"] for word in caption["words"]] + [""] * caption["finished"]
    assert [c["text"] for step in answer["tree"]["steps"] for c in step if c["best"]] == said


def test_a_blind_caption_needs_no_photo(
    service: CaptionService, model: ImageCaptioningModel
) -> None:
    options = {"max_length": 8, "num_captions": 1}
    answer = last_answer(service, None, {"id": 9, "kind": "blind", "options": options})
    wanted = model.generate_blind_caption(max_length=8).to_json()
    assert answer == {"id": 9, "kind": "blind", "caption": wanted}


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"kind": "tree", "options": {"temperature": 1}}, "no_search_tree"),
        ({"kind": "tree", "options": {"min_length": 12, "max_length": 8}}, "out_of_range"),
    ],
)
def test_options_that_contradict_each_other_are_an_error_with_a_code(
    service: CaptionService, question: dict[str, Any], code: str
) -> None:
    assert last_answer(service, HOPPER, question)["error"]["code"] == code


def test_a_beam_is_at_least_as_wide_as_captions_are_wanted(service: CaptionService) -> None:
    def ask(beam_size: int) -> Any:
        options = {"beam_size": beam_size, "num_captions": 3}
        return last_answer(service, HOPPER, {"kind": "captions", "options": options})["captions"]

    assert ask(1) == ask(3)


def test_a_photo_is_encoded_once_until_it_is_long_past(
    fake_model: FakeModel, fake_service: CaptionService, tmp_path: Path
) -> None:
    service = fake_service
    path = str(write_photo(tmp_path / "photo.jpg"))
    service.view(path)
    for _ in range(3):
        last_answer(service, path, {"kind": "score", "text": "a dog"})
    assert fake_model.encoded == 1
    for index in range(REMEMBERED_PHOTOS):
        service.view(str(write_photo(tmp_path / f"{index}.jpg", seed=index + 1)))
    assert fake_model.encoded == REMEMBERED_PHOTOS + 1
    service.view(path)
    assert fake_model.encoded == REMEMBERED_PHOTOS + 2


def test_a_photo_is_known_by_its_content(
    fake_model: FakeModel, fake_service: CaptionService, tmp_path: Path
) -> None:
    for name, seed in (("a.jpg", 0), ("b.jpg", 0), ("a.jpg", 1)):
        fake_service.view(str(write_photo(tmp_path / name, seed=seed)))
    assert fake_model.encoded == 2


def test_a_photo_that_was_purged_is_forgotten(fake_service: CaptionService, tmp_path: Path) -> None:
    service = fake_service
    path = write_photo(tmp_path / "photo.jpg")
    service.view(str(path))
    path.unlink()
    answer = last_answer(service, str(path), {"id": 1, "kind": "score", "text": "a dog"})
    assert answer["error"] == {
        "code": "gone",
        "values": {},
        "message": "The photo is no longer on the server. Choose it again.",
    }


def test_all_that_a_model_says_of_a_word_reaches_the_page_and_comes_back(tmp_path: Path) -> None:
    photo, texts = str(write_photo(tmp_path / "photo.jpg")), ("a", "coffee pot", "falls")
    model = FakeModel(*texts)
    caption = model.caption(texts)
    with answering(model) as service:
        view = service.view(photo)
        assert view is not None
        assert view.captions is not None
        sent = view.captions[0]
        assert sent == asyncio.run(service.caption(photo)) == caption.to_json()
        assert [word["recognized"] for word in sent["words"]] == [0, 0.75, 0]
        assert [word["blind"] for word in sent["words"]] == [0.25, 0.5375, 0.6722]
        assert [word["entropy"] for word in sent["words"]] == [1.5, 1.4, 1.3]
        assert [word["ending"] for word in sent["words"]] == [0, 0.02, 0.04]
        assert sent["ending"]["probability"] == 0.75
        assert sent["familiarity"] == 0.25
        question = {"caption": sent, "position": 2, "word": "hot dog"}
        branched = last_answer(service, photo, {"kind": "branch", **question})["caption"]
        hidden = last_answer(service, photo, {"kind": "occlusion", "caption": sent})["occlusion"]
    assert [word["text"] for word in branched["words"]] == ["a", "coffee pot", "hot dog", "sleeps"]
    assert hidden == model.occlusion(None, caption).to_json()  # pyright: ignore[reportArgumentType]


CAPTION = FakeModel().caption(("a", "dog")).to_json()
WORD, END = CAPTION["words"][0], CAPTION["ending"]


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ({"kind": "animation"}, "it needs words"),
        ({"kind": "animation", "caption": {**CAPTION, "words": []}}, "from 1 to 80 words"),
        ({"kind": "animation", "caption": CAPTION, "colours": "jet"}, "colours must be one of"),
        ({"kind": "animation", "caption": CAPTION, "colours": []}, "colours must be one of"),
        (
            {"kind": "animation", "caption": CAPTION, "colours": "viridis"},
            "opacity must be from 0 to 1",
        ),
        (
            {"kind": "animation", "caption": CAPTION, "colours": "viridis", "opacity": 2},
            "opacity must be from 0 to 1",
        ),
        (None, "kind must be one of animation, blind, branch, captions, occlusion, score, tree"),
        ({"kind": {}}, "kind must be one of"),
        ({"kind": "score"}, "a caption must be text"),
        ({"kind": "score", "text": ["a"]}, "a caption must be text"),
        ({"kind": "score", "text": "x" * 301}, "at most 300 letters, got 301"),
        ({"kind": "score", "text": "x " * 41}, "at most 40 words, got 41"),
        ({"kind": "score", "text": "a", "options": [1]}, "options must be names and numbers"),
        ({"kind": "blind", "options": [1]}, "options must be names and numbers"),
        ({"kind": "tree", "options": {"beam_size": 11}}, "beam_size must be from 1 to 10"),
        ({"kind": "captions", "options": {"prefix": "a"}}, "no such option here: 'prefix'"),
        ({"kind": "captions", "options": {"num_captions": 9}}, "num_captions must be from 1 to 8"),
        ({"kind": "captions", "options": {"beam_size": True}}, "beam_size must be from 1 to 10"),
        ({"kind": "captions", "options": {"beam_size": 2.5}}, "beam_size must be a whole number"),
        ({"kind": "captions", "options": {"temperature": float("nan")}}, "got nan"),
        ({"kind": "captions", "options": {"seed": "1"}}, "seed must be from 0"),
        ({"kind": "captions", "options": {"top_p": 0.5}}, "set temperature above 0"),
        ({"kind": "branch"}, "it needs words"),
        ({"kind": "branch", "caption": CAPTION}, "position must be a whole number, got 'None'"),
        ({"kind": "branch", "caption": CAPTION, "position": True}, "got 'True'"),
        ({"kind": "branch", "caption": CAPTION, "position": 0}, "word must be text"),
        ({"kind": "branch", "caption": CAPTION, "position": 3, "word": "a"}, "from 0 to 2, got 3"),
        ({"kind": "branch", "caption": CAPTION, "position": -1, "word": "a"}, "got -1"),
        ({"kind": "occlusion", "caption": {**CAPTION, "grid": [3, 3]}}, "is of shape"),
        ({"kind": "occlusion", "caption": {**CAPTION, "grid": None}}, "not a caption's data"),
        ({"kind": "occlusion", "caption": {**CAPTION, "words": ["a"]}}, "not a caption's data"),
        ({"kind": "occlusion", "caption": {**CAPTION, "words": [0] * 81}}, "at most 80"),
        ({"kind": "occlusion", "caption": {**CAPTION, "score": 10**400}}, "is too large"),
        ({"kind": "occlusion", "caption": {**CAPTION, "familiarity": 10**400}}, "is too large"),
        (
            {"kind": "occlusion", "caption": {**CAPTION, "familiarity": float("inf")}},
            "familiarity must be from 0 to 1, got inf",
        ),
        (
            {"kind": "branch", "caption": {**CAPTION, "words": [{**WORD, "blind": -1}]}},
            "blind must be from 0 to 1, got -1.0",
        ),
        (
            {"kind": "branch", "caption": {**CAPTION, "words": [{**WORD, "entropy": -1}]}},
            "entropy must be at least 0 and finite, got -1.0",
        ),
        (
            {"kind": "branch", "caption": {**CAPTION, "words": [{**WORD, "ending": 2}]}},
            "ending must be from 0 to 1, got 2.0",
        ),
        ({"kind": "occlusion", "caption": {**CAPTION, "ending": []}}, "not a caption's data"),
        (
            {"kind": "occlusion", "caption": {**CAPTION, "ending": {**END, "entropy": 10**400}}},
            "is too large",
        ),
        (
            {"kind": "animation", "caption": {**CAPTION, "ending": {**END, "probability": "x"}}},
            "not a caption's data",
        ),
        ({"kind": "occlusion", "caption": {**CAPTION, "grid": [float("inf"), 1]}}, "too large"),
    ],
)
def test_a_bad_question_gets_a_message_and_no_fault(
    fake_service: CaptionService, tmp_path: Path, question: Any, message: str
) -> None:
    photo = str(write_photo(tmp_path / "photo.jpg"))
    answer = last_answer(fake_service, photo, question)
    assert message in answer["error"]["message"]
    assert answer.keys() == {"id", "kind", "error"}


def test_an_attention_that_is_no_number_is_refused(
    fake_service: CaptionService, tmp_path: Path
) -> None:
    photo = str(write_photo(tmp_path / "photo.jpg"))
    word = {**CAPTION["words"][0], "alpha": [[float("nan")] * 4] * 4}
    caption = {**CAPTION, "words": [word]}
    answer = last_answer(fake_service, photo, {"kind": "occlusion", "caption": caption})
    assert "an attention is not a number" in answer["error"]["message"]


def test_a_question_without_a_photo_gets_a_message(fake_service: CaptionService) -> None:
    answer = last_answer(fake_service, None, {"id": 3, "kind": "score", "text": "a dog"})
    assert answer["error"]["message"].startswith("There is no photo yet")
    assert answer["id"] == 3


def test_the_pages_defaults_are_the_librarys_with_three_captions() -> None:
    assert read_options({}) == DecodingOptions(num_captions=3)
