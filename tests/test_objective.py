"""What training minimises, computed a second time."""

import pytest
import torch
from torch.nn import functional as F

from captioner.decoder import TeacherForcingOutput
from captioner.vocabulary import END_ID, PAD_ID, START_ID
from train.objective import Losses, caption_inputs, caption_losses, count

V, P = 11, 4
TOKEN_IDS = torch.tensor([[START_ID, 4, 5, END_ID], [START_ID, 6, END_ID, PAD_ID]])
ROWS, STEPS = torch.tensor([0, 1, 0, 1, 0]), torch.tensor([0, 0, 1, 1, 2])


@pytest.fixture
def said() -> TeacherForcingOutput:
    """Of the captions TOKEN_IDS, step by step."""
    return TeacherForcingOutput(ROWS, STEPS, torch.randn(5, V), torch.randn(5, P).softmax(dim=1))


def test_the_loss_is_cross_entropy_without_pads_plus_the_coverage_penalty(
    said: TeacherForcingOutput,
) -> None:
    losses = caption_losses(said, TOKEN_IDS, None, 0.1, 0.5)
    ids = torch.tensor([4, 6, 5, END_ID, END_ID])
    coverage = torch.stack([said.alphas[[0, 2, 4]].sum(0), said.alphas[[1, 3]].sum(0)])
    smoothed = F.cross_entropy(said.logits, ids, label_smoothing=0.1)
    assert [int(number) for number in count(TOKEN_IDS, None)] == [5, 2, 0]
    torch.testing.assert_close(losses.nll, F.cross_entropy(said.logits, ids))
    torch.testing.assert_close(losses.total, smoothed + 0.5 * ((1 - coverage) ** 2).mean())
    assert losses.box == 0


def test_words_of_a_phrase_lose_what_they_attend_to_outside_its_boxes(
    said: TeacherForcingOutput,
) -> None:
    coverage = torch.zeros(2, 3, P)
    coverage[0, 1] = torch.tensor([1.0, 0.5, 0.0, 0.0])  # the third word said
    coverage[1, 0] = torch.tensor([0.0, 0.0, 0.0, 1.0])  # the second
    losses = caption_losses(said, TOKEN_IDS, coverage, box_weight=0.7)
    inside = said.alphas[2, 0] + 0.5 * said.alphas[2, 1], said.alphas[1, 3]
    wanted = -(inside[0].log() + inside[1].log()) / 2
    torch.testing.assert_close(losses.box, wanted)
    torch.testing.assert_close(losses.total, losses.nll + 0.7 * wanted)


def test_without_any_phrase_there_is_nothing_to_lose(said: TeacherForcingOutput) -> None:
    losses = caption_losses(said, TOKEN_IDS, torch.zeros(2, 3, P), box_weight=0.7)
    torch.testing.assert_close(losses.total, losses.nll)
    assert losses.box == 0


def test_attention_wholly_beside_the_boxes_is_a_finite_loss(said: TeacherForcingOutput) -> None:
    alphas = torch.eye(P)[[0, 0, 0, 0, 0]]
    coverage = torch.zeros(2, 3, P)
    coverage[:, 0, 1] = 1
    losses = caption_losses(said._replace(alphas=alphas), TOKEN_IDS, coverage, box_weight=1.0)
    assert 10 < float(losses.box) < 20


def test_the_losses_of_shares_add_up_to_those_of_the_batch(said: TeacherForcingOutput) -> None:
    """Shares of two words and of three, of which only the first are known to be about regions."""
    coverage = torch.zeros(2, 3, P)
    coverage[1, :2, 2] = 1
    settings = {"smoothing": 0.1, "doubly_stochastic": 0.5, "box_weight": 0.7}
    whole = caption_losses(said, TOKEN_IDS, coverage, **settings)
    counts = count(TOKEN_IDS, coverage)
    shares: list[Losses] = []
    for caption in (0, 1):
        rows = said.rows == caption
        own = TeacherForcingOutput(*(tensor[rows] for tensor in said[:4]))  # type: ignore[arg-type]
        own = own._replace(rows=0 * ROWS[rows])
        given = TOKEN_IDS[[caption]], coverage[[caption]]
        shares.append(caption_losses(own, *given, **settings, counts=counts))
    for one, other, wanted in zip(*shares, whole, strict=True):
        torch.testing.assert_close(one + other, wanted)


def test_a_decoder_is_given_captions_without_their_end() -> None:
    assert caption_inputs(TOKEN_IDS).tolist() == [[START_ID, 4, 5], [START_ID, 6, PAD_ID]]
